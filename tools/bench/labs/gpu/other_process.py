"""Another process on the device. It holds as many bytes as the last line of its stdin says.

`python -m tools.bench.labs.gpu.other_process cuda|cpu` answers each line with `ok` or `no: REASON`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

# Memory is taken in pieces, as by a program that grows.
PIECE = 256 * 2**20


def main() -> int:
    on_gpu = sys.argv[1] == "cuda"
    torch: Any = importlib.import_module("torch") if on_gpu else None
    held: list[Any] = []
    for line in sys.stdin:
        target = int(line)
        try:
            if PIECE * len(held) > target:
                del held[-(-target // PIECE) :]
                if on_gpu:
                    torch.cuda.empty_cache()
            while PIECE * len(held) < target:
                if on_gpu:
                    held.append(torch.zeros(PIECE, dtype=torch.uint8, device="cuda:0"))
                else:
                    held.append(bytearray(b"\x01") * PIECE)
            print("ok", flush=True)
        except (MemoryError, RuntimeError) as error:
            print(f"no: {' '.join(str(error).split())[:200]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
