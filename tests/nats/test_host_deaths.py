"""How soon a host's death is known: real agents on a real nats-server, killed, cut off, frozen, stalled, sent home.

The milliseconds are told, and judged by bench/rows.py; a test waits with a bound that no machine needs. Without a bridge, the
test itself says host.lost when it kills.
"""

import asyncio
import signal

import pytest

from tests.nats.deaths import READY_S, Eventually, Land, contradictions, land
from tests.nats.proxy import proxy
from tests.rathena.figures import count, tell

pytestmark = [pytest.mark.nats, pytest.mark.timeout(count(180, 1_800))]

KILLS = count(6, 100)
FEW = count(2, 20)
AT_ONCE = 10
"""Agents up at one time."""
APART_S = 0.7
"""Between deaths: three in 2 s are no mass death, whatever their share."""
OTHERS = 6
"""Hosts that live all the while."""
BOUND_S = 30.0


async def others_up(made: Land, eventually: Eventually) -> list[str]:
    names = [f"other{number}" for number in range(OTHERS)]
    for name in names:
        await made.agent(name)
    await eventually(lambda: all(map(made.is_up, names)), READY_S)
    return names


async def serving(made: Land, eventually: Eventually, *names: str) -> None:
    for name in names:
        await made.agent(name)
    await eventually(lambda: all(map(made.is_up, names)), READY_S)
    for name in names:
        await made.give(name, f"map_{name}")
    await eventually(lambda: all(made.serves(name, f"map_{name}") for name in names), READY_S)


async def dead_ms(made: Land, host: str, since_s: float, eventually: Eventually) -> float:
    await eventually(lambda: made.downs(host), BOUND_S)
    return (made.down_s[host] - since_s) * 1000


async def test_a_serving_host_that_is_killed(eventually: Eventually):
    async with land() as made:
        others = await others_up(made, eventually)
        took_ms, told_ms = [], []
        for first in range(0, KILLS, AT_ONCE):
            names = [f"h{number}" for number in range(first, min(first + AT_ONCE, KILLS))]
            await serving(made, eventually, *names)
            for name in names:
                await asyncio.sleep(APART_S)
                killed_s = made.kill(name, link=True)
                took_ms.append(await dead_ms(made, name, killed_s, eventually))
                told_ms.append((made.ended_s[name] - killed_s) * 1000)

        tell("kill of a serving host to host.down", took_ms)
        tell("kill of a serving host to the server's word of it", told_ms)
        assert [down.reason for down in made.downs()] == ["lost"] * KILLS
        assert all(map(made.is_up, others))
        assert contradictions(made.facts) == []


async def test_an_idle_host_that_is_killed(eventually: Eventually):
    async with land() as made:
        others = await others_up(made, eventually)
        took_ms = []
        for number in range(FEW):
            name = f"h{number}"
            await made.agent(name)
            await eventually(lambda name=name: made.is_up(name), READY_S)
            took_ms.append(await dead_ms(made, name, made.kill(name, link=False), eventually))

        tell("kill of an idle host to host.down", took_ms)
        assert {down.reason for down in made.downs()} == {"lost"}
        assert all(map(made.is_up, others))


async def test_a_host_that_was_only_cut_off_is_not_dead(eventually: Eventually):
    async with land() as made, proxy(made.url) as line:
        await made.agent("h1", line.url)
        await eventually(lambda: made.is_up("h1"), READY_S)
        for _ in range(FEW):
            line.cut(bar=True)
            await asyncio.sleep(0.1)
            line.open()
            await asyncio.sleep(1.5)  # longer than a suspicion

        assert made.downs() == []


async def test_a_serving_host_that_is_frozen(eventually: Eventually):
    async with land() as made:
        await others_up(made, eventually)
        names = [f"h{number}" for number in range(FEW)]
        await serving(made, eventually, *names)
        await asyncio.sleep(5)  # its past is known
        took_ms = []
        for name in names:
            frozen_s = asyncio.get_running_loop().time()
            made.signal(name, signal.SIGSTOP)
            took_ms.append(await dead_ms(made, name, frozen_s, eventually))
            made.signal(name, signal.SIGKILL)

        tell("freeze of a serving host to host.down", took_ms)
        assert {down.reason for down in made.downs()} == {"silent"}


async def test_a_serving_host_whose_packets_vanish(eventually: Eventually):
    async with land() as made:
        await others_up(made, eventually)
        took_ms = []
        for number in range(FEW):
            name = f"h{number}"
            async with proxy(made.url) as line:
                await made.agent(name, line.url)
                await eventually(lambda name=name: made.is_up(name), READY_S)
                await made.give(name, f"map_{name}")
                await eventually(lambda name=name: made.serves(name, f"map_{name}"), READY_S)
                await asyncio.sleep(5)
                stalled_s = asyncio.get_running_loop().time()
                line.stall()
                took_ms.append(await dead_ms(made, name, stalled_s, eventually))

        tell("packets of a serving host vanish to host.down", took_ms)
        assert {down.reason for down in made.downs()} == {"silent"}


async def test_a_host_that_takes_its_leave(eventually: Eventually):
    async with land() as made:
        took_ms = []
        for number in range(FEW):
            name = f"h{number}"
            await made.agent(name)
            await eventually(lambda name=name: made.is_up(name), READY_S)
            left_s = asyncio.get_running_loop().time()
            made.signal(name, signal.SIGTERM)
            took_ms.append(await dead_ms(made, name, left_s, eventually))

        tell("leave of a host to host.down", took_ms)
        assert [(down.reason, down.disconnects_ms) for down in made.downs()] == [("left", [])] * FEW
