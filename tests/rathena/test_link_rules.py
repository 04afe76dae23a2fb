"""A host's link without its sockets: who does not keep to its rules is found, before he costs anything."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.link.channel import CHUNK_BYTES, CREDIT_UP
from libs.link.records import RECORD_BYTES_MAX, BadLink, Kind, record
from libs.link.session import CHANNELS_MAX, KEPT_BYTES_MAX, Session
from libs.link.squeeze import Squeezer
from tests.rathena.link_line import BRIDGE, Line


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
