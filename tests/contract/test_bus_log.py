"""Writing to the log: what every bus promises (libs.bus.port)."""

import asyncio
from collections import Counter

import pytest

from libs.bus.streams import METRICS_PER_SUBJECT_MAX
from libs.events import (
    HostDown,
    HostId,
    HostMetrics,
    HostVerdict,
    MapCensus,
    MapEnter,
    MapName,
    Region,
    Stream,
)
from libs.hosting.effects import Append, Committed, InDoubt, Outcome, Refused


def census(map_: str = "prt_fild08", players: int = 1) -> MapCensus:
    return MapCensus(map=MapName(map_), at_ms=1, players={Region("eu"): players})


def down(host: str) -> HostDown:
    return HostDown(host=HostId(host), at_ms=1, reason="silent", detail="", disconnects_ms=[])


def verdict(host: str) -> HostVerdict:
    return HostVerdict(
        host=HostId(host),
        at_ms=1,
        kind="cpu",
        verdict="pass",
        strikes=0,
        blacklisted_until_ms=None,
        trust=1.0,
        checks={},
        evidence={},
    )


def beat(host: str, seq: int) -> HostMetrics:
    return HostMetrics(
        host=HostId(host), account_id=1, at_ms=1, seq=seq, address=None, port=0, region=Region("eu"), maps={}, leaving=False
    )


async def test_a_write_that_expects_what_is_there_is_committed(bus_factory):
    bus = await bus_factory()

    assert await bus.append(Append(census(), 0)) == Committed(1)
    assert await bus.append(Append(census("gef_fild07"), 0)) == Committed(2)
    assert await bus.append(Append(census(players=2), 1)) == Committed(3)


async def test_a_write_that_expects_something_else_is_refused_and_told_the_last(bus_factory):
    bus = await bus_factory()
    await bus.append(Append(census(), 0))
    await bus.append(Append(census(), 1))

    assert await bus.append(Append(census(), 0)) == Refused(2)
    assert await bus.append(Append(census(), 1)) == Refused(2)
    assert await bus.append(Append(census(), 99)) == Refused(2)
    assert await bus.append(Append(census("nowhere"), 7)) == Refused(0)
    assert [fact.seq async for fact in bus.read(Stream.MAPS)] == [1, 2]


async def test_a_write_without_expectation_is_always_committed(bus_factory):
    bus = await bus_factory()

    outcomes = [await bus.append(Append(census(), None)) for _ in range(3)]

    assert outcomes == [Committed(1), Committed(2), Committed(3)]


async def test_a_scope_compares_over_several_subjects(bus_factory):
    bus = await bus_factory()
    scope = "host.*.h1"

    assert await bus.append(Append(verdict("h1"), 0, scope)) == Committed(1)
    assert await bus.append(Append(verdict("h2"), 0, "host.*.h2")) == Committed(2)
    assert await bus.append(Append(down("h1"), 0, scope)) == Refused(1)
    assert await bus.append(Append(down("h1"), 1, scope)) == Committed(3)
    assert await bus.append(Append(verdict("h1"), 1, scope)) == Refused(3)
    assert await bus.append(Append(verdict("h1"), 1)) == Committed(4)


async def test_of_many_writers_with_one_expectation_one_wins(bus_factory):
    buses = [await bus_factory(f"writer-{number}") for number in range(8)]

    outcomes = await asyncio.gather(*(bus.append(Append(census(players=number), 0)) for number, bus in enumerate(buses)))

    assert Counter(type(outcome) for outcome in outcomes) == {Committed: 1, Refused: 7}
    assert {outcome.last for outcome in outcomes if isinstance(outcome, Refused)} == {1}


async def test_pipelined_writes_are_settled_once_each_and_keep_their_order(bus_factory, eventually):
    bus = await bus_factory()
    settled: list[tuple[str, Outcome]] = []

    for number in range(2_000):
        bus.submit(Append(census(f"m{number}"), 0), lambda write, outcome: settled.append((write.event.map, outcome)))
    assert settled == [], "on_settled is never called from within submit"
    await eventually(lambda: len(settled) >= 2_000)

    assert sorted(settled, key=lambda each: each[1].seq) == [(f"m{number}", Committed(number + 1)) for number in range(2_000)]


async def test_close_settles_everything(bus_factory):
    bus = await bus_factory()
    settled: Counter[str] = Counter()

    for number in range(1_000):
        bus.submit(Append(census(f"m{number}"), 0), lambda write, _: settled.update([write.event.map]))
    await bus.close()

    assert settled == {f"m{number}": 1 for number in range(1_000)}


async def test_a_write_after_close_is_in_doubt_not_lost(bus_factory):
    bus = await bus_factory()
    await bus.close()

    outcome = await bus.append(Append(census(), 0))

    assert isinstance(outcome, InDoubt)


