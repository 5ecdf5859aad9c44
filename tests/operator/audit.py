"""The API server's audit log of one test: operators wrote only to objects that an operator created.

Objects are compared by uid, so an object that replaced one of the operator's is a different one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.operator.rights import ACCOUNT
from tools.devcluster.testing import Namespace

Event = dict[str, Any]
# A pool is its user's; the operator writes its finalizer and its status. Leases are the operators'.
NOT_OURS = ("ocrpools", "leases")


def hold(namespace: Namespace) -> list[Event]:
    """What the operators of a test wrote. Raises AssertionError for what was not theirs to write.
    Nothing is known of somebody else's cluster."""
    folder = namespace.cluster.folder
    events = [] if folder is None else list(writes(folder.audit, namespace.name))
    found = foreign_writes(iter(events))
    assert not found, found
    return events


def writes(log: Path, namespace: str) -> Iterator[Event]:
    """What operators wrote in this namespace and the API server did, the oldest first."""
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            if namespace not in line or not line.endswith("\n"):
                continue
            event: Event = json.loads(line)
            done = event.get("responseStatus", {}).get("code", 500) < 300
            where = event.get("objectRef", {}).get("namespace")
            if done and where == namespace and event["user"]["username"] == user:
                yield event


def foreign_writes(events: Iterator[Event]) -> list[str]:
    """Those to what no operator had made, in a line each, and objects made without an owner."""
    made: set[str] = set()
    found = []
    for event in events:
        what = event["objectRef"]
        if what["resource"] in NOT_OURS:
            continue
        line = f"{event['verb']} {what['resource']} {what.get('name', '')}"
        if event["verb"] == "create":
            if what["resource"] == "secrets":
                continue  # never written again; its content is not in the record
            meta = event["responseObject"]["metadata"]
            made.add(meta["uid"])
            if [each["kind"] for each in meta.get("ownerReferences", ())] != ["OcrPool"]:
                found.append(f"{line}: without its pool as its owner")
        elif _uid(event) not in made:
            found.append(line)
    return found


def _uid(event: Event) -> str:
    """Of what was written: the answer is the object, or to a deletion a Status with its uid."""
    answer = event["responseObject"]
    uid = answer["details"]["uid"] if answer["kind"] == "Status" else answer["metadata"]["uid"]
    return str(uid)
