"""Which Redis a URL names, one server, Sentinels or a Cluster, and the client that asks it.

Law: what is wrong with a URL is found before anything is connected to, and is said without any part of it
that could be a password. `redis` itself is given by whoever has imported it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote

# A `redis.Redis` or a `redis.RedisCluster`, whose annotations differ from release to release.
Client = Any

# To connect, and to wait for an answer. Redis answers within a millisecond in one data centre, but on a busy
# machine a tenth of a second was exceeded once in two million counts; each stays below the quarter of a
# second that a request waits for its store. redis-py's own is 5 s in release 8.1, and none at all in 7.0.
CONNECT_TIMEOUT_S = 0.1
TIMEOUT_S = 0.2
# Options of the URL win over these. RESP 2 is what every Redis and Valkey speaks; RESP 3 would take another
# round trip for each new connection, to be told of things that nobody here asks for.
_DEFAULTS = {"socket_connect_timeout": CONNECT_TIMEOUT_S, "socket_timeout": TIMEOUT_S, "protocol": 2}

# `redis`, `rediss` and `unix` are redis-py's own; it has none for Sentinel and Cluster, and these are those
# of the packages `limits` and `Redis-Sentinel-Url`. An @ or # in the user info has to be written %40 or %23.
_URL = re.compile(
    r"(?P<scheme>(?:rediss?(?:\+sentinel|\+cluster)?|unix)):"
    r"//(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<hosts>[^@/?#]*)"
    r"(?P<path>/[^@?#]*)?"
    r"(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%25\w+)?)\]|(?P<name>[^\[\]:,\s]+))(?::(?P<port>[0-9]{1,5}))?"
)
_PORT, _SENTINEL_PORT = 6379, 26379
_ALLOWED = (
    "allowed: redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, unix:///PATH[?db=DB],"
    " redis+sentinel://HOST[:PORT][,HOST...]/SERVICE[/DB], redis+cluster://HOST[:PORT][,HOST...];"
    " in a password, write @ / ? # % as %40 %2F %3F %23 %25"
)


class Address(NamedTuple):
    """A URL taken apart. `name` is what may be shown of it."""

    kind: str  # redis, sentinel, cluster or unix
    tls: bool
    hosts: list[tuple[str, int]]
    service: str
    options: dict[str, Any]
    sentinel_options: dict[str, Any]
    name: str
    secrets: tuple[str, ...]


def read_address(url: str, redis: Any) -> Address:
    """Takes the URL apart; what it says of a wrong one quotes no part that could be a password."""
    found = _URL.fullmatch(url)
    if not found or not url.isprintable():
        raise ValueError(f"this is no URL of a Redis store; {_ALLOWED}")
    scheme, user, password, hosts, path, query = found.groups(default="")
    kind = scheme.partition("+")[2] or ("unix" if scheme == "unix" else "redis")
    try:
        options = dict(_DEFAULTS) | redis.connection.parse_url(f"redis://?{query}")
    except ValueError as error:
        raise ValueError(f"the options of the {scheme}:// URL: {error}") from None
    options.pop("decode_responses", None)  # what is kept here is bytes
    if user:
        options["username"] = unquote(user)
    if password:
        options["password"] = unquote(password)
    # Where there are no Sentinels, these are options that redis-py does not know, and says so.
    of_sentinels = ("sentinel_username", "sentinel_password") if kind == "sentinel" else ()
    sentinel_options = {
        name.removeprefix("sentinel_"): options.pop(name) for name in of_sentinels if name in options
    }
    service = ""
    if kind == "unix":
        if hosts or path in ("", "/"):
            raise ValueError(f"a unix:// URL names the socket's path and no host; {_ALLOWED}")
        options["path"] = unquote(path)
    else:
        if kind == "sentinel":
            service, _, path = path.removeprefix("/").partition("/")
            if not service:
                raise ValueError(f"a {scheme}:// URL names the service that the Sentinels watch; {_ALLOWED}")
        database = path.strip("/")
        if database:
            if not re.fullmatch("[0-9]{1,9}", database):
                raise ValueError(f"the database in a {scheme}:// URL is a number; {_ALLOWED}")
            options.setdefault("db", int(database))
        if kind == "cluster" and options.pop("db", 0):
            raise ValueError(f"a Redis Cluster has database 0 only; {_ALLOWED}")
    shown = f"{scheme}://{hosts}{found['path'] or ''}"
    secrets = [options.get("password"), sentinel_options.get("password"), options.get("ssl_password")]
    return Address(
        kind=kind,
        tls=scheme.startswith("rediss"),
        hosts=[] if kind == "unix" else _hosts(hosts, scheme, kind),
        service=unquote(service),
        options=options,
        sentinel_options=sentinel_options,
        name=shown,
        secrets=tuple({form for secret in secrets if secret for form in _forms(secret)}),
    )


def _hosts(text: str, scheme: str, kind: str) -> list[tuple[str, int]]:
    default = _SENTINEL_PORT if kind == "sentinel" else _PORT
    hosts = []
    for each in (text or "localhost").split(","):
        found = _HOST.fullmatch(each)
        if not found or not 0 < int(found["port"] or default) < 1 << 16:
            raise ValueError(f"a {scheme}:// URL has HOST or HOST:PORT after // and after @; {_ALLOWED}")
        hosts.append((unquote(found["v6"] or found["name"]), int(found["port"] or default)))
    if kind == "redis" and len(hosts) > 1:
        raise ValueError(f"a {scheme}:// URL names one host; {_ALLOWED}")
    return hosts


def _forms(secret: str) -> tuple[str, ...]:
    return secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]


def client_maker(address: Address, redis: Any) -> Callable[[], Client]:
    """What makes a client for the address; here already, whatever is wrong with its options is found."""
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    options, kind = address.options, address.kind
    kinds = redis.connection
    connection_class = kinds.SSLConnection if address.tls else kinds.Connection
    if kind == "unix":
        connection_class = kinds.UnixDomainSocketConnection
    of_pool = {name: value for name, value in options.items() if name == "max_connections"}
    of_connection = {name: value for name, value in options.items() if name not in of_pool}
    try:
        # Made, but not connected.
        connection_class(retry=retry, **of_connection)
        connection_class(retry=retry, **address.sentinel_options)
    except (TypeError, ValueError, AttributeError, redis.RedisError) as error:
        raise ValueError(f"the options of {address.name}: {error}") from None

    def make_one() -> Client:
        place = {} if kind == "unix" else dict(zip(("host", "port"), address.hosts[0], strict=True))
        pool = kinds.ConnectionPool(connection_class=connection_class, retry=retry, **place, **options)
        return redis.Redis.from_pool(pool)

    def make_cluster() -> Client:
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in address.hosts]
        return redis.RedisCluster(startup_nodes=nodes, retry=retry, ssl=address.tls, **options)

    def make_sentinel() -> Client:
        shared = {
            name: value
            for name, value in options.items()
            if name.startswith(("socket_", "ssl_")) or name == "protocol"
        }
        own = address.sentinel_options | {"retry": retry, "ssl": address.tls}
        sentinels = redis.sentinel.Sentinel(address.hosts, sentinel_kwargs=shared | own)
        return sentinels.master_for(address.service, retry=retry, ssl=address.tls, **options)

    return {"cluster": make_cluster, "sentinel": make_sentinel}.get(kind, make_one)


def pools_of(client: Client) -> list[Any]:
    if hasattr(client, "get_nodes"):
        nodes = (node.redis_connection for node in client.get_nodes())
        return [node.connection_pool for node in nodes if node is not None]
    pool = client.connection_pool
    sentinels = getattr(getattr(pool, "sentinel_manager", None), "sentinels", ())
    return [pool, *(sentinel.connection_pool for sentinel in sentinels)]
