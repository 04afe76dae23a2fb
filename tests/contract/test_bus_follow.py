"""Following streams: what every bus promises (libs.bus.port)."""

import asyncio

import pytest

from libs.bus.dead import BURY_BURST
from libs.bus.port import Start
from libs.events import (
    BODY_BYTES_MAX,
    ConfigApplied,
    DeadLetter,
    Fact,
    MapCensus,
    MapEnter,
    MapName,
    OpsDrain,
    Region,
    Stream,
    encode,
)
from libs.events.names import HostId
from libs.hosting.effects import Append


def census(map_: str, players: int = 1) -> MapCensus:
    return MapCensus(map=MapName(map_), at_ms=1, players={Region("eu"): players})


def drain(host: str) -> OpsDrain:
    return OpsDrain(host=HostId(host), at_ms=1, draining=True, by="test")


async def write(bus, *events) -> None:
    for event in events:
        await bus.append(Append(event, None))


async def test_a_follower_begins_at_the_last_of_each_subject_and_goes_on(bus_factory, eventually):
    bus = await bus_factory()
    await write(bus, census("a", 1), census("b", 2), census("a", 3))
    facts: list[Fact] = []

    following = await bus.follow([Stream.MAPS], facts.append, Start.LAST_PER_SUBJECT)
    await following.caught_up(5)
    await write(bus, census("a", 4), census("c", 5))
    await eventually(lambda: len(facts) >= 4)

    assert [(fact.seq, fact.event.players["eu"]) for fact in facts] == [(2, 2), (3, 3), (4, 4), (5, 5)]
    assert following.position(Stream.MAPS) == 5


async def test_a_follower_may_begin_at_the_oldest_kept(bus_factory):
    bus = await bus_factory()
    await write(bus, census("a", 1), census("b", 2), census("a", 3))
    facts: list[Fact] = []

    following = await bus.follow([Stream.MAPS], facts.append, Start.ALL)
    await following.caught_up(5)

    assert [fact.seq for fact in facts] == [1, 2, 3]
    assert all(fact.stored_ms > 1_600_000_000_000 for fact in facts)


async def test_an_empty_stream_is_caught_up_at_once(bus_factory, eventually):
    bus = await bus_factory()
    facts: list[Fact] = []

    following = await bus.follow([Stream.MAPS, Stream.HOSTS], facts.append, Start.LAST_PER_SUBJECT)
    await following.caught_up(5)
    assert (facts, following.position(Stream.MAPS)) == ([], 0)
    await write(bus, census("a", 1), census("a", 2))
    await eventually(lambda: len(facts) >= 2)

    assert [fact.event.players["eu"] for fact in facts] == [1, 2], "every message from then on, not the last alone"


async def test_two_followers_see_the_same_in_the_same_order(bus_factory, eventually):
    writers = [await bus_factory(f"writer-{number}") for number in range(3)]
    first: list[int] = []
    second: list[int] = []
    await (await bus_factory("one")).follow([Stream.MAPS], lambda fact: first.append(fact.seq), Start.ALL)
    await (await bus_factory("two")).follow([Stream.MAPS], lambda fact: second.append(fact.seq), Start.ALL)

    for number in range(500):
        for writer in writers:
            writer.submit(Append(census(f"m{number % 9}", number), None), lambda *_: None)
    await eventually(lambda: len(first) >= 1_500 and len(second) >= 1_500)

    assert first == second == list(range(1, 1_501))


async def test_several_streams_are_followed_with_a_position_each(bus_factory, eventually):
    bus = await bus_factory()
    facts: list[Fact] = []
    await write(bus, census("a"), drain("h1"), drain("h2"))

    following = await bus.follow([Stream.MAPS, Stream.HOSTS], facts.append, Start.LAST_PER_SUBJECT)
    await following.caught_up(5)
    await write(bus, census("a"))
    await eventually(lambda: len(facts) >= 4)

    assert [fact.seq for fact in facts if fact.stream is Stream.HOSTS] == [1, 2]
    assert (following.position(Stream.MAPS), following.position(Stream.HOSTS)) == (2, 2)


