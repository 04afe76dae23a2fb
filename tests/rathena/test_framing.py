"""Whole packets come out of any split of a stream, and only BadStream stops a splitter."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena.framing import CHAR_TO_MAP, CLIENT_TO_MAP, MAP_TO_CHAR, MAP_TO_CLIENT, BadStream, Splitter, Table
from libs.rathena.tables import TABLES
from tests.rathena import captured

PLAYED = captured.streams("s7b_two_slots_party") + captured.streams("s1b_boot_mux")
KEEPALIVE = bytes.fromhex("232b")


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("scenario", captured.scenarios())
def test_every_recorded_stream_splits_without_a_remainder(scenario: str) -> None:
    for stream in captured.streams(scenario):
        splitter = Splitter(stream.table)

        packets = [packet for _, chunk in stream.chunks for packet in splitter.feed(chunk)]

        assert splitter.pending == 0, stream.leg
        assert b"".join(packets) == stream.data


@given(stream=st.sampled_from(PLAYED), cuts=st.lists(st.integers(0, 1 << 20), max_size=40))
@settings(max_examples=60, deadline=None)
def test_how_a_stream_is_chunked_does_not_matter(stream: captured.Stream, cuts: list[int]) -> None:
    splitter = Splitter(stream.table)

    packets = [packet for chunk in chunked(stream.data, cuts) for packet in splitter.feed(chunk)]

    assert packets == [packet.packet for packet in stream.packets()]


def test_a_stream_may_come_byte_by_byte() -> None:
    stream = max(PLAYED, key=lambda stream: len(stream.data))
    data, splitter = stream.data[:60_000], Splitter(stream.table)

    packets = [packet for at in range(len(data)) for packet in splitter.feed(memoryview(data)[at : at + 1])]

    assert b"".join(packets) == data[: len(data) - splitter.pending]
    assert len(packets) > 1


@given(stream=st.sampled_from(PLAYED), cuts=st.lists(st.integers(0, 1 << 20), max_size=10))
@settings(max_examples=30, deadline=None)
def test_scan_says_where_the_packets_lie_that_feed_returns(stream: captured.Stream, cuts: list[int]) -> None:
    feeding, scanning = Splitter(stream.table), Splitter(stream.table)

    for chunk in chunked(stream.data, cuts):
        packets, scan = feeding.feed(chunk), scanning.scan(chunk)

        assert scan.packets() == packets == [scan.packet(n) for n in range(len(scan.ids))]
        assert scan.ids == [int.from_bytes(packet[:2], "little") for packet in packets]
        assert scan.data[: scan.end] == b"".join(packets)
        assert scanning.pending == feeding.pending == len(scan.data[scan.end :]) or not packets


def test_what_is_kept_of_an_unfinished_packet_is_all_there_is() -> None:
    splitter = Splitter(MAP_TO_CHAR)

    assert splitter.feed(KEEPALIVE + KEEPALIVE[:1]) == [KEEPALIVE]
    assert splitter.pending == 1
    assert splitter.feed(KEEPALIVE[1:]) == [KEEPALIVE]
    assert splitter.pending == 0


def test_an_unknown_id_ends_the_stream_for_good() -> None:
    splitter = Splitter(MAP_TO_CHAR)
    splitter.feed(KEEPALIVE * 3)

    with pytest.raises(BadStream) as first:
        splitter.feed(KEEPALIVE + b"\xff\xff")
    with pytest.raises(BadStream) as second:
        splitter.feed(KEEPALIVE)

    assert (first.value.packet_id, first.value.at) == (0xFFFF, 8)
    assert (second.value.packet_id, second.value.at) == (0xFFFF, 8)
    assert splitter.pending == 0


@pytest.mark.parametrize("length", [0, 1, 3, 101, 65_535])
def test_a_declared_length_is_at_least_its_head_and_at_most_the_limit(length: int) -> None:
    splitter = Splitter(MAP_TO_CHAR, limit_bytes=100)

    with pytest.raises(BadStream, match=f"declared length {length}"):
        splitter.feed(bytes.fromhex("fa2a") + length.to_bytes(2, "little"))


def test_a_packet_of_the_limit_passes() -> None:
    packet = bytes.fromhex("fa2a6400") + bytes(96)

    assert Splitter(MAP_TO_CHAR, limit_bytes=100).feed(packet) == [packet]


def test_the_same_id_means_another_packet_in_the_other_direction() -> None:
    assert MAP_TO_CHAR.lengths[0x2B05] == 53
    assert CHAR_TO_MAP.lengths[0x2B05] == -1
    assert CLIENT_TO_MAP.kind(0x0436).name == "enter"
    assert MAP_TO_CLIENT.title(0x0091) == "0091 map_move"


@given(table=st.sampled_from(TABLES), chunks=st.lists(st.binary(max_size=300), max_size=6))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_bad_stream(table: Table, chunks: list[bytes]) -> None:
    splitter = Splitter(table)
    try:
        got = [packet for chunk in chunks for packet in splitter.feed(chunk)]
    except BadStream:
        assert splitter.broken is not None
        assert 0 <= splitter.broken.at <= sum(map(len, chunks))
    else:
        assert sum(map(len, got)) + splitter.pending == sum(map(len, chunks))
