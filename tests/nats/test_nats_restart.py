"""The server killed with SIGKILL under load: nothing acknowledged is lost, nothing is doubled, followers have no gap.

Three kills; with KAFRA_PROVE=1 thirty.
"""

import asyncio
import os
from collections import Counter

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Start
from libs.events import Fact, HostId, HostMetrics, MapCensus, MapEnter, MapName, Region, Stream
from libs.hosting.effects import Append, Committed, Outcome

pytestmark = pytest.mark.nats

KILLS = 30 if os.environ.get("KAFRA_PROVE") else 3
MAPS = 64


class Chains:
    """One chain of compare-and-set writes a map, each expecting the one before; and entries without expectation."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._last = dict.fromkeys((f"m{number}" for number in range(MAPS)), 0)
        self._value = 0
        self.going = True
        self.open = 0
        self.committed: dict[int, MapCensus | MapEnter] = {}
        self.others: list[Outcome] = []

    def start(self) -> None:
        for map_ in self._last:
            self._write(map_)
            self._enter()

    def _write(self, map_: str) -> None:
        self._value += 1
        self._submit(MapCensus(map=MapName(map_), at_ms=self._value, players={}), self._last[map_])

    def _enter(self) -> None:
        self._value += 1
        self._submit(
            MapEnter(
                map=MapName("e"), account_id=1, char_id=1, at_ms=self._value, region=Region("eu"), from_map=None, x=1, y=1
            ),
            None,
        )

    def _submit(self, event: MapCensus | MapEnter, expected: int | None) -> None:
        self.open += 1
        self._bus.submit(Append(event, expected), self._settled)

    def _settled(self, write: Append, outcome: Outcome) -> None:
        self.open -= 1
        event = write.event
        assert isinstance(event, MapCensus | MapEnter)
        if not isinstance(outcome, Committed):
            self.others.append(outcome)
            return
        assert outcome.seq not in self.committed
        self.committed[outcome.seq] = event
        if isinstance(event, MapCensus):
            self._last[event.map] = outcome.seq
        if self.going:
            self._write(event.map) if isinstance(event, MapCensus) else self._enter()


@pytest.mark.timeout(60 + 4 * KILLS)
async def test_nothing_acknowledged_is_lost_and_nothing_doubled(nats_server: EmbeddedServer, eventually):
    writer = await connect(nats_server.url, name="writer")
    reader = await connect(nats_server.url, name="reader")
    await writer.ensure_streams(1)
    followed: list[tuple[int, int]] = []

    def on_fact(fact: Fact) -> None:
        assert fact.event is not None
        followed.append((fact.seq, fact.event.at_ms))  # type: ignore[attr-defined]

    following = await reader.follow([Stream.MAPS], on_fact, Start.ALL)
    chains = Chains(writer)
    chains.start()
    for _ in range(KILLS):
        before = len(chains.committed)
        await eventually(lambda before=before: len(chains.committed) > before + 500)
        nats_server.kill()
        await nats_server.start()
    before = len(chains.committed)
    await eventually(lambda: len(chains.committed) > before + 500)
    chains.going = False
    await eventually(lambda: chains.open == 0, 40)
    last = max(chains.committed)
    await eventually(lambda: following.position(Stream.MAPS) >= last)

    kept = [(fact.seq, fact.event) async for fact in reader.read(Stream.MAPS)]
    assert chains.others == [], "one writer a subject: nothing is refused, and all doubts were settled"
    on_disk = dict(kept)
    gone_by_limit = {seq for seq, event in chains.committed.items() if event.map == "e" and seq < kept_from(kept)}
    lost = {seq for seq in chains.committed if seq not in on_disk} - gone_by_limit
    assert not lost
    assert all(on_disk[seq] == event for seq, event in chains.committed.items() if seq in on_disk)
    assert Counter(event.at_ms for _, event in kept).most_common(1)[0][1] == 1, "each written once"
    assert [seq for seq, _ in followed] == list(range(1, last + 1)), "no gap, no repetition"
    assert dict(followed) == {seq: event.at_ms for seq, event in chains.committed.items()}
    await writer.close()
    await reader.close()


def kept_from(kept: list[tuple[int, MapCensus | MapEnter]]) -> int:
    """The oldest entry still kept: 5,000 of a subject are."""
    return min((seq for seq, event in kept if event.map == "e"), default=0)


async def test_writes_made_while_the_server_is_down_are_settled_when_it_is_back(nats_server: EmbeddedServer, eventually):
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)
    nats_server.kill()
    await eventually(lambda: not bus.connected)
    settled: list[Outcome] = []

    for number in range(1_000):
        bus.submit(Append(MapCensus(map=MapName(f"m{number}"), at_ms=1, players={}), 0), lambda _, it: settled.append(it))
    await nats_server.start()
    await eventually(lambda: len(settled) >= 1_000)

    assert sorted(outcome.seq for outcome in settled if isinstance(outcome, Committed)) == list(range(1, 1_001))
    await bus.close()


async def test_what_is_said_while_disconnected_is_never_heard(nats_server: EmbeddedServer, eventually):
    speaker, listener = await connect(nats_server.url, name="speaker"), await connect(nats_server.url, name="listener")
    heard: list[int] = []
    await listener.hear(MapCensus, lambda event: heard.append(event.at_ms))
    nats_server.kill()
    await eventually(lambda: not speaker.connected and not listener.connected)

    speaker.say(MapCensus(map=MapName("m"), at_ms=1, players={}))
    await nats_server.start()
    await eventually(lambda: speaker.connected and listener.connected)
    speaker.say(MapCensus(map=MapName("m"), at_ms=2, players={}))
    await eventually(lambda: heard)

    assert heard == [2]
    await speaker.close()
    await listener.close()


async def test_close_while_the_server_is_down_is_bounded_and_settles(nats_server: EmbeddedServer, eventually):
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)
    nats_server.kill()
    await eventually(lambda: not bus.connected)
    settled: list[Outcome] = []
    bus.submit(Append(MapCensus(map=MapName("m"), at_ms=1, players={}), 0), lambda _, it: settled.append(it))

    async with asyncio.timeout(10):
        await bus.close()

    assert len(settled) == 1
    assert not isinstance(settled[0], Committed)


async def test_heartbeats_go_on_after_a_restart_has_forgotten_them(nats_server: EmbeddedServer, eventually):
    """METRICS is in memory: the server comes back without the stream."""
    lost: list[str] = []
    bus = await connect(nats_server.url, name="registry", on_lost=lost.append)
    await bus.ensure_streams(1)
    followed: list[int] = []
    await bus.follow([Stream.METRICS], lambda fact: followed.append(fact.event.seq), Start.LAST_PER_SUBJECT)
    await bus.append(Append(beat(1), None))
    await eventually(lambda: followed == [1])

    nats_server.kill()
    await nats_server.start()
    await bus.append(Append(beat(2), None))
    await eventually(lambda: len(followed) >= 2)

    assert (followed, lost) == ([1, 2], [])
    await bus.close()


def beat(seq: int) -> HostMetrics:
    return HostMetrics(
        host=HostId("h"), account_id=1, at_ms=1, seq=seq, address=None, port=0, region=Region("eu"), maps={}, leaving=False
    )
