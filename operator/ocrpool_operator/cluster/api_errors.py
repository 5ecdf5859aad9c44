"""What a refusal of the API server means for a pool, with what to do about it."""

from __future__ import annotations

from ocrpool.planner.observed import PoolProblem
from ocrpool.planner.size_limit import shorten
from ocrpool_operator.cluster.client import ApiError


class PersistentError(Exception):
    """Something cannot be done, and stays so until somebody changes something."""

    def __init__(self, problem: PoolProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def is_transient(error: ApiError) -> bool:
    """The server is busy, restarting or away: the same call will do later."""
    return error.status in (0, 408, 429) or error.status >= 500


def is_too_large(error: ApiError) -> bool:
    """The object has outgrown what etcd, or the API server, takes; which of them says it in which
    words depends on by how much."""
    said = error.message.lower()
    return error.status == 413 or "too large" in said or "larger than max" in said


def persistent_problem(error: ApiError) -> PoolProblem:
    """A refusal that stays until somebody changes something. Raises `error` if it passes."""
    if is_transient(error):
        raise error
    text = shorten(error.message, 500)
    if error.status == 401:
        # Credentials run out and are renewed; what is in the hands of the login is not the pool's.
        raise error
    if error.status == 403 and "exceeded quota" in text:
        return PoolProblem("QuotaExceeded", f"{text}; raise the ResourceQuota or ask for less")
    if error.status == 403 and "being terminated" in text:
        return PoolProblem("NamespaceTerminating", text)
    if error.status == 403 and "violates PodSecurity" in text:
        return PoolProblem("PodRefused", f"{text}; look at the template")
    if error.status == 403:
        return PoolProblem(
            "Forbidden", f"{text}; give the operator the rights in manifests/base/rbac.yaml"
        )
    if error.status == 422:
        return PoolProblem("Refused", f"{text}; look at spec.template")
    return PoolProblem("Refused", f"{error.reason}: {text}")
