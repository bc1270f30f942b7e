"""`proxy`: mocks in front of any HTTP service, whatever it is written in.

Law: the arguments are read here, and refused while there is somebody to tell; that the upstream does not
answer is no reason not to start.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any
from uuid import uuid4

from . import hosting
from .durations import parse_duration
from .exceptions import quoted
from .served import ServedProxy
from .upstream import UPSTREAM_TIMEOUT_S, Upstream, parse_upstream

_HOST_FIELD = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1", "0.0.0.0", "::", "[::]")  # noqa: S104 - compared only


def command() -> Any:
    """Granian's command with its own options, but UPSTREAM in the place of its APP.

    Raises ImportError where granian is not installed, and when it is called, without the client library.
    """
    import click

    params = [
        click.Argument(["upstream"]),
        click.Option(
            ["--host-header"],
            metavar="keep|upstream|NAME",
            default="keep",
            help="The Host field that the upstream gets: the client's, its own, or this one.",
        ),
        click.Option(
            ["--timeout"],
            metavar="DURATION",
            default=f"{UPSTREAM_TIMEOUT_S:g}s",
            help="How long the upstream may be silent; then the answer is a 504.",
        ),
        click.Option(["--server-timing"], is_flag=True, help="Say in Server-Timing how long it took."),
        click.Option(["--upstream-ca"], metavar="FILE", default="", help="Certificates to trust it by."),
        click.Option(["--upstream-insecure"], is_flag=True, help="Trust whatever certificate it shows."),
    ]
    return hosting.command(
        "proxy",
        _serve,
        params=params,
        help=HELP,
        epilog=EPILOG,
        without=("factory",),
        defaults={"workers_kill_timeout": _DRAINING_S},
    )


# Requests that are under way at Ctrl-C have as long as a mock may be delayed; then workers are killed.
_DRAINING_S = 30

HELP = """Put mocks in front of UPSTREAM: any service that speaks HTTP.

UPSTREAM is a URL such as http://127.0.0.1:3000 or https://staging.example/api, or a Unix socket such as
unix:/run/app.sock. Requests that no rule and no trigger answers are handed on to it, websockets, too. It need
not be there when this starts. MOCKWARE defaults to `on` here. The options behind --rules are granian's."""

EPILOG = """\b
Examples:
  mockware proxy http://127.0.0.1:3000 --rules mocks.toml
  mockware proxy https://staging.example --host-header upstream --port 9000
  mockware proxy unix:/run/app.sock --rules mocks.toml --server-timing

\b
Exit codes: 0 stopped by Ctrl-C, 1 it cannot be served, 2 wrong usage."""


def _serve(
    granian: Any,
    *,
    upstream: str,
    host_header: str,
    timeout: str,
    server_timing: bool,
    upstream_ca: str,
    upstream_insecure: bool,
    **options: Any,
) -> None:
    import aiohttp  # noqa: F401 - for whoever lacks it to be told now, and not by a worker
    import click

    try:
        parsed = parse_upstream(upstream)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        timeout_s = parse_duration(timeout)
    except ValueError as error:
        raise click.UsageError(f"--timeout {quoted(timeout)}: {error}") from None
    if not timeout_s:
        raise click.UsageError("--timeout: nothing answers in no time")
    if _is_this_proxy(parsed, options):
        place = f"{options['host']}:{options['port']}"
        raise click.UsageError(
            f"the upstream is at {parsed.authority}, and the proxy would listen at {place}, which is the "
            "same; choose another --port"
        )
    served = ServedProxy(
        upstream=str(parsed),
        host=_host_field(host_header, parsed),
        timeout_s=timeout_s,
        server_timing=server_timing,
        ca=upstream_ca,
        insecure=upstream_insecure,
        # One for all workers: what one sends to another goes round in a circle, too.
        name=f"mockware-{uuid4().hex[:12]}",
    )
    hosting.host(granian, served, **options)


def _is_this_proxy(upstream: Upstream, options: dict[str, Any]) -> bool:
    if upstream.socket or upstream.port != options["port"]:
        return False
    return (upstream.host in _LOCAL and options["host"] in _LOCAL) or upstream.host == options["host"]


def _host_field(asked: str, upstream: Upstream) -> str | None:
    import click

    if asked == "keep":
        return None
    if asked == "upstream":
        return upstream.authority
    # A host of one word is one of a container, unless it looks like a word of ours.
    near = get_close_matches(asked.lower(), ("keep", "upstream"), n=1, cutoff=0.75)
    if near or not _HOST_FIELD.fullmatch(asked):
        hint = f"; did you mean {near[0]}?" if near else ""
        expected = "expected keep, upstream, or a host and port"
        raise click.UsageError(f"--host-header {quoted(asked)}: {expected}{hint}")
    return asked
