"""A host's link without its sockets (libs/link/session.py): whatever breaks, no byte is lost, doubled or out of order."""

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.link.channel import CHUNK_BYTES, CREDIT_DOWN, CREDIT_UP
from libs.link.records import RECORD_BYTES_MAX, BadLink, Kind, Records, record
from libs.link.replay import FRAMES_MAX, Received, Sent
from libs.link.session import (
    CHANNELS_MAX,
    KEPT_BYTES_MAX,
    Ended,
    Event,
    Left,
    Opened,
    Place,
    Said,
    Session,
    bye,
)
from libs.link.squeeze import Squeezer, Unsqueezer

FIELD = Place(map="moc_fild01", address="192.0.2.1", port=6121)
AGENT, BRIDGE = 0, 1


class Line:
    """Two ends and what is on its way between them. said, heard: by (end, channel)."""

    def __init__(self) -> None:
        self.ends = (Session(opens=True), Session(opens=False))
        self.wires = [b"", b""]
        self.heard: dict[tuple[int, int], bytes] = {}
        self.said: dict[tuple[int, int], bytes] = {}
        self.events: tuple[list[Event], list[Event]] = ([], [])
        self.lazy: set[int] = set()
        self.whole = True

    def open(self) -> int:
        return self.ends[AGENT].open(FIELD)

    def say(self, end: int, channel: int, data: bytes) -> None:
        self.ends[end].say(channel, data)
        self.said[end, channel] = self.said.get((end, channel), b"") + data

    def write(self, end: int, most: int = 1 << 30) -> None:
        if self.whole:
            self.wires[end] += self.ends[end].take(most)

    def carry(self, end: int, count: int | None = None) -> None:
        """Bytes that `end` wrote reach the other."""
        data = self.wires[end][:count]
        self.wires[end] = self.wires[end][len(data) :]
        other = 1 - end
        for event in self.ends[other].feed(data):
            self.events[other].append(event)
            if isinstance(event, Said):
                self.heard[end, event.channel] = self.heard.get((end, event.channel), b"") + event.data
                if event.channel not in self.lazy:
                    self.ends[other].took(event.channel, len(event.data))

    def cut(self) -> None:
        """What is on its way is lost."""
        self.wires, self.whole = [b"", b""], False

    def mend(self) -> None:
        if not self.whole:
            for end in self.ends:
                end.broke()
            counts = [end.received for end in self.ends]
            for end, count in zip(self.ends, reversed(counts), strict=True):
                end.resume(count)
            self.whole = True

    def settle(self) -> None:
        """Everything that may arrive arrives."""
        self.mend()
        for _ in range(10_000):
            for end in (AGENT, BRIDGE):
                self.write(end)
            if not any(self.wires):
                return
            for end in (AGENT, BRIDGE):
                self.carry(end)
        raise AssertionError("it does not come to rest")


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


# -- who does not keep to the rules -----------------------------------------------------------------------------------------


def framed(*frames: bytes) -> bytes:
    squeezer = Squeezer()
    return b"".join(record(Kind.FRAME, squeezer.squeeze(frame)) for frame in frames)


