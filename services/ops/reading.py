"""How commands look at a running system: connect, fold the world, read the streams. Errors an operator can act on."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.bus.errors import BusUnavailable
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Start
from libs.events import Basis, Fact, HostId, Stream
from libs.hosting.world import World
from libs.runtime.process import node_name
from services.ops.host_view import last_heartbeats
from services.ops.replay import Log
from services.ops.stack import default_store, running_stack

CATCH_UP_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 3.0
DEFAULT_URL = "nats://127.0.0.1:4222"
WORLD_STREAMS = (Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS)


@dataclass(frozen=True, slots=True)
class Target:
    """Which system to look at. url None: the local `kafra up`."""

    url: str | None = None
    credentials: Path | None = None

    def resolve(self) -> tuple[str, Path | None]:
        """URL and credentials: as given; else of the environment; else of the `kafra up` that runs here; else the default."""
        said = os.environ.get("KAFRA__NATS__CREDENTIALS")
        credentials = self.credentials or (Path(said) if said else None)
        if self.url is not None:
            return self.url, credentials
        if url := os.environ.get("KAFRA__NATS__URL"):
            return url, credentials
        if (here := running_stack(default_store())) is not None:
            return here[0], self.credentials or here[1]
        return DEFAULT_URL, credentials


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[NatsBus]:
    """
    Raises:
        BusUnavailable: nothing answers there.
    """
    url, credentials = target.resolve()
    bus = await connect(url, name=node_name("ops"), credentials=credentials, connect_timeout_s=CONNECT_TIMEOUT_S)
    try:
        yield bus
    finally:
        await bus.close()


async def snapshot(bus: NatsBus) -> World:
    """The world now.

    Raises:
        BusUnavailable: the streams are not there: no Kafra runs on this NATS.
    """
    world = World()
    following = await bus.follow(WORLD_STREAMS, world.apply, Start.LAST_PER_SUBJECT)
    try:
        await following.caught_up(CATCH_UP_TIMEOUT_S)
    finally:
        await following.close()
    return world


async def heartbeats(bus: NatsBus) -> dict[HostId, Fact]:
    """The last of each host that is still kept.

    Raises:
        BusUnavailable: no answer.
    """
    facts: list[Fact] = []
    following = await bus.follow([Stream.METRICS], facts.append, Start.LAST_PER_SUBJECT)
    try:
        await following.caught_up(CATCH_UP_TIMEOUT_S)
    finally:
        await following.close()
    return last_heartbeats(facts)


async def read_log(bus: NatsBus, on_read: Callable[[Stream, int], None] = lambda _stream, _count: None) -> Log:
    """All that is kept of the three streams. on_read(stream, messages): after each thousand.

    Raises:
        BusUnavailable: no answer.
    """
    facts: dict[Stream, list[Fact]] = {stream: [] for stream in WORLD_STREAMS}
    # Assignments first: what they were decided on is then in the other two for certain.
    for stream in (Stream.ASSIGNMENTS, Stream.HOSTS, Stream.MAPS):
        read = facts[stream]
        async for fact in bus.read(stream):
            read.append(fact)
            if len(read) % 1000 == 0:
                on_read(stream, len(read))
        on_read(stream, len(read))
    # And the horizons last: what was cut off meanwhile lies below them.
    horizon = Basis(*[await bus.horizon(stream) for stream in WORLD_STREAMS])
    return Log(facts[Stream.HOSTS], facts[Stream.MAPS], facts[Stream.ASSIGNMENTS], horizon)


async def newest(bus: NatsBus, streams: tuple[Stream, ...], limit: int, wanted: Callable[[Fact], bool]) -> list[Fact]:
    """The last `limit` wanted messages of these streams, by the time they were stored."""
    facts: list[Fact] = []
    for stream in streams:
        kept: list[Fact] = []
        async for fact in bus.read(stream):
            if wanted(fact):
                kept.append(fact)
            if len(kept) > 2 * limit:
                del kept[:-limit]
        facts += kept[-limit:]
    return sorted(facts, key=lambda fact: fact.stored_ms)[-limit:]


__all__ = ["BusUnavailable", "Target", "connected", "heartbeats", "newest", "read_log", "snapshot"]
