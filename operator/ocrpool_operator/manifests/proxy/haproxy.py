"""The haproxy.cfg of a proxy, made from a pool's spec. docs/proxy.md gives the reasons.

For HAProxy 2.6 and newer. It uses only what Debian's and the official image both have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocrpool.protocol.quantity import parse_bytes
from ocrpool.resource.names import DATA_PORT, PROXY_PORT
from ocrpool.resource.spec import PoolSpec, ProxySpec

# A proxy that is ending reports it on /readyz, and takes requests for this much longer.
LAME_DUCK_SECONDS = 5
# An answer may take as long as a document of many pages takes. A worker that is gone is noticed by
# other means (docs/proxy.md). This limit is for a worker that runs and never answers.
MAX_ANSWER_SECONDS = 3600
# Idle connections of clients, in addition to those with a request.
MAX_IDLE_CONNECTIONS = 8192

# The workers recognize the proxy by this secret. Without it they treat the proxy as one client. It
# is in the environment, because a ConfigMap must not hold secrets.
PROXY_SECRET = "OCRPOOL_PROXY_SECRET"


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """The values in haproxy.cfg. `host`: the DNS name of all ready workers. `slots`: the largest
    number of addresses at once. `nameserver`: ADDRESS:PORT, or None for /etc/resolv.conf."""

    host: str
    slots: int
    buffer_bytes: int
    max_requests: int
    timeout_seconds: float
    page_seconds: float
    answer_seconds: float
    nameserver: str | None = None
    address: str = ""
    threads: int = 2


def proxy_config(spec: PoolSpec, proxy: ProxySpec, host: str) -> ProxyConfig:
    """The values for a pool's proxy."""
    admission = spec.admission
    timeout, page, pages = admission.timeout_seconds, admission.page_limit, admission.max_pages
    return ProxyConfig(
        host=host,
        slots=server_slots(spec),
        # HAProxy keeps 16 KiB of a buffer free for headers that it adds.
        buffer_bytes=parse_bytes(proxy.buffer) + 16 * 1024,
        max_requests=proxy.max_requests,
        timeout_seconds=timeout,
        page_seconds=page,
        # The time in the queue comes before the time of the pages.
        answer_seconds=min(MAX_ANSWER_SECONDS, timeout + page * pages) + 15,
    )


def server_slots(spec: PoolSpec) -> int:
    """The number of servers in the backend. Twice the workers, because a worker that is gone keeps
    its slot for a while. A power of two, so that scaling a pool rarely replaces the proxy."""
    workers = spec.autoscaling.max_replicas if spec.autoscaling else max(1, spec.replicas or 1)
    return max(16, 1 << (2 * workers - 1).bit_length())


def termination_grace_seconds(spec: PoolSpec) -> int:
    """Seconds for a proxy to end in, its lame-duck time included."""
    return LAME_DUCK_SECONDS + math.ceil(spec.admission.page_limit) + 10


def haproxy_cfg(config: ProxyConfig) -> str:
    """The text of haproxy.cfg."""
    return "\n".join(
        (
            *_global(config),
            *_defaults(config),
            *_resolvers(config),
            *_clients(config),
            *_workers(config),
            *_ops(config),
            "",
        )
    )


def _global(config: ProxyConfig) -> tuple[str, ...]:
    return (
        "global",
        "  log stdout format raw local0 info",
        f"  maxconn {MAX_IDLE_CONNECTIONS + config.max_requests}",
        f"  nbthread {config.threads}",
        # With too few file descriptors it takes fewer connections, instead of not starting.
        "  no strict-limits",
        # A request that fits in a buffer is kept until it is answered: it may be sent again.
        f"  tune.bufsize {config.buffer_bytes}",
        f"  grace {LAME_DUCK_SECONDS}s",
        f"  hard-stop-after {LAME_DUCK_SECONDS + math.ceil(config.page_seconds) + 5}s",
    )


def _defaults(config: ProxyConfig) -> tuple[str, ...]:
    timeout = f"{math.ceil(config.timeout_seconds)}s"
    return (
        "defaults",
        "  mode http",
        "  log global",
        "  option httplog",
        "  option dontlog-normal",
        "  option dontlognull",
        # If a client disconnects, its request is cancelled, as without a proxy. This is in the
        # defaults, because in the backend alone HAProxy does not notice the client.
        "  option abortonclose",
        # A body may take as long as a worker would wait for it.
        f"  timeout http-request {timeout}",
        f"  timeout client {timeout}",
        "  timeout http-keep-alive 60s",
        # HAProxy also waits this long after a refused connection before it tries another server.
        "  timeout connect 1s",
        "  timeout queue 5s",
        f"  timeout server {math.ceil(config.answer_seconds)}s",
        f"  http-error status 400 {_plain(400, 'BadRequest', 'the request is not valid HTTP')}",
        f"  http-error status 408 {_plain(408, 'SlowBody', _SLOW.format(timeout))}",
        *(
            f"  http-error status {status} {_error(status, reason, message)} hdr Retry-After 1"
            for status, reason, message in _WORKER_ERRORS
        ),
    )


