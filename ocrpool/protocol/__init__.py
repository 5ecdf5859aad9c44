"""What a worker and its operator say to each other over the control port, written once.

Both sides import this package; it must stay light (pydantic only). Bytes are bytes, times are
seconds, names are camelCase on the wire and snake_case in Python.
"""

from ocrpool.protocol.backoff import backoff_seconds
from ocrpool.protocol.state import (
    Counters,
    Device,
    DeviceKind,
    Footprint,
    Instance,
    Instances,
    InstancesTarget,
    InstanceState,
    Memory,
    Problem,
    Queue,
    State,
)

__all__ = [
    "Counters",
    "Device",
    "DeviceKind",
    "Footprint",
    "Instance",
    "InstanceState",
    "Instances",
    "InstancesTarget",
    "Memory",
    "Problem",
    "Queue",
    "State",
    "backoff_seconds",
]
