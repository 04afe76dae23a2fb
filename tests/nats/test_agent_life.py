"""The agent's life as a process on a real nats-server: it comes before the server, outlives it, leaves in order, stands still
and goes on, is displaced. The test orders it in the registry's place."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agents import BOUND_S, Operator, agent, flags, is_ready, of, serving

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import connect
from libs.events.orders import TWO_AGENTS

pytestmark = pytest.mark.nats
Eventually = Callable[..., Awaitable[None]]
Freeze = Callable[[int], Awaitable[None]]
STILL_S = 6.0
"""Longer than the vigil calls a standstill."""


async def test_it_comes_before_the_server_and_says_so_once(tmp_path: Path, eventually: Eventually):
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()  # to have a port
    await server.stop()
    async with agent(*flags(server.url)) as running:
        await eventually(lambda: running.has_said("trying until there is one"), BOUND_S)
        await asyncio.sleep(6)  # a whole further try
        assert running.has_said("trying until there is one") == 1

        await server.start()
        try:
            operator = Operator(await connect(server.url, name="operator"))
            await operator.listen()
            await eventually(of(operator, lambda beat: beat.host == "h1"), BOUND_S)
            await operator.bus.close()
            running.process.terminate()
            assert await running.ended() == 0
        finally:
            await server.stop()


async def test_it_ends_at_once_while_there_is_no_server(eventually: Eventually):
    async with agent(*flags("nats://127.0.0.1:1")) as running:
        await eventually(lambda: running.has_said("trying until there is one"), BOUND_S)

        running.process.terminate()

        assert await running.ended() == 0


async def test_it_outlives_the_server(nats_server: EmbeddedServer, operator: Operator, eventually: Eventually):
    async with agent(*flags(nats_server.url)) as running:
        await serving(operator, eventually)

        for _ in range(3):
            nats_server.kill()
            await nats_server.start()
            await eventually(lambda: operator.bus.connected, BOUND_S)
            since = len(operator.beats)
            await eventually(lambda since=since: any(map(is_ready, operator.beats[since:])), BOUND_S)

        seqs = [beat.seq for beat in operator.beats]
        assert seqs == sorted(set(seqs)), "it is the same agent, and it still serves"
        running.process.terminate()
        await eventually(of(operator, lambda beat: beat.leaving), BOUND_S)
        operator.order("h1")
        assert await running.ended() == 0


async def test_told_to_end_it_serves_until_its_maps_are_taken(
    nats_server: EmbeddedServer, operator: Operator, eventually: Eventually
):
    async with agent(*flags(nats_server.url)) as running:
        await serving(operator, eventually)

        running.process.terminate()
        await eventually(lambda: sum(beat.leaving for beat in operator.beats) >= 3, BOUND_S)
        still = running.process.returncode is None
        goodbyes = [beat for beat in operator.beats if beat.leaving]
        operator.order("h1")
        code = await running.ended()

        assert still
        assert all(is_ready(beat) for beat in goodbyes[:3]), "its players play on meanwhile"
        assert code == 0


async def test_killed_it_says_nothing_and_may_come_again(
    nats_server: EmbeddedServer, operator: Operator, eventually: Eventually
):
    async with agent(*flags(nats_server.url)) as running:
        await serving(operator, eventually)
        running.process.kill()
        await running.process.wait()
    await operator.bus.ping(5.0)
    said = len(operator.beats)

    async with agent(*flags(nats_server.url)):
        await eventually(lambda: len(operator.beats) > said, BOUND_S)

    assert not any(beat.leaving for beat in operator.beats)
    assert operator.beats[said].seq == 1


async def test_frozen_and_continued_it_beats_at_once_and_goes_on(
    nats_server: EmbeddedServer, operator: Operator, freeze: Freeze, eventually: Eventually
):
    async with agent(*flags(nats_server.url)) as running:
        await serving(operator, eventually)
        await freeze(running.process.pid)
        frozen = len(operator.beats)
        await asyncio.sleep(STILL_S)
        await operator.bus.ping(5.0)
        assert len(operator.beats) <= frozen + 1, "what was on the way"

        os.kill(running.process.pid, signal.SIGCONT)
        await eventually(lambda: len(operator.beats) > frozen + 3, BOUND_S)

        await eventually(lambda: running.has_said("stood still"), BOUND_S)
        assert is_ready(operator.beats[-1])


async def test_of_two_with_one_identity_the_older_ends(nats_server: EmbeddedServer, operator: Operator, eventually: Eventually):
    async with agent(*flags(nats_server.url)) as older:
        await eventually(of(operator, lambda beat: beat.seq >= 3), BOUND_S)
        since = len(operator.beats)
        async with agent(*flags(nats_server.url)) as newer:
            await eventually(lambda: any(beat.seq == 1 for beat in operator.beats[since:]), BOUND_S)
            counts = next(beat for beat in operator.beats[since:] if beat.seq == 1)

            operator.order("h1", heard=counts, notes=(f"{TWO_AGENTS}: end the other",))

            assert await older.ended() == 1
            assert older.has_said("another agent uses the identity of h1") == 1
            since = len(operator.beats)
            await eventually(lambda: len(operator.beats) > since + 2, BOUND_S)
            assert newer.process.returncode is None
            assert not any(beat.leaving for beat in operator.beats), "the host itself does not leave"
