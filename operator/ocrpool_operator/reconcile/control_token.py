"""The control token of every pool: made once, kept in its Secret, read as seldom as can be.

Only a Secret of the pool's own counts: what somebody else has put under its name is nobody's token.

The operator may get and create Secrets, and neither list nor watch them.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from ocrpool.planner.observed import ObservedPool, PoolProblem
from ocrpool.resource.names import token_name
from ocrpool_operator.cluster.api_errors import PersistentError
from ocrpool_operator.cluster.client import SECRETS, ApiError, KubeClient
from ocrpool_operator.cluster.owners import name_taken, owns
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.secrets import control_secret

# A Secret that was deleted or changed by hand is noticed after this long, or at the first 401.
FRESH_SECONDS = 300.0


class ControlTokens:
    """Reads, makes and remembers the control tokens, by pool."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._held: dict[str, tuple[str, float]] = {}

    async def of(self, pool: ObservedPool, now: float) -> str:
        """The pool's token; makes the Secret where there is none. `now`: monotonic seconds. Raises
        ApiError, PersistentError: what is there has no token, or is not this pool's."""
        held = self._held.get(pool.uid)
        if held is not None and now - held[1] < FRESH_SECONDS:
            return held[0]
        secret = await self._secret(pool)
        if not owns(pool, secret):
            raise PersistentError(name_taken("Secret", secret, blocks=True))
        token = _token_in(secret)
        self._held[pool.uid] = (token, now)
        return token

    def doubt(self, pool: ObservedPool) -> None:
        """Read it again before it is used again."""
        self._held.pop(pool.uid, None)

    async def _secret(self, pool: ObservedPool) -> Object:
        try:
            return await self._client.get(SECRETS, pool.namespace, token_name(pool.name))
        except ApiError as error:
            if error.status != 404 or pool.deleting:
                raise
        fresh = control_secret(pool, secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        try:
            return await self._client.create(SECRETS, fresh)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        # Somebody was faster, perhaps ourselves before a restart.
        return await self._client.get(SECRETS, pool.namespace, token_name(pool.name))


def _token_in(secret: Object) -> str:
    try:
        text = base64.b64decode(secret["data"]["token"], validate=True).decode().strip()
    except (KeyError, TypeError, ValueError, binascii.Error):
        text = ""
    if not text:
        name = secret.get("metadata", {}).get("name", "")
        text = f"Secret {name}, which is this pool's, has no key `token`; delete it, and a new one "
        raise PersistentError(PoolProblem("TokenMissing", f"{text}is made"))
    return text
