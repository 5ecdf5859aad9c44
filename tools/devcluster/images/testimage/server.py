"""What the cluster's own tests run in a pod: says who it is, and what GPUs it sees.

GET /        the pod's name
GET /gpus    what pynvml sees: [{"uuid", "total", "used"}]
GET /charge?bytes=N   a child process takes N bytes of the fake GPU, and holds them
"""

import http.server
import json
import os
import subprocess
import sys
import urllib.parse

import pynvml

HOLDER = """
import ctypes, sys, time
taken = ctypes.CDLL("libnvidia-ml.so.1").fakegpuCharge(0, ctypes.c_ulonglong(int(sys.argv[1])))
print(taken, flush=True)
if taken == 0:
    time.sleep(3600)
"""


def gpus() -> list[dict[str, object]]:
    pynvml.nvmlInit()
    handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
    found = []
    for handle in handles:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        uuid = pynvml.nvmlDeviceGetUUID(handle)
        found.append({"uuid": uuid, "total": memory.total, "used": memory.used})
    return found


def charge(amount: str) -> dict[str, int]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, amount], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    return {"pid": holder.pid, "error": int(holder.stdout.readline())}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/gpus":
            answer: object = gpus()
        elif url.path == "/charge":
            answer = charge(urllib.parse.parse_qs(url.query)["bytes"][0])
        else:
            answer = {"pod": os.environ.get("HOSTNAME", "")}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    print("serving on 8080")
    http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
