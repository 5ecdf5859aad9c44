"""haproxy.cfg of a proxy, from a pool's spec. Pure text; docs/proxy.md says why it is as it is.

Written for HAProxy 2.6 and newer, and only with what Debian's and the official image both have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocrpool.protocol.quantity import parse_bytes
from ocrpool.resource.names import DATA_PORT, PROXY_PORT
from ocrpool.resource.spec import PoolSpec, ProxySpec

# A proxy that was told to end says so and still takes requests for so long.
LAME_DUCK_SECONDS = 5
# An answer may take as long as a document of many pages does. What has died is noticed by other
# means (docs/proxy.md); this is for a worker that lives and never answers.
MOST_ANSWER_SECONDS = 3600
# Idle connections of clients, besides the requests that are held.
MOST_CONNECTIONS = 8192

# What the workers know it by: without it they take the proxy itself for the one client of all. In
# the environment, for a ConfigMap is no place for secrets.
PROXY_SECRET = "OCRPOOL_PROXY_SECRET"


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """What the text depends on. `host`: a name that stands for all ready workers. `slots`: most
    addresses at once. `nameserver`: ADDRESS:PORT, or None for those of /etc/resolv.conf."""

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
    """The figures of a pool's proxy."""
    admission = spec.admission
    timeout, page, pages = admission.timeout_seconds, admission.page_limit, admission.max_pages
    return ProxyConfig(
        host=host,
        slots=server_slots(spec),
        # What HAProxy keeps free in a buffer for headers that it adds.
        buffer_bytes=parse_bytes(proxy.buffer) + 16 * 1024,
        max_requests=proxy.max_requests,
        timeout_seconds=timeout,
        page_seconds=page,
        # The first page has its time in the queue besides.
        answer_seconds=min(MOST_ANSWER_SECONDS, timeout + page * pages) + 15,
    )


def server_slots(spec: PoolSpec) -> int:
    """Places for servers: twice the workers, since one that has gone keeps its place for a while;
    in powers of two, so that a pool that is scaled seldom needs another proxy."""
    most = spec.autoscaling.max_replicas if spec.autoscaling else max(1, spec.replicas or 1)
    return max(16, 1 << (2 * most - 1).bit_length())


def termination_grace_seconds(spec: PoolSpec) -> int:
    """Seconds that a proxy has to end in, its lame-duck time included."""
    return LAME_DUCK_SECONDS + math.ceil(spec.admission.page_limit) + 10


def haproxy_cfg(config: ProxyConfig) -> str:
    """The file."""
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
        f"  maxconn {MOST_CONNECTIONS + config.max_requests}",
        f"  nbthread {config.threads}",
        # With fewer file descriptors than it would like it takes fewer connections, and starts.
        "  no strict-limits",
        # A request that fits in a buffer is kept until it is answered, to be sent again.
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
        # A client that hangs up takes its request with it, as it does without a proxy. Said here:
        # in the backend alone it does not see the client go.
        "  option abortonclose",
        # A client is slow if its body takes longer than a worker would wait for it.
        f"  timeout http-request {timeout}",
        f"  timeout client {timeout}",
        "  timeout http-keep-alive 60s",
        # After a refused connection it waits for so long, too, before it tries another server.
        "  timeout connect 1s",
        "  timeout queue 5s",
        f"  timeout server {math.ceil(config.answer_seconds)}s",
        f"  http-error status 400 {_plain(400, 'BadRequest', 'the request is no HTTP')}",
        f"  http-error status 408 {_plain(408, 'SlowBody', _SLOW.format(timeout))}",
        *(
            f"  http-error status {status} {_error(status, reason, words)} hdr Retry-After 1"
            for status, reason, words in (
                (502, "WorkerLost", _LOST),
                (503, "Unavailable", "no worker is ready; come back later"),
                (504, "TimedOut", "the worker did not answer; send it again, or send less at once"),
            )
        ),
    )


