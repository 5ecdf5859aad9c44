"""kwok: nodes and pods that exist in the API only, for tests at a scale that no machine has.

The API server, the scheduler and the controllers are the real ones; what kwok plays is kubelet:
it keeps nodes alive, and says of every pod on them that it runs. Nothing runs.
"""

from tools.devcluster.kwok.nodes import LABEL, TOLERATION, Kwok
from tools.devcluster.kwok.start import PROCESS, start

__all__ = ["LABEL", "PROCESS", "TOLERATION", "Kwok", "start"]
