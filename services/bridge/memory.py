"""What the bridge remembers over a restart: its relays, the last assignments it read and those it did not follow, so that it
can serve while NATS is away (DESIGN D5). One file, written anew in full and renamed; a file that cannot be read counts as none,
and is said."""

import logging
import os
from pathlib import Path

import msgspec

from libs.events import MalformedEvent, MapAssign, Stream, decode, encode
from libs.events.base import Fact
from libs.hosting.world import World
from services.bridge.state import State

NAME = "bridge.msgpack"
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
