"""Followers against what only a real server does: lost consumers, rolled back logs, floods, poison."""

import asyncio
import json
import os
import shutil
import signal
import time

import nats
import pytest

from libs.bus.connection import Connection
from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import BusUnavailable
from libs.bus.follower import ack_numbers
from libs.bus.nats import connect
from libs.bus.port import Start
from libs.events import Fact, MapCensus, MapName, Region, Stream, encode
from libs.hosting.effects import Append

pytestmark = pytest.mark.nats


def census(map_: str, players: int = 1) -> MapCensus:
    return MapCensus(map=MapName(map_), at_ms=1, players={Region("eu"): players})


async def test_a_slow_follower_loses_nothing(nats_server: EmbeddedServer, eventually):
    bus, slow = await connect(nats_server.url, name="writer"), await connect(nats_server.url, name="slow")
    await bus.ensure_streams(1)
    seen: list[int] = []

    def on_fact(fact: Fact) -> None:
        time.sleep(0.0002)  # a callback that does too much
        seen.append(fact.seq)

    await slow.follow([Stream.MAPS], on_fact, Start.ALL)
    for number in range(10_000):
        bus.submit(Append(census(f"m{number % 50}", number), None), lambda *_: None)
    await eventually(lambda: len(seen) >= 10_000, 60)

    assert seen == list(range(1, 10_001))
    await bus.close()
    await slow.close()


async def test_a_consumer_the_server_lost_is_replaced_without_gap(nats_server: EmbeddedServer, eventually):
    bus = await connect(nats_server.url, name="writer")
    await bus.ensure_streams(1)
    seen: list[int] = []
    await bus.follow([Stream.MAPS], lambda fact: seen.append(fact.seq), Start.LAST_PER_SUBJECT)
    await bus.append(Append(census("a"), None))
    await eventually(lambda: seen == [1])

    client = await nats.connect(nats_server.url)
    for consumer in await client.jsm().consumers_info("MAPS"):
        await client.jsm().delete_consumer("MAPS", consumer.name)
    await client.close()
    for number in range(100):
        bus.submit(Append(census("a", number), None), lambda *_: None)
    await eventually(lambda: len(seen) >= 101, 20)

    assert seen == list(range(1, 102))
    await bus.close()


