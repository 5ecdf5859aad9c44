"""Entry point of `ocrpool`. A signal ends the process also while the other modules are imported."""

from __future__ import annotations

from ocrpool_worker.signals import end_at_once


def main() -> int:
    """Run one command, with the arguments of this process."""
    end_at_once()
    from ocrpool.cli import main as run  # noqa: PLC0415

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
