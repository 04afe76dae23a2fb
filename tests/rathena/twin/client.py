"""The twin game client over TCP. In a test: `player = TwinClient(char.login(2000001))`, `await player.enter()`,
`player.attack()`, `await player.until(lambda: player.core.zeny > 1000)`."""

from collections.abc import Callable
from typing import Any

from libs.rathena.tables import MAP_TO_CLIENT
from tests.rathena.twin.char_core import Ticket
from tests.rathena.twin.client_core import TICK_MS, ClientCore
from tests.rathena.twin.shell import Shell


class TwinClient:
    """address: where to connect to; without it the ticket's (a relay's public address, where a bridge gave it). name: of the
    character, for chat. local_ip: where it comes from."""

    def __init__(
        self,
        ticket: Ticket,
        address: tuple[str, int] | None = None,
        *,
        name: bytes = b"Twin",
        load_ms: int = 0,
        tick_ms: int = TICK_MS,
        local_ip: str | None = None,
    ) -> None:
        self.ticket, self.name = ticket, name
        self.core = ClientCore(ticket, address or (ticket.ip, ticket.port), load_ms=load_ms, tick_ms=tick_ms)
        self.shell = Shell(self.core, MAP_TO_CLIENT, local_ip=local_ip)

    def start(self) -> None:
        """Connects and goes on by itself."""
        self.shell.run(self.core.start(self.shell.now_ms()))

    async def enter(self, timeout_s: float = 10.0) -> None:
        """Connects and waits until the player stands in the game. Raises: TimeoutError."""
        self.start()
        await self.until(lambda: self.core.standing or self.core.disconnects, timeout_s)
        assert self.core.standing, f"refused: {self.core.disconnects}"

    async def until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        """Raises: TimeoutError. Asked again after everything this client hears."""
        await self.shell.until(condition, timeout_s)
        assert not self.shell.broken_streams, self.shell.broken_streams

    def walk(self, x: int, y: int) -> None:
        self._do(self.core.walk, x, y)

    def attack(self) -> None:
        """On a twin map-server: 10 zeny, 7 EXP."""
        self._do(self.core.attack)

    def take(self) -> None:
        self._do(self.core.take)

    def say(self, words: bytes) -> None:
        self._do(self.core.chat_line, self.name, words)

    def warp(self, map_name: str, x: int, y: int) -> None:
        """As through a portal; a twin map-server knows `@jump`, others do not."""
        self.say(f"@jump {map_name} {x} {y}".encode())

    def whisper(self, target: bytes, words: bytes) -> None:
        self._do(self.core.whisper, target, words)

    def party(self, words: bytes) -> None:
        self._do(self.core.party, self.name + b" : " + words)

    def logout(self) -> None:
        self._do(self.core.logout)

    def char_select(self) -> None:
        self._do(self.core.char_select)

    def leave(self) -> None:
        self._do(self.core.leave)

    async def gone(self, timeout_s: float = 10.0) -> None:
        await self.until(lambda: not self.core.connected, timeout_s)

    async def stop(self) -> None:
        await self.shell.stop()

    def _do(self, act: Callable[..., None], *values: Any) -> None:
        act(*values)
        self.shell.run(self.core.out.take())
