"""Pools for these tests, requests to them, and waits."""

from __future__ import annotations

import json
import time
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fake_engine import png
from tools.bench.lib.load import Load
from tools.bench.lib.payload import plain_request
from tools.bench.lib.samples import SamplePage
from tools.devcluster.images import tag_of
from tools.devcluster.testing import Namespace

Object = dict[str, Any]
GIB = 1 << 30
# Each poll runs kubectl, which takes a tenth of a second of CPU time from the pods.
POLL_SECONDS = 1.0
# Pods start slowly on two busy cores.
PATIENCE_SECONDS = 150.0


def real_pool(name: str = "pages", **spec: Any) -> Object:
    """PaddleOCR on the CPU. Small admitted pages keep the instances small."""
    template = {"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "4Gi"}}}
    return _pool(
        name,
        "worker",
        template,
        {
            "device": "cpu",
            "replicas": 1,
            "instances": {"min": 1, "max": 1},
            "memory": {"reserve": "512Mi"},
            "engine": {"name": "paddleocr", "options": {"cpu_threads": 1}},
            "admission": {"maxMegapixels": 2},
            **spec,
        },
    )


def fake_engine_pool(name: str = "pages", *, device: str = "cpu", **spec: Any) -> Object:
    """The fake engine: it starts in a second and takes memory of the fake GPUs."""
    resources = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}}
    engine = {"name": "charging:ChargingEngine", "options": {"bytes": 2 * GIB, "seconds": 0.1}}
    return _pool(
        name,
        "testworker",
        {"resources": resources, "graceSeconds": 10},
        {
            "device": device,
            "replicas": 1,
            "instances": {"min": 1, "max": 1},
            "memory": {"reserve": "256Mi"},
            "engine": engine,
            "admission": {"maxMegapixels": 1, "timeoutSeconds": 20},
            **spec,
        },
    )


def _pool(name: str, image: str, template: Object, spec: Object) -> Object:
    given = {"image": tag_of(image), "imagePullPolicy": "Never", **template}
    return {
        "apiVersion": "ocrpool.dev/v1alpha1",
        "kind": "OcrPool",
        "metadata": {"name": name},
        "spec": {**spec, "template": {**given, **spec.get("template", {})}},
    }


@dataclass(frozen=True)
class LivePool:
    """A pool that was applied."""

    namespace: Namespace
    name: str = "pages"

    @property
    def body(self) -> Object:
        return self.namespace.get("ocrpool", self.name)

    @property
    def pods(self) -> dict[str, Object]:
        """Its worker pods by name, including those that end."""
        found = self.namespace.get("pods", f"--selector=ocrpool.dev/pool={self.name}")
        return {each["metadata"]["name"]: each for each in found["items"]}

    @property
    def uids(self) -> set[str]:
        """The UIDs of its worker pods. A replaced pod of the same name has another UID."""
        return {pod["metadata"]["uid"] for pod in self.pods.values()}

    def load(self, *, keep_alive: bool = False) -> Load:
        """Five pages a second for the fake engine, through the Service."""
        address = (self.cluster_ip(), 8080)
        return Load(
            lambda: address,
            [plain_request(blank())],
            rate=5.0,
            keep_alive=keep_alive,
            check=lambda _, body: expect_text("320x200")(json.loads(body)),
        )

    def cluster_ip(self) -> str:
        """The address of the pool's Service, which the host reaches."""
        return str(self.namespace.get("service", self.name)["spec"]["clusterIP"])

    def condition(self, kind: str) -> Object:
        """One of the three conditions; empty before the operator has written it."""
        conditions = self.body.get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def patch(self, **spec: Any) -> None:
        """Merge these fields into the spec."""
        change = json.dumps({"spec": spec})
        self.namespace.kubectl("patch", "ocrpool", self.name, "--type=merge", f"--patch={change}")

    def url(self) -> str:
        """Where clients send their pages."""
        return f"http://{self.cluster_ip()}:8080"

    def until(
        self,
        what: str,
        is_so: Callable[[Object], bool],
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> Object:
        """Wait until `is_so` holds for the pool. Fails the test with the state of the pool."""
        deadline = time.monotonic() + seconds
        while True:
            body = self.body
            if is_so(body):
                return body
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds:g} s: {what}\n{self.describe()}", pytrace=False)
            time.sleep(POLL_SECONDS)

    def until_ready(self, workers: int, *, seconds: float = PATIENCE_SECONDS) -> Object:
        """Wait until all workers of the newest spec are ready and nothing changes any more."""

        def settled(body: Object) -> bool:
            status = body.get("status", {})
            reasons = {each["type"]: each["reason"] for each in status.get("conditions", [])}
            return (
                status.get("observedGeneration") == body["metadata"]["generation"]
                and status.get("readyReplicas") == status.get("replicas") == workers
                and reasons.get("Progressing") == "Settled"
            )

        return self.until(f"{workers} workers are ready and settled", settled, seconds=seconds)

    def until_reason(self, kind: str, reason: str, *, seconds: float = 60) -> Object:
        """Wait for the reason of a condition. Returns the condition."""
        self.until(
            f"{kind} has the reason {reason}",
            lambda _: self.condition(kind).get("reason") == reason,
            seconds=seconds,
        )
        return self.condition(kind)

    def describe(self) -> str:
        """The status, pods and events, for the message of a failed test."""
        words = [json.dumps(self.body.get("status", {}), indent=1)]
        for command in (("get", "pods", "--output=wide"), ("get", "events")):
            words.append(self.namespace.kubectl(*command))
        for name in self.pods:
            try:
                log = self.namespace.kubectl("logs", name, "--tail=15")
            except AssertionError as error:
                log = str(error)
            words.append(f"{name}:\n{log}")
        return "\n".join(words)


def apply(namespace: Namespace, body: Object) -> LivePool:
    namespace.apply(body)
    return LivePool(namespace, body["metadata"]["name"])


def blank(width: int = 320, height: int = 200) -> bytes:
    """A page for the fake engine, which answers its size."""
    return png(width, height, (b"\x00" + b"\xff" * width) * height)


def expect_text(text: str) -> Callable[[object], str]:
    """A check of an answer of /v1/ocr. It returns what is wrong, or an empty text."""

    def check(answer: Any) -> str:
        found = "|".join(line["text"] for page in answer["pages"] for line in page["lines"])
        return "" if found == text else f"{text!r} was expected, {found!r} was read"

    return check


def post_page(url: str, body: bytes, *, seconds: float = 60) -> Any:
    """POST a page. Raises HTTPError and OSError."""
    request = urllib.request.Request(url, data=body, method="POST")
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.load(answer)


def missing_lines(page: SamplePage, texts: Iterable[str]) -> list[str]:
    """The lines of a page that were not read. Differences in blanks and in the width of characters
    (commas, yen signs) are ignored."""
    found = {_bare(text) for text in texts}
    return [line for line in page.lines if _bare(line) not in found]


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def first_text(url: str, page: SamplePage, *, seconds: float = PATIENCE_SECONDS) -> list[str]:
    """The text of a page. Sends it again until there is an answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = post_page(f"{url}/v1/ocr", page.data)
        except OSError as error:  # an HTTPError is one, too
            if time.monotonic() > deadline:
                words = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                pytest.fail(f"no answer within {seconds:g} s: {error} {words}", pytrace=False)
            time.sleep(0.2)
        else:
            return [line["text"] for each in answer["pages"] for line in each["lines"]]
