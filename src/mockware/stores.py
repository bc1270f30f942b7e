"""Which store a URL names, ready to be counted in.

Law: a store that may fail is never given out without what stands in for it. Nothing is opened here: a
process that counts nothing holds no file and no connection.
"""

from __future__ import annotations

from .counters import Store
from .exceptions import did_you_mean
from .fallback import FallbackStore

_REDIS = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_SCHEMES = ("memory", "sqlite", *_REDIS)


def open_store(url: str) -> Store | None:
    """The store that `memory:`, `sqlite:PATH`, `redis://HOST/DB` or another of Redis's URLs names.

    None for memory, of which each snapshot has its own. Raises ValueError with what is allowed.
    """
    scheme, _, rest = url.partition(":")
    if url == "memory:":
        return None
    if scheme == "sqlite" and rest:
        from .sqlite_store import SQLiteStore

        return FallbackStore(SQLiteStore(rest))
    if scheme in _REDIS:
        from .redis_store import RedisStore

        return FallbackStore(RedisStore(url))
    if scheme in _SCHEMES:
        raise ValueError("expected `memory:`, or `sqlite:` and the path of a file")
    raise ValueError(f"no such store{did_you_mean(scheme, [f'{name}:' for name in _SCHEMES])}")


def with_fallback(store: Store) -> Store:
    """A store that somebody brought, and memory in its place when it fails."""
    return FallbackStore(store) if store.threads and not isinstance(store, FallbackStore) else store


def without_secrets(url: str) -> str:
    """A store's URL as it may be shown."""
    # Whatever stands before the last `@`: a wrong URL may have its password in a wrong place.
    scheme, colon, rest = url.partition(":")
    return f"{scheme}{colon}//...@{rest.rpartition('@')[2]}" if "@" in rest and scheme != "sqlite" else url
