"""The twin char-server over TCP. In a test: `async with TwinChar.running(people, "prontera", 150, 150) as char: ...`."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from libs.rathena.tables import MAP_TO_CHAR
from tests.rathena.twin.char_core import CannotLogIn, CharCore, Ticket
from tests.rathena.twin.effects import Note, quiet
from tests.rathena.twin.people import Person
from tests.rathena.twin.shell import Shell
from tests.rathena.twin.store import Store

HOST = "127.0.0.1"


class TwinChar:
    """store: what tests look at. port: where map-servers connect to."""

    def __init__(self, store: Store, *, slots_max: int = 2, note: Note = quiet) -> None:
        self.store = store
        self.core = CharCore(store, slots_max=slots_max, note=note)
        self.shell = Shell(self.core, MAP_TO_CHAR)
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def running(
        cls, people: Iterable[Person], map_name: str, x: int, y: int, *, slots_max: int = 2
    ) -> AsyncIterator["TwinChar"]:
        """With fresh characters, all at one place."""
        store = Store()
        store.settle(people, map_name, x, y)
        char = cls(store, slots_max=slots_max)
        await char.start()
        try:
            yield char
        finally:
            await char.stop()

    async def start(self, port: int = 0) -> None:
        self.port = await self.shell.listen(HOST, port)

    async def stop(self) -> None:
        await self.shell.stop()

    def login(self, account_id: int) -> Ticket:
        """Raises: CannotLogIn."""
        try:
            return self.core.login(account_id)
        finally:
            self.shell.run(self.core.out.take())

    async def login_when_possible(self, account_id: int, timeout_s: float = 10.0) -> Ticket:
        """Waits until a slot has the character's map and the character is out of the game. Raises: TimeoutError."""
        tickets: list[Ticket] = []
        why: list[CannotLogIn] = []

        def possible() -> bool:
            try:
                tickets.append(self.login(account_id))
            except CannotLogIn as refused:
                why.append(refused)
                return False
            return True

        try:
            await self.shell.until(possible, timeout_s)
        except TimeoutError:
            raise TimeoutError(f"{why[-1]}, asked {len(why)} times") from None
        return tickets[0]

    async def until(self, condition: object, timeout_s: float = 10.0) -> None:
        """`await char.until(lambda: char.store.online)`. Raises: TimeoutError."""
        assert callable(condition)
        await self.shell.until(condition, timeout_s)

    def drop_slot(self, number: int) -> None:
        """The char-server's end of a link is reset."""
        if slot := self.core.slot_number(number):
            self.shell.abort(slot.link)

    def kick(self, account_id: int, reason: int = 2) -> None:
        """2b1f to the slot the character is on, as a char-server does that was told so."""
        self.core.kick(account_id, reason)
        self.shell.run(self.core.out.take())
