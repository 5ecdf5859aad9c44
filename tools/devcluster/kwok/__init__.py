"""kwok: nodes and pods that exist in the API only, for tests with thousands of nodes.

API server, scheduler and controllers are real. kwok replaces kubelet: it keeps nodes alive and
reports every pod on them as running. No container runs.
"""

from tools.devcluster.kwok.nodes import LABEL, TOLERATION, Kwok
from tools.devcluster.kwok.start import PROCESS, start

__all__ = ["LABEL", "PROCESS", "TOLERATION", "Kwok", "start"]
