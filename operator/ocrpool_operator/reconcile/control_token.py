"""The control token of every pool: made once, kept in its Secret, and read as rarely as possible.

Only a Secret that the pool owns counts: the content of a foreign Secret under its name is ignored.

The operator may get and create Secrets, and may neither list nor watch them.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable

from ocrpool.planner.observed import ObservedPool, PoolProblem
from ocrpool.resource.names import token_name
from ocrpool_operator.cluster.api_errors import PersistentError
from ocrpool_operator.cluster.client import SECRETS, ApiError, KubeClient
from ocrpool_operator.cluster.owners import NAME_TAKEN, name_taken, owns
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.secrets import control_secret
from ocrpool_operator.reconcile.guarded_call import CallResult, GuardedCalls

# A Secret that was deleted or changed by hand is noticed after this long, or at the first 401.
REFRESH_SECONDS = 300.0
TOKEN_MISSING = "TokenMissing"


class ControlTokens:
    """Reads, makes and remembers the control tokens, by pool. `clock`: monotonic seconds."""

    def __init__(
        self, client: KubeClient, guarded: GuardedCalls, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._guarded = guarded
        self._clock = clock
        # By uid of the pool: the token, and when it was read.
        self._tokens: dict[str, tuple[str, float]] = {}

    async def obtain(self, pool: ObservedPool) -> CallResult[str]:
        """The pool's token; makes the Secret if there is none. The token is empty if the pool is
        deleted and its Secret with it. Raises ApiError if the API server is unavailable."""
        return await self._guarded.attempt(
            pool, "Secret", lambda: self._obtain(pool), ends_pause=_is_about_content
        )

    def invalidate(self, pool: ObservedPool) -> None:
        """Read the token again before its next use."""
        self._tokens.pop(pool.uid, None)

    async def _obtain(self, pool: ObservedPool) -> str:
        token, read_at = self._tokens.get(pool.uid, ("", 0.0))
        now = self._clock()
        if token and now - read_at < REFRESH_SECONDS:
            return token
        try:
            secret = await self._read_or_create(pool)
        except ApiError as error:
            if error.status == 404 and pool.deleting:
                return ""
            raise
        if not owns(pool, secret):
            raise PersistentError(name_taken("Secret", secret, blocks=True))
        token = _token_in(secret)
        self._tokens[pool.uid] = (token, now)
        return token

    async def _read_or_create(self, pool: ObservedPool) -> Object:
        try:
            return await self._client.get(SECRETS, pool.namespace, token_name(pool.name))
        except ApiError as error:
            if error.status != 404 or pool.deleting:
                raise
        secret = control_secret(pool, secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        try:
            return await self._client.create(SECRETS, secret)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        # Another process created it meanwhile, or this operator did before it was restarted.
        return await self._client.get(SECRETS, pool.namespace, token_name(pool.name))


async def _is_about_content(problem: PoolProblem) -> bool:
    """Whether the Secret can be read, and only what is in it is wrong. Then it is read again in
    every round: a read is cheap, and somebody may have mended it."""
    return problem.reason in (NAME_TAKEN, TOKEN_MISSING)


def _token_in(secret: Object) -> str:
    """Raises PersistentError if there is none."""
    try:
        text = base64.b64decode(secret["data"]["token"], validate=True).decode().strip()
    except (KeyError, TypeError, ValueError, binascii.Error):
        text = ""
    if not text:
        name = secret.get("metadata", {}).get("name", "")
        message = (
            f"Secret {name} of this pool has no key `token`; delete the Secret, and the operator "
            "makes a new one"
        )
        raise PersistentError(PoolProblem(TOKEN_MISSING, message))
    return text
