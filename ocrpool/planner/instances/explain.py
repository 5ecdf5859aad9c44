"""Sentences that explain a decision. Each number in them is one that was compared."""

from __future__ import annotations

from ocrpool.planner.instances.headroom import MemoryHeadroom
from ocrpool.planner.instances.throughput import Throughput
from ocrpool.protocol.quantity import format_bytes, parse_bytes


def format_size(count: int) -> str:
    """Format bytes, with a real minus sign: `−1.4Gi`."""
    return format_bytes(count).replace("-", "−")


def format_pair(left: int, right: int) -> tuple[str, str]:
    """Format two byte counts; in full if rounding would make different ones look equal."""
    texts = format_size(left), format_size(right)
    rounded = tuple(parse_bytes(text.removeprefix("−")) for text in texts)
    if left != right and rounded[0] == rounded[1] and (left < 0) == (right < 0):
        return str(left).replace("-", "−"), str(right).replace("-", "−")
    return texts


def headroom_sum(headroom: MemoryHeadroom, sign: str, margin: int) -> str:
    """`headroom 5.1Gi (6.1Gi free − 1Gi reserve − 0 promised) ≥ 1.8Gi (1.4Gi footprint + …)`."""
    shown, need = format_pair(headroom.headroom, headroom.footprint + margin)
    return (
        f"headroom {shown} ({format_size(headroom.free)} free − "
        f"{format_size(headroom.reserve)} reserve − "
        f"{format_size(headroom.promised)} promised) {sign} {need} "
        f"({format_size(headroom.footprint)} footprint + {format_size(margin)} margin)"
    )


def left_below(headroom: MemoryHeadroom, bound: int) -> str:
    """`left 0.3Gi (1.7Gi free − 1.4Gi promised) < 896Mi`."""
    shown, limit = format_pair(headroom.left, bound)
    returning = f" + {format_size(headroom.returning)} returning" if headroom.returning else ""
    return (
        f"left {shown} ({format_size(headroom.free)} free − "
        f"{format_size(headroom.promised)} promised{returning}) < {limit}"
    )


def below_keep(headroom: MemoryHeadroom, taken: int, keep: int, factor: float) -> str:
    """`left 1.1Gi (1.1Gi free − 0 promised) < 1.2Gi, 1.25 × the 1Gi reserve`."""
    what = f"the {format_size(headroom.reserve)} reserve"
    if taken > headroom.reserve:
        what = taken_by_others(taken)
    return f"{left_below(headroom, keep)}, {factor:g} × {what}"


def taken_by_others(taken: int) -> str:
    """`512Mi taken by other processes since the last observation`."""
    return f"{format_size(taken)} taken by other processes since the last observation"


def missing_memory(headroom: MemoryHeadroom, hidden: int, keep: int, instances: int) -> str:
    """`missing 204.8Mi (1.2Gi − 1Gi left) ≤ 1 × 1.4Gi footprint`."""
    startup = f" + {format_size(hidden)} taken during a start" if hidden else ""
    return (
        f"missing {format_size(keep + hidden - headroom.left)} "
        f"({format_size(keep)}{startup} − {format_size(headroom.left)} left) "
        f"≤ {instances} × {format_size(headroom.footprint)} footprint"
    )


def no_gain(measured: Throughput) -> str:
    """Compare the throughput with and without the last instance."""
    now, fewer = measured.now, measured.fewer
    return (
        f"the last instance gained nothing: {fewer.rate:.2f} pages/s with {fewer.instances}, "
        f"{now.rate:.2f} with {now.instances}"
    )


def reserve_too_large(headroom: MemoryHeadroom) -> str:
    """`memory.reserve 17Gi ≥ 16Gi of the device`."""
    reserve, total = format_pair(headroom.reserve, headroom.total)
    return f"memory.reserve {reserve} ≥ {total} of the device"


def never_fits(headroom: MemoryHeadroom) -> str:
    """`not even one instance fits: 17Gi (16Gi footprint + 1Gi reserve) > 16Gi of the device`."""
    need, total = format_pair(headroom.reserve + headroom.footprint, headroom.total)
    return (
        f"not even one instance fits: {need} ({format_size(headroom.footprint)} footprint + "
        f"{format_size(headroom.reserve)} reserve) > {total} of the device"
    )
