"""Decisions in sentences that a person can check with the numbers in them."""

from __future__ import annotations

from ocrpool.planner.instances.headroom import MemoryHeadroom
from ocrpool.planner.instances.throughput import Throughput
from ocrpool.protocol.quantity import format_bytes, parse_bytes


def size(count: int) -> str:
    """Bytes for a person, with a real minus sign: `−1.4Gi`."""
    return format_bytes(count).replace("-", "−")


def compare(left: int, right: int) -> tuple[str, str]:
    """Two byte counts for a person; in full where rounding would make different ones look equal."""
    texts = size(left), size(right)
    rounded = tuple(parse_bytes(text.removeprefix("−")) for text in texts)
    if left != right and rounded[0] == rounded[1] and (left < 0) == (right < 0):
        return str(left).replace("-", "−"), str(right).replace("-", "−")
    return texts


def room(figures: MemoryHeadroom, sign: str, margin: int) -> str:
    """`room 5.1Gi (6.1Gi free − 1Gi reserve − 0 promised) ≥ 1.8Gi (1.4Gi footprint + …)`."""
    shown, need = compare(figures.room, figures.footprint + margin)
    return (
        f"room {shown} ({size(figures.free)} free − {size(figures.reserve)} reserve − "
        f"{size(figures.promised)} promised) {sign} {need} "
        f"({size(figures.footprint)} footprint + {size(margin)} margin)"
    )


def left_below(figures: MemoryHeadroom, bound: int) -> str:
    """`left 0.3Gi (1.7Gi free − 1.4Gi promised) < 896Mi`."""
    shown, limit = compare(figures.left, bound)
    returning = f" + {size(figures.returning)} returning" if figures.returning else ""
    return (
        f"left {shown} ({size(figures.free)} free − {size(figures.promised)} promised{returning}) "
        f"< {limit}"
    )


def too_little(figures: MemoryHeadroom, fell: int, keep: int, times: float) -> str:
    """`left 1.1Gi (1.1Gi free − 0 promised) < 1.2Gi, 1.25 × the 1Gi reserve`."""
    most = f"{size(figures.reserve)} reserve"
    if fell > figures.reserve:
        most = f"{size(fell)} that went since the last look"
    return f"{left_below(figures, keep)}, {times:g} × the {most}"


def missing(figures: MemoryHeadroom, hidden: int, keep: int, instances: int) -> str:
    """`missing 204.8Mi (1.2Gi − 1Gi left) ≤ 1 × 1.4Gi footprint`."""
    behind = f" + {size(hidden)} behind the boot" if hidden else ""
    return (
        f"missing {size(keep + hidden - figures.left)} "
        f"({size(keep)}{behind} − {size(figures.left)} left) "
        f"≤ {instances} × {size(figures.footprint)} footprint"
    )


def rates(measured: Throughput) -> str:
    """What the last instance brought."""
    now, fewer = measured.now, measured.fewer
    return (
        f"the last instance brought nothing: {fewer.rate:.2f} pages/s with {fewer.instances}, "
        f"{now.rate:.2f} with {now.instances}"
    )


def reserve_too_large(figures: MemoryHeadroom) -> str:
    reserve, total = compare(figures.reserve, figures.total)
    return f"the reserve of {reserve} leaves nothing of the device's {total}"


def fits_never(figures: MemoryHeadroom) -> str:
    need, total = compare(figures.reserve + figures.footprint, figures.total)
    return (
        f"not even one fits: {need} ({size(figures.footprint)} footprint + "
        f"{size(figures.reserve)} reserve) > {total} of the device"
    )
