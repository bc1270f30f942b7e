"""Counts and records in Redis: for the several hosts of one service.

Law: a question is one round trip, however many counters or records it is about, and a server that is down
costs what its client waits at most (`redis_clients.py`): nothing is tried twice, since the caller has
something better to do than to wait.
Nothing that is said to anybody names a password. `redis` is imported only where a store is made.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from .counters import COUNTER_TTL_S, Count, Counter
from .exceptions import StoreError, quoted
from .questions import Record
from .redis_clients import Client, client_maker, pools_of, read_address


class _Script(NamedTuple):
    text: str
    name: str


def _script(text: str) -> _Script:
    # Redis itself names a script so (EVALSHA); it is no secret.
    return _Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# The whole of a count. An expiry is set for every counter that is looked at; a missing one has none to set.
_COUNT = _script("""
for at, key in ipairs(KEYS) do
  local limit = tonumber(ARGV[at + 1])
  local before = tonumber(redis.call('GET', key) or 0)
  local counts = not limit or before < limit
  if counts then
    redis.call('INCR', key)
  end
  redis.call('PEXPIRE', key, ARGV[1])
  if counts then
    return {at - 1, before}
  end
end
return false
""")
_TTL_MS = int(COUNTER_TTL_S * 1000)

# A shelf is a sorted set of keys, each with the score 0: so they are in the order of their bytes. It lives as
# long as the last of its records. The key of one that expires stays on it until somebody looks: whoever
# writes does, at the two lowest keys (the oldest, where keys begin with a time) and at two neighbours (any,
# where they are random), so that a shelf that nobody ever lists has about as many dead ones as living.
# Redis has room for a whole script or refuses the first thing that it sets: all or none.
_WRITE = _script("""
local prefix = ARGV[1]
local function forget_dead(shelf, members)
  for _, member in ipairs(members) do
    if redis.call('EXISTS', prefix .. member) == 0 then
      redis.call('ZREM', shelf, member)
    end
  end
end
local befores = {}
for at = 1, #KEYS / 2 do
  local key, shelf = KEYS[2 * at - 1], KEYS[2 * at]
  local member, ttl, only_new, value = unpack(ARGV, 4 * at - 2, 4 * at + 1)
  local before = redis.call('GET', key)
  befores[at] = before
  if before and only_new ~= '' then
    return befores
  end
  if ttl == '' then
    redis.call('DEL', key)
    if shelf ~= key then
      redis.call('ZREM', shelf, member)
    end
  else
    redis.call('SET', key, value, 'PX', ttl)
    if shelf ~= key then
      redis.call('ZADD', shelf, 0, member)
      if redis.call('PTTL', shelf) < tonumber(ttl) then
        redis.call('PEXPIRE', shelf, ttl)
      end
      forget_dead(shelf, redis.call('ZRANGE', shelf, 0, 1))
      forget_dead(shelf, redis.call('ZRANGEBYLEX', shelf, '(' .. member, '+', 'LIMIT', 0, 2))
    end
  end
