"""The connection between bridge and relay: who may speak, in which order, and who is cut."""

import asyncio
import contextlib
import random
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.link import peer as peering
from libs.link.certifying import make_authority
from libs.link.dialer import BackOff, Dialer
from libs.link.frames import ALIVE, BadFrame, Frames, frame
from libs.link.messages import Arrived, BridgeHello, BridgeSays, Closed, Hold, Message, RelayHello, RelaySays, Serve
from libs.link.peer import Peer, serve
from libs.link.tls import BRIDGE, RELAY, BadIdentity, client_context, server_context
from tests.conftest import Eventually

HELLO = RelayHello(relay="relay", region="eu", players=[])


class Heard:
    """What one end heard, of all connections."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.lost: list[str] = []
        self.peers: list[Peer[Any]] = []

    def on_peer(self, peer: Peer[Any]) -> "Heard":
        self.peers.append(peer)
        return self

    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


@contextlib.asynccontextmanager
async def dialed(
    port: int, context: ssl.SSLContext | None = None, hello: tuple[Message, ...] = (HELLO,)
) -> AsyncIterator[tuple[Dialer[Any], Heard]]:
    heard = Heard()
    dialer: Dialer[Any] = Dialer(
        f"127.0.0.1:{port}",
        context,
        BridgeSays,
        hello=lambda: hello,
        on_message=heard.on_message,
        on_change=lambda connected: None if connected else heard.lost.append("lost"),
        rng=random.Random(1),
    )
    running = asyncio.ensure_future(dialer.run())
    try:
        yield dialer, heard
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


# -- certificates ---------------------------------------------------------------------------------------------------------


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path):
    made = make_authority(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [BRIDGE, RELAY]
    for place in made.values():
        assert {path.name for path in place.iterdir()} == {"ca.pem", "cert.pem", "key.pem"}
        assert stat.S_IMODE((place / "key.pem").stat().st_mode) == 0o600
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_an_authority_made_anew_replaces_the_old_one(tmp_path: Path):
    before = (make_authority(tmp_path)[BRIDGE] / "ca.pem").read_bytes()

    after = (make_authority(tmp_path)[BRIDGE] / "ca.pem").read_bytes()

    assert before != after
    server_context(tmp_path / BRIDGE)


def test_a_directory_without_certificates_is_said_so(tmp_path: Path):
    made = make_authority(tmp_path)
    (made[RELAY] / "key.pem").write_text("nonsense")

    with pytest.raises(BadIdentity, match=str(tmp_path)):
        server_context(tmp_path / "nowhere")
    with pytest.raises(BadIdentity, match=str(made[RELAY])):
        client_context(made[RELAY])


async def test_both_ends_of_one_authority_speak(tmp_path: Path, eventually: Eventually):
    made, bridge = make_authority(tmp_path), Heard()
    listening = await serve("127.0.0.1:0", server_context(made[BRIDGE]), RelaySays, bridge.on_peer)

    async with dialed(listening.port, client_context(made[RELAY])) as (dialer, relay):
        await eventually(lambda: bridge.messages == [HELLO])
        bridge.peers[0].say(Hold(conn=1))
        assert dialer.say(Closed(conn=2))
        await eventually(lambda: relay.messages == [Hold(conn=1)] and bridge.messages == [HELLO, Closed(conn=2)])

    await eventually(lambda: bridge.lost == ["it closed the connection"])
    await listening.close()


@pytest.mark.parametrize("wrong", ["another authority", "another name", "none"])
async def test_a_relay_that_cannot_show_who_it_is_is_not_heard(tmp_path: Path, wrong: str, eventually: Eventually):
    ours, theirs = make_authority(tmp_path / "ours"), make_authority(tmp_path / "theirs")
    place = {"another authority": theirs[RELAY], "another name": ours[BRIDGE], "none": ours[RELAY]}[wrong]
    context = client_context(place)
    context.load_verify_locations(ours[RELAY] / "ca.pem")
    if wrong == "none":
        context = ssl.create_default_context(cafile=str(ours[RELAY] / "ca.pem"))
    bridge = Heard()
    listening = await serve("127.0.0.1:0", server_context(ours[BRIDGE]), RelaySays, bridge.on_peer)

    async with dialed(listening.port, context) as (_, relay):
        await eventually(lambda: len(relay.lost) > 1)

    assert bridge.peers == []
    await listening.close()


@pytest.mark.parametrize("wrong", ["another authority", "another name"])
async def test_a_bridge_that_cannot_show_who_it_is_is_told_nothing(
    tmp_path: Path, wrong: str, eventually: Eventually, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    ours, theirs = make_authority(tmp_path / "ours"), make_authority(tmp_path / "theirs")
    place = theirs[BRIDGE] if wrong == "another authority" else ours[RELAY]
    bridge = Heard()
    listening = await serve("127.0.0.1:0", server_context(place), RelaySays, bridge.on_peer)

    async with dialed(listening.port, client_context(ours[RELAY])) as (dialer, _):
        await eventually(lambda: "its certificate is not accepted" in caplog.text)
        assert not dialer.connected

    assert bridge.messages == []
    assert "127.0.0.1" not in caplog.text
    await listening.close()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:6126", "bridge.example.org:6126", "[::]:0"])
async def test_without_certificates_there_is_no_connection_between_machines(address: str):
    with pytest.raises(ValueError, match="one machine only"):
        await serve(address, None, RelaySays, Heard().on_peer)
    with pytest.raises(ValueError, match="one machine only"):
        Dialer(address, None, BridgeSays, hello=list, on_message=lambda _: None)


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
