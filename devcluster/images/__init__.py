"""The project's images: built with buildah on a Debian base, loaded into containerd."""

from devcluster.images.load import load
from devcluster.images.make import make

__all__ = ["load", "make"]