end
return befores
""")

_LIST = _script("""
local after, limit, most, prefix = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local found, looked = {}, 0
while #found < 2 * limit and looked < most do
  local members = redis.call('ZRANGEBYLEX', KEYS[1], '(' .. after, '+', 'LIMIT', 0, limit - #found / 2)
  if #members == 0 then
    break
  end
  for _, member in ipairs(members) do
    local value = redis.call('GET', prefix .. member)
    if value then
      found[#found + 1] = member
      found[#found + 1] = value
    else
      redis.call('ZREM', KEYS[1], member)
    end
  end
  after = members[#members]
  looked = looked + #members
end
return found
""")
# So many keys are looked at for one list, most of them in vain: 10 ms, in which a server answers nobody else.
_MAX_LOOKED_AT = 10_000


class RedisStore:
    """Counts and keeps in the Redis or Valkey server, or the Sentinels or the Cluster, that `url` names.

    `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` the same over TLS, `unix:///PATH?db=DB`;
    `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST.../SERVICE[/DB]`, where the user is one of the servers
    and `?sentinel_username=&sentinel_password=` are those of the Sentinels; `redis+cluster://HOST,HOST...`;
    `rediss+sentinel` and `rediss+cluster` over TLS. Further options are those of redis-py, such as
    `?socket_timeout=0.5&ssl_ca_certs=/etc/ca.pem`. Keys begin with `{PREFIX}`; the commands that the user
    needs are EVALSHA, EVAL, GET, INCR and PEXPIRE to count, and for records SET, DEL, EXISTS, MGET, PTTL,
    ZADD, ZREM, ZRANGE and ZRANGEBYLEX as well. Nothing connects before the first question.

    Raises ValueError for a URL that cannot be used, and where the package `redis` is missing.
    """

    threads = 8

    def __init__(self, url: str, *, prefix: str = "mockware") -> None:
        if not prefix or not prefix.isprintable() or set(prefix) & set("{}"):
            raise ValueError(f"{quoted(prefix)} is no prefix; allowed: printable characters but {{ and }}")
        try:
            redis = import_module("redis")
        except ImportError:
            hint = "a redis:// store needs the package redis: pip install 'mockware[redis]'"
            raise ValueError(hint) from None
        address = read_address(url, redis)
        self.name = address.name
        self._secrets = address.secrets
        self._make = client_maker(address, redis)
        # What is between braces decides where in a Cluster a key is: all of them in one place.
        # https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
        self._prefix = f"{{{prefix}}}:"
        self._of_record = f"{{{prefix}}}record:"
        self._of_shelf = f"{{{prefix}}}shelf:"
        self._unknown_script = redis.exceptions.NoScriptError
        # The second is no RedisError, whatever its name says; the last is Python's for an impossible host.
        self._errors = (redis.RedisError, redis.exceptions.RedisClusterException, OSError, UnicodeError)
        self._client: Client | None = None
        self._pid = 0

    def count(self, counters: Sequence[Counter]) -> Count | None:
        """Counts once, in the first of `counters` that is below its limit; None where none is.

        Raises StoreError; the count may have been taken all the same, where only the answer was lost.
        """
        if not counters:
            return None
        keys = [self._prefix + key for key, _ in counters]
        limits = ["" if limit is None else limit for _, limit in counters]
        counted = self._run(_COUNT, keys, _TTL_MS, *limits)
        if counted is None:
            return None
        at, before = counted
        return Count(int(at), int(before))

    def write(self, records: Sequence[Record]) -> tuple[bytes | None, ...]:
        """Writes in order, until one that is `only_new` is there already; gives what was there before.

        Raises StoreError; it may have been written all the same, where only the answer was lost.
        """
        if not records:
            return ()
        keys: list[str] = []
        arguments: list[Any] = []
        for key, value, ttl_s, only_new, shelf in records:
            full = self._of_record + key
            keys += (full, self._of_shelf + shelf if shelf else full)
            # Redis takes no life that is shorter than a millisecond.
            ttl_ms = "" if value is None else max(1, math.ceil(ttl_s * 1000))
            arguments += (key, ttl_ms, "new" if only_new else "", value or b"")
        befores = self._run(_WRITE, keys, self._of_record, *arguments)
        return (*befores, *[None] * (len(records) - len(befores)))

    def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
        """The values under these keys, None where there is none or its time is over. Raises StoreError."""
        if not keys:
            return ()
        full = [self._of_record + key for key in keys]
        return tuple(self._asked(lambda client: client.execute_command("MGET", *full)))

    def list(self, shelf: str, after: str, limit: int) -> tuple[tuple[str, bytes], ...]:
        """The keys and values on `shelf` whose keys are greater than `after`, in order, at most `limit`.

        It may be fewer where thousands of records have expired unseen. Raises StoreError.
        """
        if limit <= 0:
            return ()
        found = self._run(_LIST, [self._of_shelf + shelf], after, limit, _MAX_LOOKED_AT, self._of_record)
        return tuple((key.decode(), value) for key, value in zip(found[::2], found[1::2], strict=True))

    def close(self) -> None:
        """Closes the idle connections, and the busy ones with their questions; the next opens new ones."""
        client, self._client = self._client, None
        if client is None or self._pid != os.getpid():
            return
        for pool in pools_of(client):
            pool.disconnect(inuse_connections=False)

    def _run(self, script: _Script, keys: Sequence[str], *arguments: Any) -> Any:
        def run(client: Client) -> Any:
            try:
                return client.evalsha(script.name, len(keys), *keys, *arguments)
            except self._unknown_script:
                # The first of all, and the first since the server has forgotten its scripts.
                return client.eval(script.text, len(keys), *keys, *arguments)

        return self._asked(run)

    def _asked(self, ask: Callable[[Client], Any]) -> Any:
        try:
            client = self._client
            if client is None or self._pid != os.getpid():
                client = self._open()
            return ask(client)
        except self._errors as error:
            # Without its cause: a traceback would say what is left out here.
            raise StoreError(f"{self.name}: {self._said(error)}") from None

    def _open(self) -> Client:
        # Without a lock: to connect to a Cluster that is down takes time, and nobody shall wait for two. A
        # client that another thread made meanwhile goes with its last question. After a fork, so does the
        # parent's: redis-py leaves its connections as they are.
        client = self._make()
        self._client, self._pid = client, os.getpid()
        return client

    def _said(self, error: Exception) -> str:
        # A server may quote the command that it did not understand, and AUTH is one.
        said = str(error) or type(error).__name__
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said
