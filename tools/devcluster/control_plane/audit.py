"""The API server's own record of what accounts of pods, such as an operator's, have written."""

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
        # That it was written, and not what.
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
    """Write the policy; answers what the API server is told."""
    policy = folder.audit.with_name("audit-policy.json")
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(json.dumps(_POLICY), encoding="utf-8")
    return [
        f"--audit-policy-file={policy}",
        f"--audit-log-path={folder.audit}",
        # What is written is in the file once the call is answered.
        "--audit-log-mode=blocking-strict",
        "--audit-log-maxsize=4000",
        "--audit-log-maxbackup=1",
    ]