def opened(number: int, body: bytes = b"\x83\xa3map\xa1a\xa7address\xa0\xa4port\x01") -> bytes:
    return bytes([0]) + number.to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\x09\0\0\0", id="a record of no kind"),
        pytest.param((Kind.FRAME << 24 | RECORD_BYTES_MAX + 1).to_bytes(4, "big"), id="a record too long"),
        pytest.param(record(Kind.FRAME, b"nonsense"), id="no compressed frame"),
        pytest.param(framed(b"\0\0"), id="a frame without a head"),
        pytest.param(framed(bytes([1, 0, 0, 0, 1, 7])), id="a channel that was never opened"),
        pytest.param(framed(opened(2)), id="a channel out of order"),
        pytest.param(framed(opened(1), opened(1)), id="a channel twice"),
        pytest.param(framed(opened(1, b"\xc1")), id="a channel of nothing"),
        pytest.param(framed(opened(1, b"\x83\xa3map\xa3a/b\xa7address\xa0\xa4port\x01")), id="a map with no such name"),
        pytest.param(framed(opened(1), bytes([7, 0, 0, 0, 1])), id="a deed of no kind"),
        pytest.param(framed(opened(1), bytes([3, 0, 0, 0, 1, 0, 0, 0, 9])), id="credit for nothing"),
        pytest.param(framed(*(opened(n) for n in range(1, CHANNELS_MAX + 2))), id="too many channels"),
        pytest.param(record(Kind.ACK, (1).to_bytes(8, "big")), id="frames acknowledged that were never said"),
        pytest.param(record(Kind.ACK, b"1"), id="half an acknowledgement"),
        pytest.param(framed(opened(1), *([bytes([1, 0, 0, 0, 1]) + bytes(CHUNK_BYTES)] * 20)), id="more than its credit"),
    ],
)
def test_a_peer_that_breaks_the_rules_ends_the_session(said: bytes) -> None:
    with pytest.raises(BadLink):
        Session(opens=False).feed(said)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = bomb.compress(bytes(40_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)

    with pytest.raises(BadLink, match="more than"):
        Unsqueezer(32_768).unsqueeze(body.removesuffix(b"\0\0\xff\xff"))


def test_a_peer_that_acknowledges_nothing_gets_no_more_than_is_kept() -> None:
    line = Line()
    channel = line.open()
    line.settle()
    line.say(BRIDGE, channel, random.Random(1).randbytes(3 * KEPT_BYTES_MAX))

    written = b""
    while some := line.ends[BRIDGE].take(1 << 20):
        written += some

    assert KEPT_BYTES_MAX <= len(written) < KEPT_BYTES_MAX + 2 * CHUNK_BYTES


def test_a_peer_that_talks_and_does_not_read_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.link.session.URGENT_MAX", 10)
    bridge, squeezer = Session(opens=False), Squeezer()
    bridge.feed(record(Kind.FRAME, squeezer.squeeze(opened(1))))
    word = bytes([1, 0, 0, 0, 1]) + bytes(CHUNK_BYTES)

    def talk() -> None:
        for _ in range(12 * CREDIT_UP // CHUNK_BYTES):
            bridge.feed(record(Kind.FRAME, squeezer.squeeze(word)))
            bridge.took(1, CHUNK_BYTES)

    with pytest.raises(BadLink, match="does not read"):
        talk()


def test_more_frames_than_are_kept_end_it() -> None:
    sent = Sent()
    for _ in range(FRAMES_MAX):
        sent.add(b"x")

    with pytest.raises(BadLink):
        sent.add(b"x")


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(1, 40), max_size=8))
def test_no_bytes_leave_a_session_as_another_error(data: bytes, cuts: list[int]) -> None:
    session = Session(opens=False)
    try:
        session.feed(framed(opened(1)))
        for cut in [*cuts, len(data)]:
            session.feed(data[:cut])
            data = data[cut:]
    except BadLink:
        pass


# -- the parts --------------------------------------------------------------------------------------------------------------


@given(
    bodies=st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=50)), max_size=10),
    cuts=st.lists(st.integers(1, 9), max_size=40),
)
def test_records_come_whole_however_they_are_cut(bodies: list[tuple[Kind, bytes]], cuts: list[int]) -> None:
    stream = b"".join(record(kind, body) for kind, body in bodies)
    records = Records()

    found = []
    for cut in [*cuts, len(stream) + 1]:
        found += records.feed(stream[:cut])
        stream = stream[cut:]

    assert found == bodies


@given(frames=st.lists(st.binary(min_size=1, max_size=5_000), min_size=1, max_size=10))
def test_frames_are_the_same_behind_the_compression(frames: list[bytes]) -> None:
    squeezer, unsqueezer = Squeezer(), Unsqueezer(5_000)

    assert [unsqueezer.unsqueeze(squeezer.squeeze(frame)) for frame in frames] == frames


def test_an_acknowledgement_is_due_after_so_many_frames_and_with_a_beat() -> None:
    received = Received()
    received.add(b"x")
    assert received.untold
    assert not received.is_due

    for _ in range(40):
        received.add(b"x")

    assert received.is_due
    assert received.told() == 41
    assert not received.untold
