"""A host's link without its sockets (libs/link/session.py): whatever breaks, no byte is lost, doubled or out of order."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.link.channel import CHUNK_BYTES, CREDIT_DOWN, CREDIT_UP
from libs.link.session import Ended, Left, Opened, Said, Session, bye
from tests.rathena.link_line import AGENT, BRIDGE, FIELD, Line

# -- whatever happens -------------------------------------------------------------------------------------------------------


class Broken(RuleBasedStateMachine):
    """Says, carries, cuts and mends in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.open = [self.line.open()]
        self.ended: list[tuple[int, int]] = []
        self.number = 0

    @precondition(lambda self: len(self.open) < 4)
    @rule()
    def a_map_server_comes(self) -> None:
        self.open.append(self.line.open())

    @rule(end=st.sampled_from([AGENT, BRIDGE]), which=st.integers(0, 3), length=st.integers(1, 3 * CHUNK_BYTES))
    def somebody_says(self, end: int, which: int, length: int) -> None:
        channel = self.open[which % len(self.open)]
        if end == BRIDGE and Opened(channel, FIELD) not in self.line.events[BRIDGE]:
            return
        self.number += 1
        self.line.say(end, channel, self.number.to_bytes(4, "big") * (length // 4 + 1))

    @rule(end=st.sampled_from([AGENT, BRIDGE]), most=st.integers(1, 100_000))
    def an_end_writes(self, end: int, most: int) -> None:
        self.line.write(end, most)

    @rule(end=st.sampled_from([AGENT, BRIDGE]), count=st.integers(1, 3_000))
    def bytes_arrive(self, end: int, count: int) -> None:
        self.line.carry(end, count)

    @rule()
    def the_line_breaks(self) -> None:
        self.line.cut()

    @rule()
    def the_line_is_there_again(self) -> None:
        self.line.mend()

    @invariant()
    def what_was_heard_was_said_in_this_order(self) -> None:
        for key, heard in self.line.heard.items():
            assert self.line.said[key].startswith(heard)

    def teardown(self) -> None:
        self.line.settle()
        for key, said in self.line.said.items():
            assert self.line.heard[key] == said
        assert [event.channel for event in self.line.events[BRIDGE] if isinstance(event, Opened)] == self.open


TestBroken = Broken.TestCase
TestBroken.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("end", [AGENT, BRIDGE])
def test_a_cut_at_any_byte_loses_and_doubles_nothing(end: int) -> None:
    length = _spoken(end, None)

    for at in range(length + 1):
        _spoken(end, at)


def _spoken(end: int, cut_at: int | None) -> int:
    """A conversation in which what `end` writes is cut once, behind so many bytes; how many it wrote."""
    line = Line()
    channel = line.open()
    line.settle()
    for number in range(6):
        line.say(end, channel, bytes([number]) * (1 + number * 97))
        line.say(1 - end, channel, bytes([200 + number]) * 50)
    line.write(end)
    length = len(line.wires[end])
    if cut_at is not None:
        line.carry(end, cut_at)
        line.cut()
    line.say(end, channel, b"said while the line is down")
    line.settle()
    assert line.heard == line.said
    return length


@pytest.mark.parametrize("seed", range(20))
def test_a_line_that_breaks_again_and_again_while_it_replays_carries_everything(seed: int) -> None:
    chance, line = random.Random(seed), Line()
    channels = [line.open() for _ in range(3)]
    line.settle()

    for _ in range(300):
        line.say(chance.randrange(2), chance.choice(channels), chance.randbytes(chance.randrange(1, 5_000)))
        end = chance.randrange(2)
        line.write(end, chance.randrange(1, 20_000))
        line.carry(end, chance.randrange(1, 20_000))
        if chance.random() < 0.2:
            line.cut()
        if chance.random() < 0.5:
            line.mend()
    line.settle()

    assert line.heard == line.said


# -- channels ---------------------------------------------------------------------------------------------------------------


def test_a_channel_that_is_not_read_stops_itself_and_no_other() -> None:
    line = Line()
    stalled, free = line.open(), line.open()
    line.settle()
    line.lazy = {stalled}

    line.say(AGENT, stalled, bytes(3 * CREDIT_UP))
    line.say(AGENT, free, bytes(3 * CREDIT_UP))
    line.settle()

    assert len(line.heard[AGENT, stalled]) == CREDIT_UP
    assert line.ends[AGENT].waiting(stalled) == 2 * CREDIT_UP
    assert line.heard[AGENT, free] == line.said[AGENT, free]


def test_a_stalled_channel_goes_on_when_it_is_read_again() -> None:
    line = Line()
    channel = line.open()
    line.settle()
    line.lazy = {channel}
    line.say(BRIDGE, channel, bytes(2 * CREDIT_DOWN))
    line.settle()

    line.lazy = set()
    line.ends[AGENT].took(channel, CREDIT_DOWN)
    line.settle()

    assert line.heard == line.said


def test_a_long_word_of_one_waits_for_a_short_word_of_another() -> None:
    line = Line()
    long, short = line.open(), line.open()
    line.settle()

    line.say(AGENT, long, random.Random(1).randbytes(10 * CHUNK_BYTES))
    line.say(AGENT, short, b"now")
    line.write(AGENT, 2 * CHUNK_BYTES)
    line.carry(AGENT)

    assert line.heard[AGENT, short] == b"now"
    assert len(line.heard[AGENT, long]) <= 2 * CHUNK_BYTES


def test_an_end_comes_behind_what_was_said() -> None:
    line = Line()
    channel = line.open()
    line.settle()

    line.say(AGENT, channel, b"the last save")
    line.ends[AGENT].end(channel, "the map-server ended")
    line.settle()

    assert line.events[BRIDGE][-2:] == [Said(channel, b"the last save"), Ended(channel, "the map-server ended")]
    assert line.ends[BRIDGE].channels == line.ends[AGENT].channels == 0


def test_an_end_at_once_drops_what_waits() -> None:
    line = Line()
    channel = line.open()
    line.settle()
    line.lazy = {channel}
    line.say(BRIDGE, channel, bytes(2 * CREDIT_DOWN))
    line.settle()

    line.ends[BRIDGE].end(channel, "it does not read", at_once=True)
    line.settle()

    assert line.events[AGENT][-1] == Ended(channel, "it does not read")


def test_both_may_end_a_channel_at_the_same_time() -> None:
    line = Line()
    channel = line.open()
    line.settle()

    line.ends[AGENT].end(channel, "one")
    line.ends[BRIDGE].end(channel, "two", at_once=True)
    line.settle()

    line.say(AGENT, line.open(), b"and go on")
    line.settle()
    assert line.heard[AGENT, channel + 1] == b"and go on"


def test_an_end_of_the_session_is_told() -> None:
    assert Session(opens=False).feed(bye("the agent ends")) == [Left("the agent ends")]
