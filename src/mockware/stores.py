"""Which store a URL names, ready to be asked.

Law: a store that may fail is never given out without what stands in for it. Nothing is opened here: a
process that asks nothing holds no file and no connection.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from .exceptions import did_you_mean
from .fallback import FallbackStore
from .memory_store import MemoryStore
from .questions import Store

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


def missing_folder(store: Store) -> Path | None:
    """The folder that the file of `sqlite:PATH` would be in, where there is none."""
    scheme, _, path = store.name.partition(":")
    with suppress(OSError):  # it may not be looked at
        if scheme == "sqlite" and not (folder := Path(path).absolute().parent).is_dir():
            return folder
    return None


def with_fallback(store: Store) -> Store:
    """A store that somebody brought, and memory in its place when it fails. Raises TypeError for another."""
    if isinstance(store, FallbackStore) or (isinstance(store, MemoryStore) and not store.threads):
        return store
    threads = getattr(store, "threads", None)
    able = all(callable(getattr(store, verb, None)) for verb in ("count", "write", "read", "list", "close"))
    named = isinstance(getattr(store, "name", None), str)
    if not (able and named and isinstance(threads, int) and threads > 0):
        raise TypeError(
            "store= takes `memory:`, `sqlite:PATH`, a URL of Redis, or an object with `count`, `write`, "
            f"`read`, `list`, `close`, `name` and `threads` (1 or more), not one {type(store).__name__}"
        )
    return FallbackStore(store)


def without_secrets(url: str) -> str:
    """A store's URL as it may be shown."""
    scheme, colon, rest = url.partition(":")
    if scheme == "sqlite" or not rest:
        return url
    # Only what stands behind the last `@` and before a query: the password of a wrong URL may be anywhere.
    host = rest.rpartition("@")[2].partition("?")[0] if "@" in rest else ""
    return f"{scheme}{colon}//...@{host}" if host else f"{scheme}{colon}..."
