"""The project's images: built with buildah on a Debian base, loaded into containerd."""

from tools.devcluster.images.catalogue import archive_of, missing, tag_of
from tools.devcluster.images.load import load
from tools.devcluster.images.make import compare, make
from tools.devcluster.images.store import copy_to

__all__ = ["archive_of", "compare", "copy_to", "load", "make", "missing", "tag_of"]
