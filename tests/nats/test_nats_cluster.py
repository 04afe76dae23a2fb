"""Three servers, three replicas: the leader killed under load loses and doubles nothing (NATS.md measured 7.8 s at worst)."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import BusUnavailable
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Start
from libs.events import MapCensus, MapName, Stream
from libs.hosting.effects import Append, Committed, Outcome
from tests.rathena.surroundings import free_ports

pytestmark = pytest.mark.nats

KILLS = 5 if os.environ.get("KAFRA_PROVE") else 1
MAPS = 32


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[list[EmbeddedServer]]:
    ports = free_ports("n0", "n1", "n2").values()
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        EmbeddedServer(
            tmp_path / f"n{number}",
            name=f"n{number}",
            extra_config=f'cluster {{ name: kafra, listen: "127.0.0.1:{port}", routes: [{routes}] }}',
        )
        for number, port in enumerate(ports)
    ]
    for server in servers:
        await server.start()
    yield servers
    for server in servers:
        await server.stop()


async def ready_bus(servers: list[EmbeddedServer], name: str) -> NatsBus:
    """The cluster needs a second to choose its leader."""
    bus = await connect(",".join(server.url for server in servers), name=name)
    async with asyncio.timeout(40):
        while True:
            try:
                await bus.ensure_streams(3)
            except BusUnavailable:
                await asyncio.sleep(0.1)
            else:
                return bus


@pytest.mark.timeout(90 + 30 * KILLS)
async def test_a_killed_leader_loses_and_doubles_nothing(cluster: list[EmbeddedServer], eventually):
    writer = await ready_bus(cluster, "writer")
    reader = await ready_bus(cluster, "reader")
    last = dict.fromkeys((f"m{number}" for number in range(MAPS)), 0)
    committed: dict[int, int] = {}
    others: list[Outcome] = []
    followed: dict[int, int] = {}
    order: list[int] = []
    state = {"value": 0, "open": 0, "going": True}

    def write(map_: str) -> None:
        state["value"] += 1
        state["open"] += 1
        writer.submit(Append(MapCensus(map=MapName(map_), at_ms=state["value"], players={}), last[map_]), settled)

    def settled(write_: Append, outcome: Outcome) -> None:
        state["open"] -= 1
        event = write_.event
        assert isinstance(event, MapCensus)
        if not isinstance(outcome, Committed):
            others.append(outcome)
            return
        committed[outcome.seq] = event.at_ms
        last[event.map] = outcome.seq
        if state["going"]:
            write(event.map)

    following = await reader.follow(
        [Stream.MAPS], lambda fact: (order.append(fact.seq), followed.update({fact.seq: fact.event.at_ms})), Start.ALL
    )
    for map_ in last:
        write(map_)
    for _ in range(KILLS):
        before = len(committed)
        await eventually(lambda before=before: len(committed) > before + 500, 40)
        leader = await leader_of(cluster, "MAPS")
        leader.kill()
        before = len(committed)
        await eventually(lambda before=before: len(committed) > before + 500, 40)
        await leader.start()
    state["going"] = False
    await eventually(lambda: state["open"] == 0, 40)
    await eventually(lambda: following.position(Stream.MAPS) >= max(committed), 20)

    assert others == []
    assert order == list(range(1, max(committed) + 1))
    assert followed == committed
    await writer.close()
    await reader.close()


async def leader_of(servers: list[EmbeddedServer], stream: str) -> EmbeddedServer:
    client = await nats.connect([server.url for server in servers if server.running])
    info = await client.jsm().stream_info(stream)
    await client.close()
    assert info.cluster is not None
    return next(server for server in servers if server.name == info.cluster.leader)
