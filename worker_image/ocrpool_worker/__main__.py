"""Entry point of `ocrpool-worker`. Signals end the process before the rest is imported."""

from __future__ import annotations

from ocrpool_worker.signals import end_at_once


def main() -> int:
    """Run one command, with the arguments of this process."""
    end_at_once()
    from ocrpool_worker.cli import main as run  # noqa: PLC0415

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
