"""The audit log of the API server: writes by service accounts, such as an operator's."""

from __future__ import annotations

import json

from tools.devcluster.layout import Folder

_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The cluster's own controllers.
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        # Only the fact of the write, not its content.
        {
            "level": "Metadata",
            "userGroups": ["system:serviceaccounts"],
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            "resources": [{"resources": ["secrets", "serviceaccounts/token"]}],
        },
        {"level": "None", "resources": [{"resources": ["events"]}]},
        {
            "level": "RequestResponse",
            "userGroups": ["system:serviceaccounts"],
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            "omitManagedFields": True,
        },
        {"level": "None"},
    ],
}


def arguments(folder: Folder) -> list[str]:
    """Write the policy. Returns the flags of the API server."""
    policy = folder.audit.with_name("audit-policy.json")
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(json.dumps(_POLICY), encoding="utf-8")
    return [
        f"--audit-policy-file={policy}",
        f"--audit-log-path={folder.audit}",
        # So that a write is in the file before the call returns.
        "--audit-log-mode=blocking-strict",
        "--audit-log-maxsize=4000",
        "--audit-log-maxbackup=1",
    ]