@pytest.mark.parametrize("dropped", [3, 5], ids=["in the middle", "the newest"])
async def test_a_message_dropped_on_the_way_is_fetched_again(nats_server: EmbeddedServer, eventually, monkeypatch, dropped):
    bus = await connect(nats_server.url, name="follower")
    await bus.ensure_streams(1)
    seen: list[int] = []
    drops = [dropped]
    deliver = Connection.deliver

    def lossy(self: Connection, sid: int, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        if reply.startswith(b"$JS.ACK.MAPS.") and ack_numbers(reply)[0] in drops:
            drops.clear()
            return
        deliver(self, sid, subject, reply, headers, body)

    monkeypatch.setattr(Connection, "deliver", lossy)
    await bus.follow([Stream.MAPS], lambda fact: seen.append(fact.seq), Start.ALL)

    for number in range(5):
        await bus.append(Append(census("a", number), None))
    await eventually(lambda: len(seen) >= 5)

    assert (seen, drops) == ([1, 2, 3, 4, 5], [])
    await bus.close()


async def test_a_log_that_was_rolled_back_is_reported(nats_server: EmbeddedServer, eventually):
    lost: list[str] = []
    bus = await connect(nats_server.url, name="follower", on_lost=lost.append)
    await bus.ensure_streams(1)
    await bus.follow([Stream.MAPS, Stream.HOSTS], lambda _: None, Start.ALL)
    for number in range(3):
        await bus.append(Append(census("a", number), None))

    nats_server.kill()
    shutil.rmtree(nats_server.store / "jetstream")
    await nats_server.start()
    await eventually(lambda: lost, 20)

    assert "MAPS" in lost[0] or "HOSTS" in lost[0]
    await bus.close()


async def test_poison_becomes_dead_letters_and_the_follower_goes_on(nats_server: EmbeddedServer, eventually):
    """1 MiB, any bytes, subjects that are no UTF-8 or hold a control character; in a message or as a plain publish."""
    bus = await connect(nats_server.url, name="follower")
    await bus.ensure_streams(1)
    facts: list[Fact] = []
    letters: list[Fact] = []
    await bus.follow([Stream.MAPS], facts.append, Start.ALL)
    await bus.follow([Stream.DEAD], letters.append, Start.ALL)
    bodies = [bytes(range(256)), b"\xc1" * 1024 * 1024, b"\r\n\r\nMSG x 1 5\r\nhello\r\n", b""]
    poison = [(b"map.census.a", body) for body in bodies]
    poison += [(b"map.census.\xff\xfe", b"x"), (b"map.census.a\x0bb", b"x"), (b"map.census.>", b"x"), (b"map.census.*", b"x")]

    await publish_raw(nats_server, poison)
    await eventually(lambda: len(facts) >= len(poison))
    await bus.append(Append(census("after"), None))
    await eventually(lambda: len(facts) > len(poison) and len(letters) >= len(poison))

    assert [fact.event for fact in facts] == [None] * len(poison) + [census("after")]
    assert {fact.event.size for fact in letters} == {len(body) for _, body in poison}
    await bus.close()


async def test_headers_of_strangers_do_no_harm(nats_server: EmbeddedServer, eventually):
    bus = await connect(nats_server.url, name="follower")
    await bus.ensure_streams(1)
    facts: list[Fact] = []
    await bus.follow([Stream.MAPS], facts.append, Start.ALL)
    body = encode(census("a"))
    headers = [
        b"NATS/1.0\r\nKafra-Schema: map.census/99\r\n\r\n",
        b"NATS/1.0\r\nKafra-Schema:map.census/1\r\n\r\n",
        b"NATS/1.0\r\ntraceparent: \xff\xfe\r\n\r\n",
        b"NATS/1.0\r\n\xff\xfe: x\r\n\r\n",
    ]

    async with raw_connection(nats_server) as writer:
        for each in headers:
            writer.write(b"HPUB map.census.a %d %d\r\n%b%b\r\n" % (len(each), len(each) + len(body), each, body))
        await writer.drain()
        await eventually(lambda: len(facts) >= len(headers))

    assert [fact.event is not None for fact in facts] == [False, True, True, True]
    await bus.close()


async def test_a_frozen_server_is_noticed_and_comes_back(nats_server: EmbeddedServer, eventually, freeze):
    bus = await connect(nats_server.url, name="follower")
    await bus.ensure_streams(1)
    seen: list[int] = []
    await bus.follow([Stream.MAPS], lambda fact: seen.append(fact.seq), Start.ALL)

    await freeze(nats_server.pid)
    with pytest.raises(BusUnavailable):
        await bus.ping(0.3)
    os.kill(nats_server.pid, signal.SIGCONT)
    await bus.append(Append(census("a"), 0))
    await eventually(lambda: seen == [1])

    assert await bus.ping(5) < 5
    await bus.close()


class raw_connection:  # noqa: N801 - used as a function
    """A socket that says what no client library would."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    async def __aenter__(self) -> asyncio.StreamWriter:
        reader, self._writer = await asyncio.open_connection(self._server.host, self._server.port)
        assert json.loads((await reader.readline()).removeprefix(b"INFO "))["headers"]
        self._writer.write(b'CONNECT {"verbose":false,"headers":true}\r\nPING\r\n')
        while await reader.readline() != b"PONG\r\n":
            pass
        return self._writer

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def publish_raw(server: EmbeddedServer, messages: list[tuple[bytes, bytes]]) -> None:
    async with raw_connection(server) as writer:
        for subject, body in messages:
            writer.write(b"PUB %b %d\r\n%b\r\n" % (subject, len(body), body))
        await writer.drain()
