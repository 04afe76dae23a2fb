"""The connection between bridge and relay: what is said in which order, and who is cut."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

from libs.link import peer as peering
from libs.link.dialer import BackOff
from libs.link.frames import ALIVE, BadFrame, Frames, frame
from libs.link.messages import Arrived, BridgeHello, Closed, Hold, RelaySays, Serve
from libs.link.peer import serve
from tests.conftest import Eventually
from tests.rathena.link_peers import HELLO, Heard, dialed

# -- the connection -------------------------------------------------------------------------------------------------------


async def test_messages_come_in_order_and_hello_first_on_every_connection(eventually: Eventually):
    bridge = Heard()
    listening = await serve("127.0.0.1:0", None, RelaySays, bridge.on_peer)

    async with dialed(listening.port) as (dialer, relay):
        await eventually(lambda: bridge.messages)
        for number in range(1_000):
            assert dialer.say(Closed(conn=number))
        await eventually(lambda: len(bridge.messages) == 1_001)
        in_order = bridge.messages == [HELLO, *(Closed(conn=number) for number in range(1_000))]
        bridge.peers[0].cut("for a test")
        await eventually(lambda: len(bridge.messages) == 1_002)

        assert in_order
        assert bridge.messages[-1] == HELLO
        assert relay.lost == ["lost"]
        assert bridge.lost == ["for a test"]
    await listening.close()


async def test_what_is_said_while_nobody_is_there_is_not_kept(eventually: Eventually):
    first = await serve("127.0.0.1:0", None, RelaySays, Heard().on_peer)
    await first.close()

    async with dialed(first.port) as (dialer, _):
        kept = dialer.say(Closed(conn=1))
        bridge = Heard()
        listening = await serve(f"127.0.0.1:{first.port}", None, RelaySays, bridge.on_peer)
        await eventually(lambda: bridge.messages)

        assert not kept
        assert bridge.messages == [HELLO]
        await listening.close()


async def test_a_peer_that_falls_silent_is_cut_and_an_idle_one_is_not(eventually: Eventually, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peering, "BEAT_S", 0.02)
    monkeypatch.setattr(peering, "DEAD_S", 0.06)
    bridge = Heard()
    listening = await serve("127.0.0.1:0", None, RelaySays, bridge.on_peer)
    _, mute = await asyncio.open_connection("127.0.0.1", listening.port)
    beating_reader, beating = await asyncio.open_connection("127.0.0.1", listening.port)

    async def beat() -> None:
        while True:
            await beating_reader.readexactly(len(ALIVE))
            beating.write(ALIVE)

    keeping = asyncio.ensure_future(beat())
    await eventually(lambda: bridge.lost)
    await eventually(lambda: len(bridge.peers) == 2)

    assert bridge.lost == ["it said nothing for 0.06 s"]
    assert [peer.connected for peer in bridge.peers] == [False, True]
    keeping.cancel()
    for writer in (mute, beating):
        writer.close()
    await listening.close()


async def test_a_peer_that_does_not_read_is_cut(eventually: Eventually, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peering, "SEND_BYTES_MAX", 1_000_000)
    bridge = Heard()
    listening = await serve("127.0.0.1:0", None, RelaySays, bridge.on_peer)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    await eventually(lambda: bridge.peers)
    large = BridgeHello(bridge="b" * 80, incarnation="i" * 64)

    said = 0
    while bridge.peers[0].say(large):
        said += 1
        assert said < 1_000_000

    await eventually(lambda: bridge.lost == ["it does not read what it is told"])
    writer.close()
    assert reader
    await listening.close()


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\1\xc1", frame(Hold(conn=1))])
async def test_a_peer_that_speaks_another_language_is_cut(nonsense: bytes, eventually: Eventually):
    bridge = Heard()
    listening = await serve("127.0.0.1:0", None, RelaySays, bridge.on_peer)
    _, writer = await asyncio.open_connection("127.0.0.1", listening.port)

    writer.write(nonsense)

    await eventually(lambda: bridge.lost)
    assert bridge.lost[0].startswith("it does not speak our language")
    assert bridge.messages == []
    writer.close()
    await listening.close()


async def test_more_peers_than_there_are_relays_are_cut(eventually: Eventually, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peering, "PEERS_MAX", 1)
    bridge = Heard()
    listening = await serve("127.0.0.1:0", None, RelaySays, bridge.on_peer)

    async with dialed(listening.port) as (dialer, _):
        await eventually(lambda: bridge.messages)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""

        assert dialer.connected
        assert len(bridge.peers) == 1
        writer.close()
    await listening.close()


def test_attempts_are_spaced_ever_wider_and_not_in_step():
    spaced = BackOff(random.Random(1))

    waits = [spaced.next_s() for _ in range(8)]
    spaced.reset()

    assert all(low <= wait <= 2 * low for wait, low in zip(waits, [0.025, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5], strict=True))
    assert len(set(waits)) == len(waits)
    assert spaced.next_s() <= 0.05


# -- frames ---------------------------------------------------------------------------------------------------------------


def test_an_empty_frame_says_nothing_wherever_it_stands():
    frames: Frames[Any] = Frames(RelaySays)
    stream = ALIVE + frame(HELLO) + ALIVE * 2 + frame(Closed(conn=1)) + ALIVE

    heard = [message for at in range(len(stream)) for message in frames.feed(stream[at : at + 1])]

    assert heard == [HELLO, Closed(conn=1)]


def test_a_frame_beyond_the_limit_is_refused_before_it_is_read():
    frames: Frames[Any] = Frames(RelaySays, limit_bytes=100)

    with pytest.raises(BadFrame, match="101 bytes"):
        frames.feed(b"\0\0\0\x65")


def test_no_message_shows_in_its_error_what_it_carries():
    arrived = frame(Arrived(conn=1, account_id=2, char_id=3, login_id1=99_887_766, sex=1, client_ip=b""))

    with pytest.raises(BadFrame) as refused:
        Frames[Any](Serve).feed(arrived)

    assert "99887766" not in str(refused.value)
