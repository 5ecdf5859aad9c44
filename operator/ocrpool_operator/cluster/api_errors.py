"""Which refusals of the API server last, and what the pool's status says about them."""

from __future__ import annotations

from ocrpool.planner.observed import PoolProblem
from ocrpool.planner.size_limit import shorten
from ocrpool_operator.cluster.client import ApiError


class PersistentError(Exception):
    """An error that lasts until somebody changes something."""

    def __init__(self, problem: PoolProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def is_transient(error: ApiError) -> bool:
    """Whether the same call can succeed later: the server is busy, restarts or is unavailable."""
    return error.status in (0, 408, 429) or error.status >= 500


def is_too_large(error: ApiError) -> bool:
    """Whether the object exceeds a size limit. etcd and the API server have limits of their own,
    and each words its error differently."""
    message = error.message.lower()
    return error.status == 413 or "too large" in message or "larger than max" in message


def persistent_problem(error: ApiError) -> PoolProblem:
    """The problem that the status reports for a refusal. Raises `error` if it is transient."""
    if is_transient(error):
        raise error
    text = shorten(error.message, 500)
    if error.status == 401:
        # Credentials expire and are renewed. They are the operator's matter, not the pool's.
        raise error
    if error.status == 403 and "exceeded quota" in text:
        return PoolProblem("QuotaExceeded", f"{text}; raise the ResourceQuota or ask for less")
    if error.status == 403 and "being terminated" in text:
        return PoolProblem("NamespaceTerminating", text)
    if error.status == 403 and "violates PodSecurity" in text:
        return PoolProblem("PodRefused", f"{text}; check spec.template")
    if error.status == 403:
        return PoolProblem(
            "Forbidden", f"{text}; run `helm upgrade`, or apply manifests/base/rbac.yaml"
        )
    if error.status == 422:
        return PoolProblem("Refused", f"{text}; check spec.template")
    return PoolProblem("Refused", f"{error.reason}: {text}")
