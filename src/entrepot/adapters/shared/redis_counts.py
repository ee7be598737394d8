"""Counts for limits of rates in Redis or Valkey: told and learnt ten times a second, by one command.

Beside each count lies the number of its making. Whoever last told of another one (the server was emptied, or is
another now) tells all that they have counted and not what is new, so what is lost is there again a moment later.

While the server does not answer, or answers nonsense, the workers add up in the database, once a second; it is asked
again after five seconds. A server that says too much can have clients refused for the rest of a span, as can
anybody who may write to it; it can let nobody in.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from entrepot.access.limits.counts import Key, SharedCounts
from entrepot.adapters.shared.redis_client import close_redis

if TYPE_CHECKING:
    import redis.asyncio

_log = logging.getLogger(__name__)

#: For each key: seconds until it may go, the making that its count was last told to, all, and what is new.
_SCRIPT: Final = """
local answer = {}
for i, key in ipairs(KEYS) do
  local ttl, known, own, fresh = ARGV[i * 4 - 2], ARGV[i * 4 - 1], ARGV[i * 4], ARGV[i * 4 + 1]
  local made = redis.call('HGET', key, 'made')
  if not made then
    made = ARGV[1]
    redis.call('HSET', key, 'made', made)
    redis.call('EXPIRE', key, ttl)
  end
  answer[i * 2 - 1] = made
  answer[i * 2] = redis.call('HINCRBY', key, 'count', made == known and fresh or own)
end
return answer
"""
#: The same slot of a cluster for all, as one command touches them all. The number is that of this form.
_HEAD: Final = "{entrepot}:counts:1:"
_AT_ONCE: Final = 200
#: Seconds without a question after one that failed.
_REST: Final = 5.0
#: A count beyond this was never counted.
_MOST: Final = 1 << 53
_EVERY: Final = 0.1


class RedisCounts:
    """The port `SharedCounts` over Redis, and over the database while there is none."""

    def __init__(
        self,
        client: redis.asyncio.Redis | redis.asyncio.RedisCluster,
        instead: SharedCounts,
        *,
        patience: float = 1.0,
        count: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        """Ask `client`, each time for `patience` seconds at most; `count` is told how that went."""
        self._client = client
        self._instead = instead
        self._patience = patience
        self._count = count
        self._told: dict[Key, tuple[str, int]] = {}
        self._rests_until = 0.0
        self._instead_at = 0.0
        self.every = min(_EVERY, instead.every)

    async def close(self) -> None:
        """End the connections."""
        await close_redis(self._client)

    async def exchange(self, own: Mapping[Key, int], *, now: int) -> Mapping[Key, int]:
        """See `SharedCounts`."""
        if time.monotonic() >= self._rests_until:
            try:
                async with asyncio.timeout(self._patience):
                    learnt = await self._ask(own, now)
            except Exception as error:  # noqa: BLE001 - the library's errors have no common class, nor has nonsense
                self._failed(error)
            else:
                self._count("ok")
                return learnt
        if time.monotonic() < self._instead_at:
            return {}
        self._instead_at = time.monotonic() + self._instead.every
        return await self._instead.exchange(own, now=now)

    async def _ask(self, own: Mapping[Key, int], now: int) -> dict[Key, int]:
        self._told = {key: told for key, told in self._told.items() if key[1] > now}
        learnt: dict[Key, int] = {}
        names = list(own)
        for keys in (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)):
            arguments = [_name(key) for key in keys] + [secrets.token_hex(8)]
            for key in keys:
                made, told = self._told.get(key, ("", 0))
                arguments += [str(max(1, key[1] - now + 1)), made, str(own[key]), str(own[key] - told)]
            answer = await self._client.eval(_SCRIPT, len(keys), *arguments)
            for key, (made, count) in zip(keys, _pairs(answer, len(keys)), strict=True):
                self._told[key] = (made, own[key])
                learnt[key] = count
        return learnt

    def _failed(self, error: Exception) -> None:
        if not self._rests_until:
            _log.warning("counts are added up in the database, as Redis does not serve: %s", type(error).__name__)
        self._count("failed")
        self._rests_until = time.monotonic() + _REST


def _name(key: Key) -> str:
    """Name a count, so that nobody reads addresses and names there."""
    return _HEAD + hashlib.sha256(f"{key[0]} {key[1]}".encode()).hexdigest()[:32]


def _pairs(answer: Any, number: int) -> Iterator[tuple[str, int]]:
    """Read the script's answer.

    Raises:
        ValueError: It is not one.
    """
    if not isinstance(answer, Sequence) or len(answer) != 2 * number:
        raise ValueError("not the script's answer")
    for made, count in zip(answer[::2], answer[1::2], strict=True):
        if not isinstance(count, int) or not isinstance(made, bytes | str) or not 0 <= count < _MOST:
            raise ValueError("not the script's answer")
        yield made.decode("ascii", "replace") if isinstance(made, bytes) else made, count
