"""Who is let in to the bridge as a host, and who is not: agents' links over real sockets."""

import asyncio
import random
import ssl
from pathlib import Path

import msgspec
import pytest

from libs.ed25519 import PrivateKey
from libs.events import Link, MapName
from libs.link.frames import frame
from libs.link.keys import link_keys, linking_context
from libs.link.messages import LinkAccepted, LinkHello, LinkOpen, LinkRefused, LinkResume, Message
from libs.link.records import Kind, record
from libs.link.tickets import prove, public_hex
from libs.rathena.inter_link import Keepalive, MapLogin
from tests.conftest import Eventually
from tests.rathena.link_lab import BridgeEnd, agent_end, bridge_end, map_server, now_ms

FIELD = MapName("moc_fild01")
LOGIN = MapLogin(userid=b"s1", passwd=b"p1", map_ip=bytes([127, 0, 0, 1]), map_port=5_999).pack()
KEY = PrivateKey(bytes([9]) * 32)


async def greet(bridge: BridgeEnd, *messages: Message | bytes) -> Message | None:
    """What the bridge answers to this; None: nothing, it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port, ssl=linking_context())
    try:
        writer.write(b"".join(each if isinstance(each, bytes) else frame(each) for each in messages))
        head = await asyncio.wait_for(reader.readexactly(4), 10)
        body = await asyncio.wait_for(reader.readexactly(int.from_bytes(head, "big")), 10)
        answer: Message = msgspec.msgpack.decode(body, type=LinkAccepted | LinkRefused)
        return answer
    except (asyncio.IncompleteReadError, OSError):
        return None
    finally:
        writer.close()


def opening(link: Link, key: PrivateKey = KEY, host: str = "my_pc", proof: bytes | None = None) -> LinkOpen:
    certificate = bytes.fromhex(link.certificate)
    return LinkOpen(host=host, key=public_hex(key), ticket=link.ticket, proof=proof or prove(key, link.ticket, certificate))


@pytest.mark.parametrize("forbidden", ["replayed", "expired", "signature", "host", "key", "proof", "purpose", "early"])
async def test_a_ticket_that_is_not_right_is_refused_and_reported(tmp_path: Path, forbidden: str) -> None:
    async with bridge_end(tmp_path) as bridge:
        good = bridge.offer(public_hex(KEY))
        others = link_keys(tmp_path / "others")
        assert others
        hello = {
            "replayed": lambda: opening(good),
            "expired": lambda: opening(bridge.offer(public_hex(KEY), expires_ms=now_ms() - 60_000)),
            "early": lambda: opening(bridge.offer(public_hex(KEY), expires_ms=now_ms() + 600_000)),
            "signature": lambda: opening(BridgeEnd(tmp_path / "others").offer(public_hex(KEY))),
            "host": lambda: opening(bridge.offer(public_hex(KEY), "your_pc")),
            "key": lambda: opening(bridge.offer("ab" * 32)),
            "proof": lambda: opening(good, proof=bytes(64)),
            "purpose": lambda: opening(bridge.offer(public_hex(KEY), purpose="dial")),
        }[forbidden]()
        if forbidden == "replayed":
            assert isinstance(await greet(bridge, hello), LinkAccepted)

        answer = await greet(bridge, hello)

        assert isinstance(answer, LinkRefused)
        assert bridge.refused == [(None if forbidden == "signature" else "my_pc", forbidden)]
        assert isinstance(await greet(bridge, opening(bridge.offer(public_hex(KEY)))), LinkAccepted), "others are let in"


async def test_a_ticket_is_refused_by_the_next_bridge_too(tmp_path: Path) -> None:
    async with bridge_end(tmp_path, store=True) as bridge:
        hello = opening(bridge.offer(public_hex(KEY)))
        assert isinstance(await greet(bridge, hello), LinkAccepted)

    async with bridge_end(tmp_path, store=True) as bridge:
        assert isinstance(await greet(bridge, hello), LinkRefused)
        assert bridge.refused == [("my_pc", "replayed")]


async def test_a_session_is_not_resumed_without_its_secret(tmp_path: Path) -> None:
    async with bridge_end(tmp_path) as bridge:
        accepted = await greet(bridge, opening(bridge.offer(public_hex(KEY))))
        assert isinstance(accepted, LinkAccepted)

        wrong = await greet(bridge, LinkResume(session=accepted.session, secret=bytes(32), received=0))
        unknown = await greet(bridge, LinkResume(session="ff" * 16, secret=accepted.secret, received=0))

        assert isinstance(wrong, LinkRefused)
        assert isinstance(unknown, LinkRefused)
        assert bridge.refused == [(None, "secret")]
        assert len(bridge.agents) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"\xff" * 50,
        b"\0\0\0\x02\xc1\xc1",
        b"\0\0\0\x01\x90",
        frame(LinkHello(host="h1", map="field_a", address="127.0.0.1", port=1)),
    ],
)
async def test_garbage_is_refused(tmp_path: Path, said: bytes) -> None:
    async with bridge_end(tmp_path) as bridge:
        assert isinstance(await greet(bridge, said), LinkRefused)
        assert bridge.agents.greeting == 0


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_an_agent_says_others_are_served(tmp_path: Path, seed: int, eventually: Eventually) -> None:
    chance = random.Random(seed)
    async with bridge_end(tmp_path) as bridge, agent_end("good") as (link, _):
        port = await link.open(FIELD)
        link.offer(bridge.offer(link.key, "good"))
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)
            (good,) = bridge.linked

            for _ in range(20):
                kind = chance.choice(list(Kind))
                noise = chance.choice(
                    [
                        chance.randbytes(chance.randrange(200)),
                        record(kind, chance.randbytes(chance.randrange(100))),
                        record(Kind.ACK, chance.randrange(5).to_bytes(8, "big")),
                    ]
                )
                await greet(bridge, *chance.choice([(noise,), (opening(bridge.offer(public_hex(KEY))), noise)]))

            writer.write(Keepalive().pack())
            await eventually(lambda: bridge.said(good) == LOGIN + Keepalive().pack())
            assert bridge.agents.greeting == 0
            await eventually(lambda: len(bridge.agents) == 1)


async def test_a_host_may_not_lead_relays_to_the_vps_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.bridge.agents.AgentWire.is_local", property(lambda _: False))
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, _):
        port = await link.open(FIELD, "127.0.0.1", 22)
        link.offer(bridge.offer(link.key))
        async with map_server(port) as (reader, writer):
            writer.write(LOGIN)
            assert await asyncio.wait_for(reader.read(), 5) == b""

        assert bridge.refused == [("my_pc", "link")]
        assert bridge.hosts == {}


async def test_old_tls_is_not_spoken(tmp_path: Path) -> None:
    context = linking_context()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    async with bridge_end(tmp_path) as bridge:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", bridge.port, ssl=context)
