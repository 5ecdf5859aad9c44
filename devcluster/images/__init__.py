"""The project's images: built with buildah on a Debian base, loaded into containerd."""

from devcluster.images.catalogue import missing, tag_of
from devcluster.images.load import load
from devcluster.images.make import make

__all__ = ["load", "make", "missing", "tag_of"]