async def test_a_waiter_that_gave_up_disturbs_nobody(bus_factory):
    bus = await bus_factory()
    waiter = asyncio.create_task(bus.append(Append(census(), 0)))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait({waiter})

    assert isinstance(await bus.append(Append(census("other"), 0)), Committed)


async def test_a_failing_callback_disturbs_nobody(bus_factory, eventually):
    bus = await bus_factory()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail(_write: Append, _outcome: Outcome) -> None:
        raise LookupError("a bug")

    bus.submit(Append(census(), 0), fail)
    await eventually(lambda: failures)

    assert isinstance(failures[0], LookupError)
    assert isinstance(await bus.append(Append(census("other"), 0)), Committed)


async def test_what_could_not_be_read_is_not_written(bus_factory):
    bus = await bus_factory()

    with pytest.raises(ValueError, match="no valid name"):
        bus.submit(Append(census("a.b"), 0), lambda *_: None)
    many = {Region(f"r{number}"): number for number in range(30_000)}
    with pytest.raises(ValueError, match="bytes"):
        bus.submit(Append(MapCensus(map=MapName("m"), at_ms=1, players=many), 0), lambda *_: None)


async def test_a_core_message_on_a_streams_subject_is_kept_too(bus_factory, eventually):
    bus = await bus_factory()
    newest = METRICS_PER_SUBJECT_MAX + 29

    for number in range(newest + 1):
        bus.say(beat("h1", number))

    async def all_kept() -> bool:
        last = await bus.last(HostMetrics, "h1")
        return last is not None and last.event.seq == newest

    await eventually(all_kept)
    assert [fact.event.seq async for fact in bus.read(Stream.METRICS)] == list(range(30, newest + 1))


async def test_the_last_of_a_subject(bus_factory):
    bus = await bus_factory()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await bus.append(Append(census(players=1), None))
    await bus.append(Append(census(players=2), None, trace=trace))
    await bus.append(Append(census("other"), None))

    fact = await bus.last(MapCensus, "prt_fild08")

    assert (fact.stream, fact.seq, fact.event, fact.trace) == (Stream.MAPS, 2, census(players=2), trace)
    assert fact.stored_ms > 1_600_000_000_000
    assert await bus.last(MapCensus, "nowhere") is None


async def test_read_keeps_its_bounds(bus_factory):
    bus = await bus_factory()
    for number in range(1_200):
        bus.submit(Append(census(f"m{number % 7}", number), None), lambda *_: None)
    await bus.append(Append(census("end"), None))

    async def seqs(first: int = 1, last: int | None = None) -> list[int]:
        return [fact.seq async for fact in bus.read(Stream.MAPS, first, last)]

    assert await seqs() == list(range(1, 1_202))
    assert await seqs(1_000) == list(range(1_000, 1_202))
    assert await seqs(5, 9) == [5, 6, 7, 8, 9]
    assert await seqs(9, 5) == []
    assert await seqs(5_000) == []
    assert await seqs(1_200, 9_999) == [1_200, 1_201]
    assert [fact async for fact in bus.read(Stream.HOSTS)] == []


async def test_leaving_a_read_half_way_leaves_nothing_behind(bus_factory):
    bus = await bus_factory()
    for number in range(700):
        bus.submit(Append(census(f"m{number}"), None), lambda *_: None)
    await bus.append(Append(census("end"), None))

    reading = bus.read(Stream.MAPS)
    assert (await anext(reading)).seq == 1
    await reading.aclose()

    assert [fact.seq async for fact in bus.read(Stream.MAPS, 700)] == [700, 701]


async def test_the_horizon_moves_when_a_subject_is_truncated(bus_factory):
    bus = await bus_factory()
    await bus.append(Append(census("quiet"), None))
    for number in range(4_999):
        bus.submit(Append(census("busy", number), None), lambda *_: None)
    assert await bus.append(Append(census("busy"), None)) == Committed(5_001)
    before = await bus.horizon(Stream.MAPS)

    await bus.append(Append(census("busy"), None))
    await bus.append(Append(census("busy"), None))

    assert before == 0
    assert await bus.horizon(Stream.MAPS) == 4
    assert await bus.horizon(Stream.HOSTS) == 0
    assert [fact.seq async for fact in bus.read(Stream.MAPS, 1, 5)] == [1, 4, 5]


async def test_ensuring_the_streams_again_and_at_once_changes_nothing(bus_factory):
    buses = [await bus_factory(f"service-{number}") for number in range(4)]
    await buses[0].append(
        Append(MapEnter(map=MapName("m"), account_id=1, char_id=1, at_ms=1, region=Region("eu"), from_map=None, x=1, y=1), None)
    )

    await asyncio.gather(*(bus.ensure_streams(1) for bus in buses))

    assert [fact.seq async for fact in buses[1].read(Stream.MAPS)] == [1]


async def test_ping_answers(bus_factory):
    bus = await bus_factory()

    assert bus.connected
    assert 0 <= await bus.ping(5) < 5
