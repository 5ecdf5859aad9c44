"""The project's images: built with buildah on a Debian base, loaded into containerd."""

from devcluster.images.catalogue import archive_of, missing, tag_of
from devcluster.images.load import load
from devcluster.images.make import compare, make
from devcluster.images.store import copy_to

__all__ = ["archive_of", "compare", "copy_to", "load", "make", "missing", "tag_of"]
