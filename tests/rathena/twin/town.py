"""A char-server and whatever a test starts on it, in the test's process: `async with Town.running() as town: ...`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.rathena.twin.char import TwinChar
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.map_core import MapConfig, Place
from tests.rathena.twin.mapserver import TwinMap
from tests.rathena.twin.people import Person, person
from tests.rathena.twin.player import Player

PORTAL: Final[dict[Place, Place]] = {("prt_fild08", 170, 378): ("prontera", 156, 180)}
BACK: Final[dict[Place, Place]] = {("prontera", 156, 191): ("prt_fild08", 170, 370)}
PEOPLE: Final = tuple(person(n) for n in range(3))
SELDOM_MS: Final = 60_000
"""An autosave that does not come into a test."""


class Town:
    """people stand at prt_fild08 170,360 first. Everything started here ends with it."""

    def __init__(self, char: TwinChar, people: Sequence[Person]) -> None:
        self.char, self.people = char, people
        self.store = char.store
        self._running: list[TwinMap | TwinClient] = []

    @classmethod
    @asynccontextmanager
    async def running(cls, people: Sequence[Person] = PEOPLE, *, slots_max: int = 2) -> AsyncIterator["Town"]:
        async with TwinChar.running(people, "prt_fild08", 170, 360, slots_max=slots_max) as char:
            town = cls(char, people)
            try:
                yield town
            finally:
                for running in reversed(town._running):
                    await running.stop()

    async def map_server(self, *maps: str, **config: Any) -> TwinMap:
        """config: of MapConfig. It is linked, or was refused."""
        config = {"port": 0, "char": ("127.0.0.1", self.char.port), "autosave_ms": SELDOM_MS, **config}
        server = TwinMap(MapConfig(maps=maps, **config))
        self._running.append(server)
        await server.start()
        await server.linked()
        return server

    async def field_and_city(self, **config: Any) -> tuple[TwinMap, TwinMap]:
        """prt_fild08 and prontera with a portal between them, each server knowing of the other."""
        field = await self.map_server("prt_fild08", warps=PORTAL, **config)
        city = await self.map_server("prontera", "izlude", warps=BACK, **config)
        await field.shell.until(lambda: "prontera" in field.core.remote)
        await city.shell.until(lambda: "prt_fild08" in city.core.remote)
        return field, city

    def client(self, number: int = 0, address: tuple[str, int] | None = None, **options: Any) -> TwinClient:
        """Of somebody who has just been at the char-server; not connected yet. Raises: CannotLogIn."""
        who = self.people[number]
        client = TwinClient(self.char.login(who.account_id), address, name=who.name, **options)
        self._running.append(client)
        return client

    async def player(self, number: int = 0, address: tuple[str, int] | None = None) -> TwinClient:
        """Somebody who stands in the game. address: without it that of the map-server."""
        who = self.people[number]
        client = TwinClient(await self.char.login_when_possible(who.account_id), address, name=who.name)
        self._running.append(client)
        await client.enter()
        return client

    def on(self, server: TwinMap, number: int = 0) -> Player | None:
        return server.player(self.people[number].account_id)
