"""A client of Redis or Valkey, made of the section `redis`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from entrepot.config.schema.redis import Redis

if TYPE_CHECKING:
    import redis.asyncio

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
#: Seconds for a connection and for an answer, where the section says nothing.
_CONNECT: Final = 1.0
_ANSWER: Final = 0.5
#: Connections of one process: there is one exchange at a time.
_CONNECTIONS: Final = 4


class RedisMissing(Exception):
    """The client library is not installed."""

    def __init__(self) -> None:
        super().__init__("the section 'redis' needs the client library; install it with: pip install 'entrepot[redis]'")


def open_redis(section: Redis) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
    """Return a client; it connects with its first command.

    Raises:
        RedisMissing: The client library is not installed.
    """
    try:
        from redis.asyncio import Redis as Single  # noqa: PLC0415 - an extra
        from redis.asyncio import RedisCluster  # noqa: PLC0415 - as above
        from redis.asyncio.cluster import ClusterNode  # noqa: PLC0415 - as above
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.asyncio.sentinel import Sentinel  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    except ImportError:
        raise RedisMissing from None
    # One try: whoever asks goes on without, and asks again a moment later.
    options: dict[str, Any] = {**_options(section), "retry": Retry(NoBackoff(), 0)}
    places = [_place(text, _PORT) for text in section.servers]
    if section.mastername:
        sentinels = [_place(text, _SENTINEL_PORT) for text in section.servers]
        asked = {**options, "username": section.sentinelusername or None, "db": 0}
        asked["password"] = section.sentinelpassword.get_secret_value() or None
        found: Any = Sentinel(sentinels, sentinel_kwargs=asked, **options)  # type: ignore[no-untyped-call]
        master: Single = found.master_for(section.mastername)
        return master
    if len(places) > 1:
        del options["db"]
        nodes = [ClusterNode(host, port) for host, port in places]
        return RedisCluster(startup_nodes=nodes, **options)
    host, port = places[0]
    return Single(host=host, port=port, **options)


async def close_redis(client: redis.asyncio.Redis | redis.asyncio.RedisCluster) -> None:
    """End the connections of a client, those to its sentinels, too, which the library leaves open."""
    await client.aclose()
    sentinels = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for sentinel in getattr(sentinels, "sentinels", ()):
        await sentinel.aclose()


def _options(section: Redis) -> dict[str, Any]:
    options: dict[str, Any] = {
        "db": section.db,
        "username": section.username or None,
        "password": section.password.get_secret_value() or None,
        "client_name": section.clientname or "entrepot",
        "socket_connect_timeout": section.dialtimeout if section.dialtimeout > 0 else _CONNECT,
        "socket_timeout": section.readtimeout if section.readtimeout > 0 else _ANSWER,
        "max_connections": _CONNECTIONS,
    }
    if section.tls.is_on:
        options |= {
            "ssl": True,
            "ssl_certfile": section.tls.certificate or None,
            "ssl_keyfile": section.tls.key or None,
            "ssl_ca_data": section.tls.authorities(),
        }
    return options


def _place(text: str, port: int) -> tuple[str, int]:
    """Read `host:port`, `host` or `[address]:port`."""
    host, colon, number = text.rpartition(":")
    if not colon or not number.isdigit() or host.endswith(":"):
        return text.strip("[]"), port
    return host.strip("[]"), int(number)