_SLOW = "the request did not arrive within {} (admission.timeoutSeconds)"
_LOST = (
    "the worker that had this request ended, and the request was not sent again, because it was "
    "sent twice already or is larger than proxy.buffer; send it again"
)
_NO_ANSWER = "the worker did not answer; send the request again, or send fewer pages at once"
_WORKER_ERRORS = (
    (502, "WorkerLost", _LOST),
    (503, "Unavailable", "no worker is ready; try again later"),
    (504, "TimedOut", _NO_ANSWER),
)


def _resolvers(config: ProxyConfig) -> tuple[str, ...]:
    if config.nameserver is None:
        servers = "  parse-resolv-conf"
    else:
        servers = f"  nameserver given {config.nameserver}"
    return (
        "resolvers cluster",
        servers,
        "  accepted_payload_size 8192",
        "  timeout resolve 1s",
        "  timeout retry 1s",
        "  resolve_retries 3",
        "  hold valid 1s",
        # Several DNS servers with caches can disagree for a while.
        "  hold obsolete 30s",
        # Without DNS it keeps the workers that it knows; its health checks show which are ready.
        *(f"  hold {status} 24h" for status in ("nx", "other", "refused", "timeout")),
    )


def _clients(config: ProxyConfig) -> tuple[str, ...]:
    busy = (
        f"this proxy holds {config.max_requests} requests, its limit (proxy.maxRequests); try "
        "again later, or add workers"
    )
    return (
        "frontend clients",
        f"  bind {config.address}:{DATA_PORT}",
        # Errors have the format of the path, as the workers' errors do; see _error.
        "  http-request set-var(txn.paddlex) bool(true) if { path /ocr }",
        "  http-request set-var(txn.paddlex) bool(false) unless { path /ocr }",
        """  http-request set-var-fmt(txn.open) '{"logId":"%[uuid()]","errorCode":' """
        "if { path /ocr }",
        """  http-request set-var-fmt(txn.open) '{"error":{"status":' unless { path /ocr }""",
        f"  http-request return status 429 {_error(429, 'QueueFull', busy)} hdr Retry-After 1 "
        f"if {{ be_conn(workers) ge {config.max_requests} }}",
        # The client's address, for the worker's fair shares. It replaces what the client sent.
        f'  http-request set-header X-Ocrpool-Client "%[src] %[env({PROXY_SECRET})]"',
        # A client that keeps connections opens the next one to another proxy.
        "  http-after-response set-header Connection close if { stopping }",
        "  default_backend workers",
    )


def _workers(config: ProxyConfig) -> tuple[str, ...]:
    return (
        "backend workers",
        "  balance leastconn",
        "  option httpchk GET /health",
        "  http-check expect status 200",
        "  timeout check 5s",
        "  option http-buffer-request",
        # A lost node closes no connection. The kernel probes them, and gives up after 25 s.
        "  option srvtcpka",
        "  srvtcpka-idle 10s",
        "  srvtcpka-intvl 5s",
        "  srvtcpka-cnt 3",
        # Reading a page twice is safe. It is sent again only once, as a worker does with its
        # instances: a page that kills workers must not kill all of them.
        "  retries 1",
        "  option redispatch 1",
        "  retry-on conn-failure empty-response 503",
        "  default-server check inter 500ms fall 1 rise 1 tcp-ut 30s init-addr none",
        f"  server-template w {config.slots} {config.host}:{DATA_PORT} resolvers cluster "
        "resolve-prefer ipv4",
    )


def _ops(config: ProxyConfig) -> tuple[str, ...]:
    def answer(status: int, text: str, condition: str) -> str:
        body = f'content-type text/plain string "{text}\\n"'
        return f"  http-request return status {status} {body} if {condition}"

    return (
        "frontend ops",
        f"  bind {config.address}:{PROXY_PORT}",
        "  option dontlog-normal",
        # Ready once it has seen a worker, and from then on: without workers its errors are correct.
        "  http-request set-var(proc.seen) bool(true) if { nbsrv(workers) gt 0 }",
        answer(200, "ok", "{ path /livez }"),
        answer(503, "stopping", "{ path /readyz } { stopping }"),
        answer(200, "ok", "{ path /readyz } { var(proc.seen) -m bool }"),
        answer(503, "no worker was seen yet", "{ path /readyz }"),
        "  http-request use-service prometheus-exporter if { path /metrics }",
        "  stats enable",
        "  stats uri /stats",
        "  stats show-legends",
        "  stats scope workers",
    )


def _plain(status: int, reason: str, message: str) -> str:
    """An error for a request whose path is not known."""
    body = f'{{"error":{{"status":{status},"reason":"{reason}","message":"{message}"}}}}'
    return f"content-type application/json string '{body}'"


def _error(status: int, reason: str, message: str) -> str:
    """An error with the fields of PaddleX for `/ocr`, else with those of `/v1`. HAProxy chooses
    when it sends it. `message` must not contain quotes or percent signs."""
    other = rf"\"reason\":\"{reason}\",\"message\":\""
    middle = rf'%[var(txn.paddlex),iif("\"errorMsg\":\"","{other}")]'
    end = r'%[var(txn.paddlex),iif("}","}}")]'
    text = f'%[var(txn.open)]{status},{middle}{message}"{end}'
    return f"content-type application/json lf-string '{text}'"
