"""The bare pipeline that Kafra is measured against: plain nats-py in a service's place, as one would write it by hand for
speed (callbacks, a pipelined publisher, uvloop). No Kafra code in this file.

python -m bench.bare pipeline URL BODY_BYTES   map.enter -> compare-and-set write of map.assign, until SIGTERM
python -m bench.bare rebuild URL               the last message of each subject of three streams; prints seconds as JSON
python -m bench.bare count URL                 a callback that counts host.metrics.*, says host.heard.X after that of a host X
                                               called last_...; until SIGTERM
python -m bench.bare proxy PORT TO_PORT        copies what comes on PORT to TO_PORT and back, on loopback, until SIGTERM
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from secrets import token_hex
from typing import cast

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

IN_FLIGHT_MAX = 256
STREAMS = {
    "HOSTS": ["host.up.*", "host.down.*", "host.verdict.*", "ops.drain.*", "ops.ban.*"],
    "MAPS": ["map.enter.*", "map.leave.*", "map.census.*", "map.moved.*"],
    "ASSIGNMENTS": ["map.assign.*"],
}
"""What is rebuilt."""


class Writer:
    """Compare-and-set writes, many in flight: own inbox, a dict of callbacks (js.publish is half as fast)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._prefix = token_hex(8)
        self._number = 0
        self._waiting: dict[str, Callable[[], None] | None] = {}
        self._room = asyncio.Event()
        self.failed = 0

    async def open(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_ack)

    async def write(
        self, subject: str, body: bytes, schema: str, expected: int | None = 0, done: Callable[[], None] | None = None
    ) -> None:
        """Returns when it is on its way; waits while IN_FLIGHT_MAX are."""
        while len(self._waiting) >= IN_FLIGHT_MAX:
            self._room.clear()
            await self._room.wait()
        self._number += 1
        number = str(self._number)
        self._waiting[number] = done
        headers = {"Nats-Msg-Id": f"{self._prefix}.{number}", "Kafra-Schema": schema}
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        await self._client.publish(subject, body, reply=f"{self._inbox}.{number}", headers=headers)

    async def settled(self) -> None:
        while self._waiting:
            self._room.clear()
            await self._room.wait()

    async def _on_ack(self, message: Msg) -> None:
        done = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if "error" in json.loads(message.data):
            self.failed += 1
        if done is not None:
            done()
        self._room.set()


async def pipeline(url: str, body_bytes: int) -> None:
    client = await nats.connect(url)
    writer = Writer(client)
    await writer.open()
    body = b"x" * body_bytes

    async def on_enter(message: Msg) -> None:
        await writer.write(f"map.assign.{message.subject.rpartition('.')[2]}", body, "map.assign/1")

    config = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    await client.jetstream().subscribe("map.enter.*", cb=on_enter, ordered_consumer=True, config=config)
    await client.flush()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    _say_ready()
    await stopped.wait()
    await client.close()


async def count(url: str) -> None:
    client = await nats.connect(url, pending_size=64 * 1024 * 1024)
    seen = 0

    async def on_beat(message: Msg) -> None:
        nonlocal seen
        seen += 1
        if message.subject.startswith("host.metrics.last_"):
            await client.publish(f"host.heard.{message.subject[13:]}", str(seen).encode())

    await client.subscribe("host.metrics.*", cb=on_beat)
    await client.flush()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    _say_ready()
    await stopped.wait()
    await client.close()


async def rebuild(url: str) -> float:
    """Seconds from connect until the last message of every subject is here."""
    started_s = time.perf_counter()
    client = await nats.connect(url)
    js = client.jetstream()
    done = asyncio.Event()
    missing = len(STREAMS)

    async def follow(stream: str, subjects: list[str]) -> None:
        left = -1
        seen = 0

        async def on_message(_: Msg) -> None:
            nonlocal seen
            seen += 1
            check()

        def check() -> None:
            nonlocal missing
            if seen == left:
                missing -= 1
                if not missing:
                    done.set()

        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, filter_subjects=subjects)
        subscription = await js.subscribe("", stream=stream, cb=on_message, ordered_consumer=True, config=config)
        info = await subscription.consumer_info()
        left = (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
        check()

    await asyncio.gather(*(follow(stream, subjects) for stream, subjects in STREAMS.items()))
    await done.wait()
    seconds = time.perf_counter() - started_s
    await client.close()
    return seconds


class End(asyncio.Protocol):
    """One end of a proxied connection. Who does not read stops whoever writes to him."""

    def __init__(self, other: "End | None" = None, to_port: int = 0) -> None:
        self.other, self._to_port = other, to_port
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.other is None:
            self.other = other = End(self)
            connecting = asyncio.get_running_loop().create_connection(lambda: other, "127.0.0.1", self._to_port)
            self._connecting = asyncio.ensure_future(connecting)
        else:
            self.other.flush()

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)
        else:
            self._early.append(data)

    def flush(self) -> None:
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def proxy(port: int, to_port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: End(to_port=to_port), "127.0.0.1", port)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    _say_ready()
    await stopped.wait()
    server.close()


def _say_ready() -> None:
    """To who started us: the sd_notify protocol."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["pipeline", url, size]:
            uvloop.run(pipeline(url, int(size)))
        case ["count", url]:
            uvloop.run(count(url))
        case ["proxy", port, to_port]:
            uvloop.run(proxy(int(port), int(to_port)))
        case ["rebuild", url]:
            print(json.dumps({"seconds": uvloop.run(rebuild(url))}))
        case _:
            sys.exit(__doc__)
