"""The agent's page, on 127.0.0.1 alone: what status.py says, as JSON and as a page that shows it; pause and resume.

Whoever asks shows the token (`Authorization: Bearer ...`), which is in a file that its user alone can read: neither other users
of the machine nor web sites have it. A site that has its name point here (DNS rebinding) is known by the Host header, one that
posts by Origin; no answer has a CORS header. The page itself holds nothing; a browser is let in by a code, good once and for
CODE_S.

    GET /            the page             POST /session   {"code": ...} -> {"token": ...}
    GET /status      Status               POST /code      -> {"code": ...}
    POST /pause      {"for_s": 7200|null} -> Status        POST /resume    -> Status
"""

import asyncio
import secrets
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha256
from hmac import compare_digest
from importlib import resources
from typing import Annotated, Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from services.agent.pausing import DAYS_MAX
from services.agent.places import ADDRESS
from services.agent.status import Status

CODE_S: Final = 30.0
CODE_BYTES: Final = 16
BODY_BYTES_MAX: Final = 1024
CONNECTIONS_MAX: Final = 32
"""A browser opens six; a flood of them does not take the agent's file descriptors."""
IDLE_S: Final = 15.0
CLOSE_S: Final = 1.0
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Player(Protocol):
    """What the player may see and say. seen.Seen is one."""

    def status(self) -> Status: ...

    def say(self, pause_s: int | None, *, paused: bool) -> None: ...


class Pausing(msgspec.Struct, frozen=True):
    for_s: Annotated[int, msgspec.Meta(ge=1, le=DAYS_MAX * 86_400)] | None = None


class Showing(msgspec.Struct, frozen=True):
    code: str


class StatusPage:
    def __init__(self, player: Player, token: str) -> None:
        self._player, self.token = player, token
        self._code: tuple[str, float] | None = None
        self._hosts: frozenset[str] = frozenset()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        page = resources.files("services.agent").joinpath("status_page.html").read_text(encoding="utf-8")
        self._page = page
        self._headers = {
            "Content-Security-Policy": "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
            f"form-action 'none'; script-src {_hash_of(page, 'script')}; style-src {_hash_of(page, 'style')}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    async def start(self, port: int) -> int:
        """The port it listens on; 0 asks for any. Raises: OSError."""
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self._show),
                web.get("/status", self._status),
                web.post("/pause", self._pause),
                web.post("/resume", self._resume),
                web.post("/code", self._make_code),
                web.post("/session", self._begin_session),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=IDLE_S, shutdown_timeout=CLOSE_S)
        await self._runner.setup()
        server = self._runner.server
        assert server is not None

        def accept() -> asyncio.BaseProtocol:
            return server() if len(server.connections) < CONNECTIONS_MAX else _TurnedAway()

        self._server = await asyncio.get_running_loop().create_server(accept, ADDRESS, port)
        bound = int(self._server.sockets[0].getsockname()[1])
        self._hosts = frozenset({f"{ADDRESS}:{bound}", f"localhost:{bound}"})
        return bound

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request) if self._may(request) else _no("this is not for you", 403)
        except web.HTTPException as error:
            response = _no(error.reason, error.status)
        response.headers.update(self._headers)
        return response

    def _may(self, request: web.Request) -> bool:
        if request.host not in self._hosts:
            return False
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return False
        if (request.method, request.path) in (("GET", "/"), ("POST", "/session")):
            return True
        shown = request.headers.get("Authorization", "")
        return compare_digest(shown.encode(), f"Bearer {self.token}".encode())

    async def _show(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=self._page, content_type="text/html")

    async def _status(self, _: web.Request) -> web.StreamResponse:
        return _json(self._player.status())

    async def _pause(self, request: web.Request) -> web.StreamResponse:
        self._player.say((await _body(request, Pausing)).for_s, paused=True)
        return _json(self._player.status())

    async def _resume(self, _: web.Request) -> web.StreamResponse:
        self._player.say(None, paused=False)
        return _json(self._player.status())

    async def _make_code(self, _: web.Request) -> web.StreamResponse:
        self._code = secrets.token_urlsafe(CODE_BYTES), time.monotonic() + CODE_S
        return _json(Showing(self._code[0]))

    async def _begin_session(self, request: web.Request) -> web.StreamResponse:
        """One try a code: who guesses has used it up."""
        shown = (await _body(request, Showing)).code
        made, self._code = self._code, None
        if made is None or time.monotonic() > made[1] or not compare_digest(shown.encode(), made[0].encode()):
            return _no("this code is not good, or not any more: kafra agent status --open", 403)
        return _json({"token": self.token})


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise web.HTTPBadRequest(reason=str(error).partition("\n")[0][:200]) from None


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _no(why: str, status: int) -> web.Response:
    return _json({"error": why}, status)


def _hash_of(page: str, tag: str) -> str:
    """Of the page's one <script> or <style>, as a content security policy names it."""
    text = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