async def test_a_fact_carries_the_trace_of_its_write(bus_factory):
    bus = await bus_factory()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await bus.append(Append(census("a"), 0, trace=trace))
    await bus.append(Append(census("b"), 0, trace="no\r\ntrace: x"))
    facts: list[Fact] = []

    following = await bus.follow([Stream.MAPS], facts.append, Start.LAST_PER_SUBJECT)
    await following.caught_up(5)

    assert [fact.trace for fact in facts] == [trace, None]


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("map.census.a", b"\xff\x00 arbitrary"),
        ("map.census.a", b""),
        ("map.census.a", b"\x90" * (BODY_BYTES_MAX + 1)),
        ("map.census.a", b"\x91" * 100_000),
        ("map.census.b", encode(census("a"))),
        ("map.census.a!", encode(census("a"))),
    ],
    ids=["no MessagePack", "empty", "too large", "deep", "another's name", "no name"],
)
async def test_what_cannot_be_read_is_a_dead_letter_and_a_fact_without_event(bus_factory, eventually, subject, body):
    bus = await bus_factory("finder")
    other = await bus_factory("other")
    facts: list[Fact] = []
    letters: list[Fact] = []
    await bus.follow([Stream.MAPS], facts.append, Start.ALL)
    await other.follow([Stream.MAPS], lambda _: None, Start.ALL)
    await other.follow([Stream.DEAD], letters.append, Start.ALL)

    await bus_factory.publish(subject, body)
    await write(bus, census("after"))
    await eventually(lambda: len(facts) >= 2 and letters)

    assert [(fact.seq, fact.event) for fact in facts] == [(1, None), (2, census("after"))]
    letter = letters[0].event
    assert isinstance(letter, DeadLetter)
    assert (letter.subject, letter.size, letter.head) == (subject, len(body), body[:1024])
    assert letter.by in ("finder", "other")
    assert len([fact async for fact in bus.read(Stream.DEAD)]) == 1, "two followers found it; one letter is kept"


async def test_dead_letters_of_one_publisher_are_limited_and_of_others_kept(bus_factory, eventually):
    bus = await bus_factory()
    letters: list[Fact] = []
    await bus.follow([Stream.DEAD], letters.append, Start.ALL)

    for number in range(500):
        bus.bury("host.metrics.noisy", b"junk %d" % number, "test")
    bus.bury("host.metrics.other", b"junk", "test")
    await eventually(lambda: any(fact.event.subject == "host.metrics.other" for fact in letters))

    of_noisy = [fact for fact in letters if fact.event.subject == "host.metrics.noisy"]
    assert BURY_BURST <= len(of_noisy) <= BURY_BURST + 5


async def test_dead_letters_of_invented_publishers_are_limited_together(bus_factory):
    bus = await bus_factory()

    for number in range(2_000):
        bus.bury(f"host.metrics.h{number}", b"junk", "test")
    await bus.append(Append(DeadLetter(by="x", at_ms=1, subject="end", reason="", hash="", head=b"", size=0), None))

    assert len([fact async for fact in bus.read(Stream.DEAD)]) < 300


async def test_a_failing_callback_does_not_stop_the_follower(bus_factory, eventually):
    bus = await bus_factory()
    failures: list[object] = []
    seen: list[int] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def on_fact(fact: Fact) -> None:
        seen.append(fact.seq)
        if fact.seq == 2:
            raise LookupError("a bug")

    await bus.follow([Stream.MAPS], on_fact, Start.ALL)
    await write(bus, census("a"), census("b"), census("c"))
    await eventually(lambda: len(seen) >= 3)

    assert seen == [1, 2, 3]
    assert [type(failure) for failure in failures] == [LookupError]


async def test_no_callback_runs_after_close(bus_factory):
    bus = await bus_factory()
    seen: list[int] = []
    following = await bus.follow([Stream.MAPS], lambda fact: seen.append(fact.seq), Start.ALL)
    other: list[int] = []
    await bus.follow([Stream.MAPS], lambda fact: other.append(fact.seq), Start.ALL)

    bus.submit(Append(census("a"), None), lambda *_: None)
    await following.close()
    known = list(seen)
    await write(bus, census("b"))
    await bus.ping(5)

    assert seen == known


async def test_events_without_upper_bound_of_fields_round_trip(bus_factory):
    bus = await bus_factory()
    event = ConfigApplied(hash="0123456789abcdef", at_ms=1, settings={"maps": {"eligible": ["a*"], "x": None}, "n": {"f": 1.5}})
    entered = MapEnter(
        map=MapName("1@tower"), account_id=2**32 - 1, char_id=1, at_ms=2**53, region=Region("eu"), from_map=None, x=0, y=32767
    )
    facts: list[Fact] = []

    await write(bus, event, entered)
    following = await bus.follow([Stream.HOSTS, Stream.MAPS], facts.append, Start.ALL)
    await following.caught_up(5)

    assert {fact.event.declaration.name: fact.event for fact in facts} == {"config.applied": event, "map.enter": entered}