_SLOW = "the request did not arrive within {} (admission.timeoutSeconds)"
_LOST = (
    "the worker that had this request has ended, and it was not sent again: it was sent twice "
    "already, or is larger than proxy.buffer; send it again"
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
        # Several DNS servers with caches contradict each other for a while.
        "  hold obsolete 30s",
        # Without DNS it goes on with the workers that it knows; whether they live, it sees itself.
        *(f"  hold {status} 24h" for status in ("nx", "other", "refused", "timeout")),
    )


def _clients(config: ProxyConfig) -> tuple[str, ...]:
    busy = (
        f"this proxy holds {config.max_requests} requests, the limit (proxy.maxRequests); come "
        "back later, or add workers"
    )
    return (
        "frontend clients",
        f"  bind {config.address}:{DATA_PORT}",
        # Errors in the shape of the path, as the workers give them; see _error.
        "  http-request set-var(txn.paddlex) bool(true) if { path /ocr }",
        "  http-request set-var(txn.paddlex) bool(false) unless { path /ocr }",
        """  http-request set-var-fmt(txn.open) '{"logId":"%[uuid()]","errorCode":' """
        "if { path /ocr }",
        """  http-request set-var-fmt(txn.open) '{"error":{"status":' unless { path /ocr }""",
        f"  http-request return status 429 {_error(429, 'QueueFull', busy)} hdr Retry-After 1 "
        f"if {{ be_conn(workers) ge {config.max_requests} }}",
        # Whose request it is, for the worker's shares. Whatever a client sent by that name goes.
        f'  http-request set-header X-Ocrpool-Client "%[src] %[env({PROXY_SECRET})]"',
        # Whoever keeps connections shall open the next one to another proxy.
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
        # A node that is gone says nothing; the kernel asks, and gives up after 25 s.
        "  option srvtcpka",
        "  srvtcpka-idle 10s",
        "  srvtcpka-intvl 5s",
        "  srvtcpka-cnt 3",
        # Reading a page twice is safe. Once more and no oftener, as a worker does it with its
        # instances: a page that ends workers shall not end all of them.
        "  retries 1",
        "  option redispatch 1",
        "  retry-on conn-failure empty-response 503",
        "  default-server check inter 500ms fall 1 rise 1 tcp-ut 30s init-addr none",
        f"  server-template w {config.slots} {config.host}:{DATA_PORT} resolvers cluster "
        "resolve-prefer ipv4",
    )


def _ops(config: ProxyConfig) -> tuple[str, ...]:
    def say(status: int, words: str, when: str) -> str:
        text = f'content-type text/plain string "{words}\\n"'
        return f"  http-request return status {status} {text} if {when}"

    return (
        "frontend ops",
        f"  bind {config.address}:{PROXY_PORT}",
        "  option dontlog-normal",
        # Ready once it has seen a worker, and from then on: without workers its errors are clean.
        "  http-request set-var(proc.seen) bool(true) if { nbsrv(workers) gt 0 }",
        say(200, "ok", "{ path /livez }"),
        say(503, "stopping", "{ path /readyz } { stopping }"),
        say(200, "ok", "{ path /readyz } { var(proc.seen) -m bool }"),
        say(503, "no worker was seen yet", "{ path /readyz }"),
        "  http-request use-service prometheus-exporter if { path /metrics }",
        "  stats enable",
        "  stats uri /stats",
        "  stats show-legends",
        "  stats scope workers",
    )


def _plain(status: int, reason: str, words: str) -> str:
    """An error of a request whose path is not known."""
    body = f'{{"error":{{"status":{status},"reason":"{reason}","message":"{words}"}}}}'
    return f"content-type application/json string '{body}'"


def _error(status: int, reason: str, words: str) -> str:
    """An error: for `/ocr` PaddleX's fields, else `/v1`'s, chosen when it is sent. `words` holds
    neither quotes nor per cent signs."""
    other = rf"\"reason\":\"{reason}\",\"message\":\""
    middle = rf'%[var(txn.paddlex),iif("\"errorMsg\":\"","{other}")]'
    end = r'%[var(txn.paddlex),iif("}","}}")]'
    return (
        f"content-type application/json lf-string '%[var(txn.open)]{status},{middle}{words}\"{end}'"
    )
