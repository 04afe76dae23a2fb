"""The page on this machine: for who has the token, on this machine's own name, and nobody else."""

import asyncio
import http.client
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from services.agent import status_page
from services.agent.status import Parts, Status, status_of
from services.agent.status_page import CONNECTIONS_MAX, StatusPage

Eventually = Callable[..., Awaitable[None]]

TOKEN = "a-token"


class Player:
    def __init__(self) -> None:
        self.said: list[tuple[int | None, bool]] = []

    def status(self) -> Status:
        return status_of(Parts(host="my_pc", version="1", pid=1, at_ms=1, started_ms=1, url="nats://h"))

    def say(self, pause_s: int | None, *, paused: bool) -> None:
        self.said.append((pause_s, paused))


class Asking:
    """HTTP as a browser or a program says it, each time over a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.headers: dict[str, str] = {}

    def _ask(self, method: str, path: str, body: object, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            data = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            self.headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, response.read()
        finally:
            connection.close()

    async def __call__(
        self, method: str, path: str, body: object = None, *, token: str | None = TOKEN, **headers: str
    ) -> tuple[int, bytes]:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await asyncio.to_thread(self._ask, method, path, body, headers)


@pytest.fixture
def player() -> Player:
    return Player()


@pytest.fixture
async def ask(player: Player) -> AsyncIterator[Asking]:
    page = StatusPage(player, TOKEN)
    yield Asking(await page.start(0))
    await page.close()


async def test_who_has_the_token_sees_and_says(ask: Asking, player: Player):
    code, said = await ask("GET", "/status")
    assert code == 200
    assert msgspec.json.decode(said, type=Status) == player.status()

    for path, body in (("/pause", {"for_s": 60}), ("/pause", {}), ("/pause", None), ("/resume", {})):
        code, said = await ask("POST", path, body)
        assert code == 200
        msgspec.json.decode(said, type=Status)
    assert player.said == [(60, True), (None, True), (None, True), (None, False)]


@pytest.mark.parametrize("token", [None, "", "a-toke", "a-token2", "ä"])
async def test_who_has_not_sees_and_says_nothing(ask: Asking, player: Player, token: str | None):
    for method, path in (("GET", "/status"), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/code"), ("GET", "/other")):
        code, said = await ask(method, path, token=token and token.encode().decode("latin-1"))
        assert (code, b"my_pc" in said) == (403, False)
    assert player.said == []


async def test_a_name_that_was_made_to_point_here_is_turned_away(ask: Asking, player: Player):
    """DNS rebinding: the browser believes to speak with the site."""
    for host in (
        "evil.example",
        f"evil.example:{ask.port}",
        "127.0.0.1",
        f"127.0.0.1:{ask.port + 1}",
        f"127.0.0.1.evil:{ask.port}",
    ):
        for path in ("/", "/status"):
            code, said = await ask("GET", path, Host=host)
            assert (code, b"my_pc" in said, b"<html" in said) == (403, False, False)
    assert (await ask("GET", "/status", Host=f"localhost:{ask.port}"))[0] == 200


async def test_another_site_may_not_post_and_gets_no_cors(ask: Asking, player: Player):
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{ask.port + 1}", f"https://127.0.0.1:{ask.port}"):
        assert (await ask("POST", "/pause", {}, Origin=origin))[0] == 403
        assert not any(name.startswith("access-control") for name in ask.headers)
    assert (await ask("OPTIONS", "/pause", Origin="https://evil.example"))[0] == 403
    assert player.said == []
    assert (await ask("POST", "/pause", {}, Origin=f"http://127.0.0.1:{ask.port}"))[0] == 200


async def test_nothing_is_changed_by_looking(ask: Asking, player: Player):
    for path in ("/pause", "/resume", "/code", "/session"):
        assert (await ask("GET", path))[0] == 405
    assert player.said == []


@pytest.mark.parametrize("body", [{"for_s": 0}, {"for_s": -1}, {"for_s": 10**9}, {"for_s": "2h"}, [], b"{", b"\xff"])
async def test_a_pause_that_is_none_is_refused_in_words(ask: Asking, player: Player, body: object):
    code, said = await ask("POST", "/pause", body)

    assert code == 400
    assert msgspec.json.decode(said)["error"]
    assert player.said == []


async def test_a_long_body_is_not_read(ask: Asking, player: Player):
    code, _ = await ask("POST", "/pause", b" " * 100_000 + b"{}")

    assert code == 413
    assert player.said == []


async def test_the_page_holds_no_secret_and_runs_only_its_own_script(ask: Asking):
    code, page = await ask("GET", "/", token=None)

    assert code == 200
    assert b"my_pc" not in page
    assert TOKEN.encode() not in page
    policy = ask.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[^']+'; style-src 'sha256-[^']+'$", policy)
    assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", page), "no other address"
    assert ask.headers["cache-control"] == "no-store"


async def test_a_browser_is_let_in_by_a_code_once(ask: Asking):
    code, said = await ask("POST", "/code", {})
    shown = msgspec.json.decode(said)
    assert code == 200

    code, said = await ask("POST", "/session", shown, token=None)
    assert (code, msgspec.json.decode(said)) == (200, {"token": TOKEN})
    assert (await ask("POST", "/session", shown, token=None))[0] == 403


async def test_a_guess_uses_the_code_up_and_time_does_too(ask: Asking, monkeypatch: pytest.MonkeyPatch):
    shown = msgspec.json.decode((await ask("POST", "/code", {}))[1])
    assert (await ask("POST", "/session", {"code": "guess"}, token=None))[0] == 403
    assert (await ask("POST", "/session", shown, token=None))[0] == 403

    monkeypatch.setattr(status_page, "CODE_S", -1.0)
    shown = msgspec.json.decode((await ask("POST", "/code", {}))[1])
    assert (await ask("POST", "/session", shown, token=None))[0] == 403
    assert (await ask("POST", "/session", {}, token=None))[0] == 400


async def test_a_flood_of_connections_is_turned_away_and_ends(ask: Asking, eventually: Eventually):
    sockets = [socket.create_connection(("127.0.0.1", ask.port), timeout=5) for _ in range(CONNECTIONS_MAX)]
    try:

        async def refused() -> bool:
            try:
                await ask("GET", "/status")
            except (OSError, http.client.HTTPException):
                return True
            return False

        await eventually(refused)
    finally:
        for one in sockets:
            one.close()

    async def answers() -> bool:
        try:
            return (await ask("GET", "/status"))[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    await eventually(answers)


async def test_a_port_that_is_taken_is_said(ask: Asking, player: Player):
    other = StatusPage(player, TOKEN)

    with pytest.raises(OSError, match="in use"):
        await other.start(ask.port)

    await other.close()
