"""The parts of a host's link, each alone: records, compression, what is kept to be said again."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.link.records import BadLink, Kind, Records, record
from libs.link.replay import FRAMES_MAX, Received, Sent
from libs.link.squeeze import Squeezer, Unsqueezer


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = bomb.compress(bytes(40_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)

    with pytest.raises(BadLink, match="more than"):
        Unsqueezer(32_768).unsqueeze(body.removesuffix(b"\0\0\xff\xff"))


def test_more_frames_than_are_kept_end_it() -> None:
    sent = Sent()
    for _ in range(FRAMES_MAX):
        sent.add(b"x")

    with pytest.raises(BadLink):
        sent.add(b"x")


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
