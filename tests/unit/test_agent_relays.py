"""The round trip to relays, over real sockets on loopback: timed where one listens, absent where none does."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator

import pytest

from libs.events import Region
from services.agent import relays as module
from services.agent.relays import FAILURES_MAX, SAMPLES_MIN, Relays, connect_ms

EU, US = Region("eu"), Region("us")
LOOPBACK_MS_MAX = 1_000.0
"""Generous: any wait beyond it would be a name server or a timeout, not a connection on loopback."""


@pytest.fixture
async def listening() -> AsyncIterator[asyncio.Server]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    yield server
    server.close()
    await server.wait_closed()


def address_of(server: asyncio.Server) -> str:
    return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def closed_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def relays_of(regions: dict[Region, str]) -> Relays:
    return Relays(lambda: regions, random.Random(1))


async def test_a_connection_that_is_made_is_timed(listening: asyncio.Server):
    rtt_ms = await connect_ms(address_of(listening))

    assert rtt_ms is not None
    assert 0 < rtt_ms < LOOPBACK_MS_MAX


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.1:x", "nothing", ":", "[::1", "no.such.host.invalid:5121", ""])
async def test_what_cannot_be_reached_is_absent(address: str):
    assert await connect_ms(address) is None
    assert await connect_ms(closed_address()) is None


async def test_who_does_not_answer_is_absent_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    with socket.socket() as full:  # a listener whose queue is full lets further connections wait
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())

        async with asyncio.timeout(10):
            rtt_ms = await connect_ms(f"127.0.0.1:{full.getsockname()[1]}")

        for one in waiting:
            one.close()
    assert rtt_ms is None


async def test_each_region_has_the_median_of_a_few(listening: asyncio.Server):
    relays = relays_of({EU: address_of(listening), US: closed_address()})

    first = [relays.rtts()]
    for _ in range(SAMPLES_MIN):
        await relays.probe_all()
        first.append(relays.rtts())

    assert first[0] == {}
    assert first[1] == {EU: None, US: None}, "one sample is no measurement"
    assert first[-1][EU] is not None
    assert first[-1][US] is None


async def test_a_relay_that_fell_silent_is_absent_again():
    regions = {EU: ""}
    relays = relays_of(regions)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    regions[EU] = address_of(server)
    for _ in range(SAMPLES_MIN):
        await relays.probe_all()
    measured = relays.rtts()
    server.close()
    await server.wait_closed()

    for _ in range(FAILURES_MAX):
        await relays.probe_all()

    assert measured[EU] is not None
    assert relays.rtts() == {EU: None}


async def test_a_region_that_moved_or_went_is_forgotten(listening: asyncio.Server):
    regions = {EU: address_of(listening), US: address_of(listening)}
    relays = relays_of(regions)
    for _ in range(SAMPLES_MIN):
        await relays.probe_all()

    regions[EU] = closed_address()
    del regions[US]
    await relays.probe_all()

    assert relays.rtts() == {EU: None}


async def test_on_another_path_all_begins_anew(listening: asyncio.Server):
    relays = relays_of({EU: address_of(listening)})
    for _ in range(SAMPLES_MIN):
        await relays.probe_all()

    relays.forget()
    await relays.probe_all()

    assert relays.rtts() == {EU: None}
