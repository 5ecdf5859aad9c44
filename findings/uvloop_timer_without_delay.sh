#!/usr/bin/env bash
# uvloop 0.23.0: inside a timer, call_later(0) runs its callback before the loop looks at its sockets;
# asyncio's own loop looks at them first.
#
# It matters to whoever gives a late peer one more turn before giving it up: with uvloop that turn sees
# nothing that has arrived meanwhile. A delay of a millisecond makes both loops look first.
#
# Installs the pinned package into a temporary folder. Fails if the behaviour changes. Output seen:
#   asyncio, 0 s: read, judged
#   asyncio, 0.001 s: read, judged
#   uvloop, 0 s: judged, read
#   uvloop, 0.001 s: read, judged
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvloop==0.23.0
cat > "$folder/order.py" <<'PY'
import asyncio
import os
import time

import uvloop


async def order(delay: float) -> str:
    told: list[str] = []
    both = asyncio.Event()
    loop = asyncio.get_running_loop()
    reader, writer = os.pipe()

    def tell(what: str) -> None:
        told.append(what)
        if len(told) == 2:
            both.set()

    def read() -> None:
        os.read(reader, 1)
        loop.remove_reader(reader)
        tell("read")

    def late() -> None:
        os.write(writer, b"x")  # it arrives while the loop is busy
        time.sleep(0.05)
        loop.call_later(delay, tell, "judged")

    loop.add_reader(reader, read)
    loop.call_later(0.02, late)
    await both.wait()
    os.close(reader)
    os.close(writer)
    return ", ".join(told)


for name, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
    for delay in (0, 0.001):
        print(f"{name}, {delay:g} s: {run(order(delay))}")
PY
"$folder/venv/bin/python" "$folder/order.py" | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
asyncio, 0 s: read, judged
asyncio, 0.001 s: read, judged
uvloop, 0 s: judged, read
uvloop, 0.001 s: read, judged
SEEN
