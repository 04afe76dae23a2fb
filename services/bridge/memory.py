"""What the bridge remembers over a restart: its relays, the last assignments it read and those it did not follow, so that it
can serve while NATS is away (DESIGN D5). One file, written anew in full and renamed; a file that cannot be read counts as none,
and is said."""

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from libs.events import MalformedEvent, MapAssign, Stream, decode, encode
from libs.events.base import Fact
from libs.hosting.world import World
from services.bridge.core import Bridge
from services.bridge.state import State

NAME = "bridge.msgpack"
EVERY_S = 1.0
_LOG = logging.getLogger(__name__)


class Memory(msgspec.Struct, frozen=True):
    """relays: names. assignments: map -> (sequence, body of its last map.assign). spent: map -> tenure, as State.spent."""

    relays: list[str] = []
    assignments: dict[str, tuple[int, bytes]] = {}
    spent: dict[bytes, int] = {}

    @classmethod
    def of(cls, relays: list[str], state: State) -> "Memory":
        maps = state.world.maps.items()
        kept = {str(name): (known.assign_seq, encode(known.assign)) for name, known in maps if known.assign is not None}
        return cls(relays, kept, dict(state.spent))

    def world(self) -> World:
        """The assignments as the log had them; a body that cannot be read any more is left out."""
        world = World()
        for name, (seq, body) in sorted(self.assignments.items(), key=lambda entry: entry[1][0]):
            try:
                event = decode(f"{MapAssign.declaration.name}.{name}", body)
            except MalformedEvent as error:
                _LOG.warning("a remembered assignment cannot be read: %s", error)
                continue
            world.apply(Fact(Stream.ASSIGNMENTS, seq, event))
        return world


def load(directory: Path | None) -> Memory:
    if directory is None:
        return Memory()
    try:
        return msgspec.msgpack.decode((directory / NAME).read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        _LOG.error("what was remembered cannot be read: %s", error)
        return Memory()


def save(directory: Path, memory: Memory) -> None:
    """
    Raises:
        OSError: it cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path, new = directory / NAME, directory / f"{NAME}.new"
    with new.open("wb") as file:
        file.write(msgspec.msgpack.encode(memory))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class Keeper:
    """Saves what changed, now and then. store: None: nothing is remembered."""

    def __init__(self, store: Path | None, core: Bridge) -> None:
        self._store, self._core = store, core
        self._kept = self._memorable()

    async def run(self) -> None:
        """Until cancelled; then `keep`."""
        while True:
            await asyncio.sleep(EVERY_S)
            if (store := self._store) is not None and (changed := self._changed()) is not None:
                await asyncio.to_thread(_save, store, changed)

    def keep(self) -> None:
        """At once, what is not saved yet."""
        if self._store is not None and (changed := self._changed()) is not None:
            _save(self._store, changed)

    def _changed(self) -> Memory | None:
        """None: the same as when it was asked last."""
        if (now := self._memorable()) == self._kept:
            return None
        self._kept = now
        return Memory.of(self._core.relays(), self._core.state)

    def _memorable(self) -> tuple[object, ...]:
        """Differs when something worth remembering has changed."""
        state = self._core.state
        return tuple(self._core.relays()), state.world.assignments_seq, tuple(state.spent.items())


def _save(store: Path, remembered: Memory) -> None:
    try:
        save(store, remembered)
    except OSError as error:
        _LOG.error("the bridge cannot remember: %s", error.strerror or error)
