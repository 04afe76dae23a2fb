"""Acknowledgements that never came: whether the write stands is found out, whatever has happened since."""

import os
import signal

import pytest

from libs.bus import log
from libs.bus.connection import Connection
from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import connect
from libs.events import HostDown, HostId, MapCensus, MapName, OpsDrain, Region, Stream
from libs.hosting.effects import Append, Committed, InDoubt, Outcome, Refused

pytestmark = pytest.mark.nats


def census(players: int) -> MapCensus:
    return MapCensus(map=MapName("m"), at_ms=1, players={Region("eu"): players})


def down(detail: str) -> HostDown:
    return HostDown(host=HostId("h1"), at_ms=1, reason="lost", detail=detail, disconnects_ms=[])


@pytest.fixture
def losing_acks(monkeypatch: pytest.MonkeyPatch):
    """`losing_acks.append(n)`: of the acknowledgements with sequence n, the first is lost."""
    lost: list[int] = []
    deliver = Connection.deliver

    def lossy(self: Connection, sid: int, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        for seq in list(lost):
            if body.startswith(b'{"stream":') and body.endswith(b'"seq":%d}' % seq):
                lost.remove(seq)
                return
        deliver(self, sid, subject, reply, headers, body)

    monkeypatch.setattr(Connection, "deliver", lossy)
    return lost


@pytest.mark.parametrize("expected", [0, None], ids=["compare-and-set", "plain"])
async def test_a_lost_acknowledgement_doubles_nothing(nats_server: EmbeddedServer, losing_acks, expected):
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)
    losing_acks.append(1)

    assert await bus.append(Append(census(1), expected)) == Committed(1)

    assert losing_acks == []
    assert [fact.seq async for fact in bus.read(Stream.MAPS)] == [1]
    await bus.close()


async def test_a_write_others_have_built_upon_is_still_known_as_ours(nats_server: EmbeddedServer, losing_acks, eventually):
    bus, other = await connect(nats_server.url, name="writer"), await connect(nats_server.url, name="other")
    await bus.ensure_streams(1)
    losing_acks += [1, 2]
    settled: list[Outcome] = []

    bus.submit(Append(down("ours"), 0, "host.*.h1"), lambda _, outcome: settled.append(outcome))
    await eventually(lambda: losing_acks == [2])
    assert await other.append(Append(OpsDrain(host=HostId("h1"), at_ms=1, draining=True, by="x"), None)) == Committed(2)
    assert await other.append(Append(down("theirs"), 1, "host.*.h1")) == Committed(3)
    await eventually(lambda: settled)

    assert settled == [Committed(1)]
    await bus.close()
    await other.close()


async def test_a_retry_that_came_too_late_is_refused(nats_server: EmbeddedServer, monkeypatch, eventually):
    """The first attempt never arrives; before the second somebody else writes."""
    bus, other = await connect(nats_server.url, name="writer"), await connect(nats_server.url, name="other")
    await bus.ensure_streams(1)
    settled: list[Outcome] = []
    with monkeypatch.context() as lossy:
        lossy.setattr(Connection, "send", lambda _self, _command: True)
        bus.submit(Append(census(1), 0), lambda _, outcome: settled.append(outcome))

    assert await other.append(Append(census(2), 0)) == Committed(1)
    await eventually(lambda: settled)

    assert settled == [Refused(1)]
    assert [fact.event async for fact in bus.read(Stream.MAPS)] == [census(2)]
    await bus.close()
    await other.close()


async def test_what_expects_more_than_there_is_is_refused(nats_server: EmbeddedServer, monkeypatch, eventually):
    """A first attempt lost, and an expectation of a log that does not exist (any more)."""
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)
    settled: list[Outcome] = []
    with monkeypatch.context() as lossy:
        lossy.setattr(Connection, "send", lambda _self, _command: True)
        bus.submit(Append(census(1), 7), lambda _, outcome: settled.append(outcome))

    await eventually(lambda: settled)

    assert settled == [Refused(0)]
    await bus.close()


async def test_a_server_that_stays_silent_leaves_the_write_in_doubt(nats_server: EmbeddedServer, monkeypatch, freeze):
    monkeypatch.setattr(log, "SETTLE_TIMEOUT_S", 0.6)
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)

    await freeze(nats_server.pid)
    outcome = await bus.append(Append(census(1), 0))
    os.kill(nats_server.pid, signal.SIGCONT)

    assert isinstance(outcome, InDoubt)
    await bus.close()


async def test_a_queue_that_is_full_says_so(nats_server: EmbeddedServer, monkeypatch, eventually):
    monkeypatch.setattr(log, "QUEUE_MAX", 10)
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)
    nats_server.kill()
    await eventually(lambda: not bus.connected)
    settled: list[Outcome] = []

    for number in range(20):
        bus.submit(Append(census(number), None), lambda _, outcome: settled.append(outcome))
    await eventually(lambda: len(settled) >= 10)

    assert all(isinstance(outcome, InDoubt) and "waiting" in outcome.reason for outcome in settled)
    await nats_server.start()
    await eventually(lambda: len(settled) == 20)
    assert sum(isinstance(outcome, Committed) for outcome in settled) == 10
    await bus.close()
