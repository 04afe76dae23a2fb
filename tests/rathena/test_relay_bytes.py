"""A relay and any bytes: cut anywhere, mixed, damaged. What a client gets is whole packets, whatever its servers do."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.link.frames import Frames, frame
from libs.link.messages import Hold, Leaving, Message, RelaySays
from libs.rathena.client import Enter, ServerMove
from libs.rathena.framing import CLIENT_TO_MAP, MAP_TO_CLIENT, BadStream, Splitter
from libs.rathena.watch import Watch, Watched
from services.relay import wire
from services.relay.wire import u32_at
from tests.rathena.captured import scenarios, streams
from tests.rathena.relay_words import (
    ENTER,
    LOADED,
    SHOWN,
    TICK,
    WALK,
    Play,
    dismissed,
    map_move,
    seen,
    server_move,
    welcome,
)

SERVER_MOVE = ServerMove.packet_id.to_bytes(2, "little")
SERVER_WORDS = [
    seen(1),
    seen(2) * 3,
    welcome(),
    map_move("prt_in", 3, 4),
    server_move("morocc", 5, 6),
    dismissed(0),
    dismissed(15),
    b"\xb3\x00\x01",
    b"\x8b\x01\x00\x00",
    b"\x8e\x00\x07\x00abc",
    b"\x87\x00" + bytes(10),
    b"\x88\x00" + bytes(8),
]
CLIENT_WORDS = [ENTER, LOADED, TICK, WALK, b"\xf3\x00\x07\x00abc"]
cuts = st.lists(st.integers(0, 400), max_size=12).map(sorted)


def pieces(data: bytes, at: Sequence[int]) -> Iterator[bytes]:
    edges = [0, *(min(cut, len(data)) for cut in at), len(data)]
    return (data[start:end] for start, end in pairwise(edges) if end > start)


def whole(table: object, data: bytes) -> bool:
    splitter = Splitter(table)  # type: ignore[arg-type]
    splitter.feed(data)
    return splitter.pending == 0


# -- scanning -------------------------------------------------------------------------------------------------------------


def by_splitter(data: bytes) -> tuple[list[int], int, bool]:
    """Where the watched packets lie, where the last whole one ends, whether what follows is broken: the slow way."""
    splitter, end, found = Splitter(MAP_TO_CLIENT), 0, []
    for at in range(len(data)):
        try:
            for packet in splitter.feed(data[at : at + 1]):
                if wire.FROM_SERVER.rows[packet[1]][packet[0]] < -1:
                    found.append(end)
                end += len(packet)
        except BadStream:
            return found, end, True
    return found, end, False


@given(st.lists(st.sampled_from(SERVER_WORDS), max_size=8).map(b"".join), st.binary(max_size=9), cuts)
@example(seen(1), b"\x81", [6])
@example(b"", b"\x8e\x00\x03\x00", [1, 2, 3])
@settings(max_examples=300, deadline=None)
def test_watching_finds_what_splitting_finds_wherever_the_stream_is_cut(good: bytes, rest: bytes, at: list[int]):
    watch, data = Watch(wire.FROM_SERVER), good + rest
    found, end, broken, passed = [], 0, False, b""

    for piece in pieces(data, at):
        scan = watch.scan(piece)
        found += [end + where for where in scan.found]
        end += scan.end
        passed += scan.whole
        broken = broken or scan.broken is not None

    assert (found, end, broken) == by_splitter(data)
    assert passed == data[:end]


def test_watching_the_recorded_servers_finds_every_packet():
    everything = Watched(MAP_TO_CLIENT, MAP_TO_CLIENT.kinds)
    for stream in streams("s2_login_play_portal"):
        if stream.dir == "map>relay":
            watch, count = Watch(everything), 0
            for _, chunk in stream.chunks:
                scan = watch.scan(chunk)
                assert scan.broken is None
                count += len(scan.found)
            assert count == len(list(stream.packets()))


@pytest.mark.parametrize("scenario", scenarios())
def test_recorded_servers_reach_their_clients_as_they_spoke(scenario: str):
    """All but what moves a client to another server, or tells it that its server ends."""
    for stream in streams(scenario):
        packets = [packet.packet for packet in stream.packets()] if stream.dir == "map>relay" else []
        if not packets or packets[0][:2] != welcome()[:2]:
            continue  # a client's first server, from its first packet on
        kept = list(takewhile(lambda packet: packet[:2] != SERVER_MOVE and packet != dismissed(15), packets))
        play = Play()
        play.from_client(Enter(account_id=u32_at(packets[0], 2), char_id=1, login_id1=1, sex=1).pack())
        play.open(enter=SHOWN[:2] + packets[0][2:6] + SHOWN[6:])

        for _, chunk in stream.chunks:
            play.from_server(chunk, 1)

        assert play.client == b"".join(kept)
        assert bool(play.said(Leaving)) == any(packet[:2] == SERVER_MOVE for packet in packets)


# -- sessions -------------------------------------------------------------------------------------------------------------


def story(server1: bytes, client1: bytes, server2: bytes, client2: bytes, at: Sequence[int]) -> Play:
    """One server, its loss, the next one; all streams cut at the same places."""
    play = Play()
    for piece in pieces(ENTER, at):
        play.from_client(piece)
    play.open(1)
    for piece in pieces(server1, at):
        play.from_server(piece, 1)
    for piece in pieces(client1, at):
        play.from_client(piece)
    play.server_lost(1)
    play.open(2)
    for piece in pieces(server2, at):
        play.from_server(piece, 2)
    for piece in pieces(client2, at):
        play.from_client(piece)
    return play


def unlike_in_time(told: list[Message]) -> list[Message]:
    """Walked is said once a chunk."""
    return [message for message in told if type(message).__name__ != "Walked"]


@given(
    st.lists(st.sampled_from(SERVER_WORDS), max_size=5).map(b"".join),
    st.lists(st.sampled_from(CLIENT_WORDS), max_size=4).map(b"".join),
    st.lists(st.sampled_from(SERVER_WORDS), max_size=5).map(b"".join),
    cuts,
)
@settings(max_examples=200, deadline=None)
def test_nothing_depends_on_where_the_streams_are_cut(server: bytes, client: bytes, more: bytes, at: list[int]):
    ticks_apart = client.replace(TICK, WALK)  # held, they are answered once a chunk
    streams_ = (welcome() + server, LOADED + ticks_apart, welcome(7, 8) + more, WALK + LOADED + ticks_apart)

    cut, at_once = story(*streams_, at), story(*streams_, [])

    assert cut.client == at_once.client
    assert cut.server == at_once.server
    assert unlike_in_time(cut.told) == unlike_in_time(at_once.told)
    assert cut.effects == at_once.effects


steps = st.one_of(
    st.tuples(st.just("client"), st.one_of(st.sampled_from(CLIENT_WORDS), st.binary(max_size=30))),
    st.tuples(st.just("server"), st.one_of(st.sampled_from(SERVER_WORDS), st.binary(max_size=30))),
    st.tuples(st.just("part"), st.tuples(st.sampled_from(SERVER_WORDS), st.integers(0, 30))),
    st.tuples(st.just("serve"), st.integers(0, 6)),
    st.tuples(st.sampled_from(["hold", "lost", "gone"]), st.integers(0, 6)),
    st.tuples(st.just("after"), st.sampled_from([1.0, 900.0, 2_500.0, 31_000.0])),
)


def take(play: Play, step: str, value: object) -> None:
    switch = play.session.player.switch
    if step == "client":
        play.from_client(value)
    elif step == "server":
        play.from_server(value)
    elif step == "part":
        play.from_server(value[0][: value[1]])
    elif step == "serve":
        play.open(value)
    elif step == "hold":
        play.from_bridge(Hold(conn=1))
    elif step == "lost":
        play.server_lost(value if value % 2 else switch)
    elif step == "gone":
        play.do(play.session.on_client_lost())
    else:
        play.after(value)


@given(st.booleans(), st.lists(steps, max_size=25))
@settings(max_examples=400, deadline=None)
def test_whatever_comes_a_session_never_raises_and_says_whole_things_only(placed: bool, script: list[tuple[str, object]]):
    play = Play().enter() if placed else Play()

    for step, value in script:
        take(play, step, value)

    assert whole(MAP_TO_CLIENT, play.client)
    assert whole(CLIENT_TO_MAP, play.server)
    for message in play.told:
        assert Frames[Message](RelaySays).feed(frame(message)) == [message]
