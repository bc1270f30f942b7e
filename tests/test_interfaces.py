"""Which interface an app speaks, for every form that an app can have, and for apps of real frameworks.

And the other way round: the middleware itself is seen as what it is by the detection of the servers.
"""

import functools
import importlib
import inspect
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import anyio
import pytest
from tests.by_hand import Environ, Message, Receive, Scope, Send, Sent, environ_of, over_wsgi, scope_of

import mockware
from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware
from mockware.interfaces import interface_of

ON: dict[str, Any] = {"rules": [Rule("/mock", status=410)], "enabled": True, "environ": {}}


# ---- every form of an app


async def asgi_function(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})


def asgi_plain_function(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return asgi_function(scope, receive, send)


def wsgi_function(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]


def wsgi_generator(environ: Environ, start_response: Any) -> Iterator[bytes]:
    yield from wsgi_function(environ, start_response)


class ASGIInstance:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi_function(scope, receive, send)

    async def method(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi_function(scope, receive, send)

    @classmethod
    async def of_class(cls, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi_function(scope, receive, send)

    @staticmethod
    async def static(scope: Scope, receive: Receive, send: Send) -> None:
        await asgi_function(scope, receive, send)

    def plain(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return asgi_function(scope, receive, send)


class PlainASGIInstance:
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return asgi_function(scope, receive, send)


class VariadicASGIInstance:
    async def __call__(self, *args: Any) -> None:
        await asgi_function(*args)


class ASGIAwaitableClass:
    """Called with all three, it makes what is awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.arguments = (scope, receive, send)

    def __await__(self) -> Any:
        return asgi_function(*self.arguments).__await__()


class ASGI2Class:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await asgi_function(self.scope, receive, send)


class ASGI2Factory:
    def __call__(self, scope: Scope) -> ASGI2Class:
        return ASGI2Class(scope)


def asgi_2_function(scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
    return ASGI2Class(scope)


class WSGIInstance:
    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        return wsgi_function(environ, start_response)

    def method(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        return wsgi_function(environ, start_response)

    @classmethod
    def of_class(cls, environ: Environ, start_response: Any) -> Iterable[bytes]:
        return wsgi_function(environ, start_response)

    @staticmethod
    def static(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return wsgi_function(environ, start_response)

    def with_options(self, environ: Environ, start_response: Any, debug: bool = False) -> Iterable[bytes]:
        return wsgi_function(environ, start_response)


class WSGIClass:
    """PEP 3333's own example of an app that is a class: its instance is what is iterated over."""

    def __init__(self, environ: Environ, start_response: Any) -> None:
        self.arguments = (environ, start_response)

    def __iter__(self) -> Iterator[bytes]:
        return iter(wsgi_function(*self.arguments))


def asgi_with_settings(
    settings: str, scope: Scope, receive: Receive, send: Send, *, debug: bool = False
) -> Awaitable[None]:
    return asgi_function(scope, receive, send)


async def async_with_settings(settings: str, scope: Scope, receive: Receive, send: Send) -> None:
    await asgi_function(scope, receive, send)


def wsgi_with_settings(settings: str, environ: Environ, start_response: Any) -> Iterable[bytes]:
    return wsgi_function(environ, start_response)


def decorated(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return app(*args, **kwargs)

    return wrapper


def decorated_async(app: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any) -> Any:
        return await app(*args)

    return wrapper


def bare(app: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that does not say what it decorates."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return app(*args, **kwargs)

    return wrapper


partial = functools.partial

ASGI_APPS = {
    "function": asgi_function,
    "plain function": asgi_plain_function,
    "lambda": lambda scope, receive, send: asgi_function(scope, receive, send),
    "instance": ASGIInstance(),
    "plain instance": PlainASGIInstance(),
    "variadic instance": VariadicASGIInstance(),
    "bound method": ASGIInstance().method,
    "bound plain method": ASGIInstance().plain,
    "class method": ASGIInstance.of_class,
    "static method": ASGIInstance.static,
    "bound __call__": ASGIInstance().__call__,
    "class with __await__": ASGIAwaitableClass,
    "partial": partial(async_with_settings, "settings"),
    "partial of a plain function": partial(asgi_with_settings, "settings", debug=True),
    "partial of an instance": partial(ASGIInstance()),
    "partial of a bound method": partial(ASGIInstance().method),
    "partial of a partial": partial(partial(async_with_settings, "settings")),
    "decorated": decorated(asgi_function),
    "decorated instance": decorated(ASGIInstance().__call__),
    "decorated twice": decorated(decorated(asgi_plain_function)),
    "decorated by an async function": decorated_async(asgi_function),
    "ASGI 2 class": ASGI2Class,
    "ASGI 2 instance": ASGI2Factory(),
    "ASGI 2 function": asgi_2_function,
    "partial of an ASGI 2 class": partial(ASGI2Class),
}

WSGI_APPS = {
    "function": wsgi_function,
    "generator": wsgi_generator,
    "lambda": lambda environ, start_response: wsgi_function(environ, start_response),
    "instance": WSGIInstance(),
    "bound method": WSGIInstance().method,
    "class method": WSGIInstance.of_class,
    "static method": WSGIInstance.static,
    "bound __call__": WSGIInstance().__call__,
    "method with an option": WSGIInstance().with_options,
    "class with __iter__": WSGIClass,
    "partial": partial(wsgi_with_settings, "settings"),
    "partial of an instance": partial(WSGIInstance()),
    "partial of a class": partial(WSGIClass),
    "decorated": decorated(wsgi_function),
    "decorated class": decorated(WSGIClass),
}

# What says nothing about itself.
UNCLEAR: dict[str, Callable[[Any], Any]] = {
    "bare decorator": bare,
    "variadic lambda": lambda app: lambda *args: app(*args),
    "one argument and any others": lambda app: lambda first, *rest: app(first, *rest),
    "partial of a bare decorator": lambda app: partial(bare(app)),
}

NEITHER: dict[str, Callable[..., Any]] = {
    "no arguments": lambda: None,
    "four arguments": lambda a, b, c, d: None,
    "keywords only": lambda *, scope: None,
}


def over_asgi(app: Any, sent: Sent) -> tuple[int, bytes]:
    """Status and body, from one that a server would call ASGI 3."""
    messages: list[Message] = []
    events: list[Message] = [{"type": "http.request"}]
    ended = anyio.Event()

    async def receive() -> Message:
        if events:
            return events.pop()
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            ended.set()

    anyio.run(app, scope_of(sent), receive, send)
    return messages[0]["status"], messages[1]["body"]


@pytest.mark.parametrize("form", ASGI_APPS)
@pytest.mark.parametrize("wrap", [mockware.wrap, ASGIMockMiddleware])
def test_every_form_of_an_asgi_app_is_wrapped_and_called(form: str, wrap: Any) -> None:
    app = ASGI_APPS[form]
    assert interface_of(app) == ("ASGI 2" if "ASGI 2" in form else "ASGI")
    wrapped = wrap(app, **ON)
    assert type(wrapped) is ASGIMockMiddleware
    assert over_asgi(wrapped, Sent()) == (200, b"asgi")
    assert over_asgi(wrapped, Sent(target="/mock"))[0] == 410


@pytest.mark.parametrize("form", WSGI_APPS)
@pytest.mark.parametrize("wrap", [mockware.wrap, WSGIMockMiddleware])
def test_every_form_of_a_wsgi_app_is_wrapped_and_called(form: str, wrap: Any) -> None:
    app = WSGI_APPS[form]
    assert interface_of(app) == "WSGI"
    wrapped = wrap(app, **ON)
    assert type(wrapped) is WSGIMockMiddleware
    assert over_wsgi(wrapped, Sent()).body == b"wsgi"
    assert over_wsgi(wrapped, Sent(target="/mock")).status == 410


@pytest.mark.parametrize("form", UNCLEAR)
def test_an_app_that_does_not_tell_is_refused_with_both_classes_to_choose_from(form: str) -> None:
    with pytest.raises(TypeError, match=r"ASGIMockMiddleware\(app\) or WSGIMockMiddleware\(app\)"):
        mockware.wrap(UNCLEAR[form](wsgi_function), **ON)


@pytest.mark.parametrize("form", UNCLEAR)
def test_whoever_names_the_class_is_believed_about_asgi(form: str) -> None:
    wrapped = ASGIMockMiddleware(UNCLEAR[form](asgi_function), **ON)
    assert over_asgi(wrapped, Sent()) == (200, b"asgi")
    assert over_asgi(wrapped, Sent(target="/mock"))[0] == 410


@pytest.mark.parametrize("form", UNCLEAR)
def test_whoever_names_the_class_is_believed_about_wsgi(form: str) -> None:
    wrapped = WSGIMockMiddleware(UNCLEAR[form](wsgi_function), **ON)
    assert over_wsgi(wrapped, Sent()).body == b"wsgi"
    assert over_wsgi(wrapped, Sent(target="/mock")).status == 410


@pytest.mark.parametrize("form", NEITHER)
def test_what_takes_other_arguments_is_no_app(form: str) -> None:
    with pytest.raises(TypeError, match=r"ASGIMockMiddleware.*WSGIMockMiddleware"):
        mockware.wrap(NEITHER[form], **ON)


@pytest.mark.parametrize("app", [None, "myapp:app", 42, object(), {}])
@pytest.mark.parametrize("wrap", [mockware.wrap, ASGIMockMiddleware, WSGIMockMiddleware])
def test_what_cannot_be_called_is_no_app(app: Any, wrap: Any) -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        wrap(app, **ON)


@pytest.mark.parametrize("form", WSGI_APPS)
def test_a_wsgi_app_in_the_asgi_class_is_told_of_the_right_one(form: str) -> None:
    with pytest.raises(TypeError, match="speaks WSGI: use WSGIMockMiddleware"):
        ASGIMockMiddleware(WSGI_APPS[form], **ON)


@pytest.mark.parametrize("form", ASGI_APPS)
def test_an_asgi_app_in_the_wsgi_class_is_told_of_the_right_one(form: str) -> None:
    with pytest.raises(TypeError, match=r"speaks ASGI.*: use ASGIMockMiddleware"):
        WSGIMockMiddleware(ASGI_APPS[form], **ON)


def test_an_error_names_the_app() -> None:
    with pytest.raises(TypeError, match="wsgi_function"):
        ASGIMockMiddleware(wsgi_function, **ON)
    with pytest.raises(TypeError, match="an instance of WSGIInstance"):
        ASGIMockMiddleware(WSGIInstance(), **ON)


def test_an_app_is_not_called_to_find_out() -> None:
    class Loud:
        def __call__(self, scope: Any) -> Any:
            raise AssertionError("called")

    assert interface_of(Loud()) == "ASGI 2"


# ---- apps of real frameworks


def fastapi() -> Any:
    from fastapi import FastAPI

    return FastAPI()


def starlette() -> Any:
    from starlette.applications import Starlette

    return Starlette()


def litestar() -> Any:
    from litestar import Litestar

    return Litestar()


def quart() -> Any:
    from quart import Quart

    return Quart(__name__)


def flask() -> Any:
    from flask import Flask

    return Flask(__name__)


def flask_wsgi_app() -> Any:
    return flask().wsgi_app


def falcon_asgi() -> Any:
    import falcon.asgi

    return falcon.asgi.App()


def falcon_wsgi() -> Any:
    import falcon

    return falcon.App()


def bottle() -> Any:
    import bottle  # type: ignore[import-untyped]

    return bottle.Bottle()


def asgiref_wsgi_to_asgi() -> Any:
    from asgiref.wsgi import WsgiToAsgi

    return WsgiToAsgi(wsgi_function)  # type: ignore[no-untyped-call]


def whitenoise() -> Any:
    module = importlib.import_module("whitenoise")
    return module.WhiteNoise(wsgi_function)


def pyramid() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it still asks for pkg_resources, which says that it will go
        config = importlib.import_module("pyramid.config")
    return config.Configurator().make_wsgi_app()


def werkzeug_dispatcher() -> Any:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(wsgi_function, {"/flask": flask()})


def opentelemetry_asgi() -> Any:
    module = importlib.import_module("opentelemetry.instrumentation.asgi")
    return module.OpenTelemetryMiddleware(asgi_function)


REAL_ASGI = [fastapi, starlette, litestar, quart, falcon_asgi, asgiref_wsgi_to_asgi, opentelemetry_asgi]
REAL_WSGI = [flask, flask_wsgi_app, falcon_wsgi, bottle, werkzeug_dispatcher, whitenoise, pyramid]


@pytest.mark.parametrize("make", REAL_ASGI)
def test_a_real_asgi_app_is_told_and_answers_behind_the_middleware(make: Callable[[], Any]) -> None:
    app = make()
    assert interface_of(app) == "ASGI"
    wrapped = mockware.wrap(app, **ON)
    assert type(wrapped) is ASGIMockMiddleware
    assert over_asgi(wrapped, Sent(target="/mock"))[0] == 410
    expected = over_asgi(app, Sent(target="/nowhere"))
    assert over_asgi(wrapped, Sent(target="/nowhere")) == expected


@pytest.mark.parametrize("make", REAL_WSGI)
def test_a_real_wsgi_app_is_told_and_answers_behind_the_middleware(make: Callable[[], Any]) -> None:
    app = make()
    assert interface_of(app) == "WSGI"
    wrapped = mockware.wrap(app, **ON)
    assert type(wrapped) is WSGIMockMiddleware
    assert over_wsgi(wrapped, Sent(target="/mock")).status == 410
    expected = over_wsgi(app, Sent(target="/nowhere"))
    assert over_wsgi(wrapped, Sent(target="/nowhere")) == expected


DJANGO = """
import mockware
from django.conf import settings
settings.configure(DEBUG=False, SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
urlpatterns = []
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from tests.by_hand import Sent, over_wsgi
from tests.test_interfaces import ON, over_asgi

wsgi = mockware.wrap(get_wsgi_application(), **ON)
assert type(wsgi) is mockware.WSGIMockMiddleware
asgi = mockware.wrap(get_asgi_application(), **ON)
assert type(asgi) is mockware.ASGIMockMiddleware
for target, expected in (("/mock", 410), ("/nowhere", 404)):
    assert over_wsgi(wsgi, Sent(target=target)).status == expected
    assert over_asgi(asgi, Sent(target=target))[0] == expected
print("both")
"""


def test_djangos_applications_are_told_and_answer_behind_the_middleware() -> None:
    # In a process of its own: Django is configured once in a process.
    done = subprocess.run([sys.executable, "-c", DJANGO], capture_output=True, text=True, check=False)
    assert done.stdout == "both\n", done.stderr


# ---- the middleware as servers see it


@pytest.fixture
def wrapped() -> Any:
    return mockware.wrap(asgi_function, **ON)


def test_what_asks_for_a_coroutine_function_gets_a_yes(wrapped: Any) -> None:
    import asgiref.sync

    assert inspect.iscoroutinefunction(wrapped.__call__)
    assert asgiref.sync.iscoroutinefunction(wrapped.__call__)
    assert inspect.iscoroutinefunction(ASGIMockMiddleware.__call__)


@pytest.mark.filterwarnings("ignore:.*asyncio.iscoroutinefunction:DeprecationWarning")
def test_asyncio_gives_a_yes_where_no_mark_is_known(wrapped: Any) -> None:
    import asyncio

    # From 3.12 on, servers ask `inspect`, which knows the mark.
    assert asyncio.iscoroutinefunction(wrapped.__call__) or sys.version_info >= (3, 12)


def test_asgiref_calls_it_as_asgi_3(wrapped: Any) -> None:
    from asgiref.compatibility import guarantee_single_callable, is_double_callable

    assert not is_double_callable(wrapped)  # type: ignore[no-untyped-call]
    assert guarantee_single_callable(wrapped) is wrapped  # type: ignore[no-untyped-call]


def test_starlette_calls_it_as_asynchronous(wrapped: Any) -> None:
    from starlette._utils import is_async_callable

    assert is_async_callable(wrapped)


def test_uvicorn_calls_it_as_asgi_3(wrapped: Any) -> None:
    import uvicorn

    config = uvicorn.Config(wrapped, lifespan="off", log_config=None)
    config.load()
    assert config.interface == "asgi3"


def test_hypercorn_calls_it_as_asgi(wrapped: Any) -> None:
    from hypercorn.utils import is_asgi

    assert is_asgi(wrapped)
    assert not is_asgi(mockware.wrap(wsgi_function, **ON))


def test_the_wsgi_side_is_called_with_two_arguments_and_is_no_coroutine_function() -> None:
    wrapped = mockware.wrap(wsgi_function, **ON)
    assert not inspect.iscoroutinefunction(type(wrapped).__call__)
    assert len(inspect.signature(wrapped).parameters) == 2
    assert interface_of(wrapped) == "WSGI"


def test_the_asgi_side_is_called_with_three_arguments(wrapped: Any) -> None:
    assert list(inspect.signature(wrapped).parameters) == ["scope", "receive", "send"]
    assert interface_of(wrapped) == "ASGI"


def test_a_server_of_the_other_kind_makes_an_error_that_names_the_right_class(wrapped: Any) -> None:
    with pytest.raises(TypeError, match="WSGIMockMiddleware"):
        wrapped(environ_of(Sent()), print)
    with pytest.raises(TypeError, match="ASGIMockMiddleware"):
        WSGIMockMiddleware(wsgi_function, **ON)(scope_of(Sent()))
