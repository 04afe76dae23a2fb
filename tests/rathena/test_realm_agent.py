"""Real agents in a realm: `kafra agent` processes with the operator's bundle serve maps to players; killed, and told to end.

One round; with KAFRA_PROVE=1 ten. The milliseconds are judged by bench/rows.py.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from libs.events import HostOrder
from tests.bundle.bundle_maker import PUBLIC, manifest_of, publish
from tests.bundle.bundle_web import web
from tests.rathena.figures import count, tell
from tests.rathena.host_lab import lives
from tests.rathena.real_agent import ANY_MACHINE, RealAgent, real_agent
from tests.rathena.realm import Realm
from tests.rathena.serving_lab import twin_files
from tests.rathena.surroundings import FIELD
from tests.rathena.twin.client import TwinClient

PLAYERS = 10
ROUNDS = count(1, 10)
KILLED_S = 2.0
"""After kill -9 of an agent nothing of it may be left."""
pytestmark = [pytest.mark.nats, pytest.mark.timeout(150 + 60 * ROUNDS)]


class Stage:
    """A realm, and agents that come one after the other. ordered, ready: seconds, of each host the first time for FIELD."""

    def __init__(self, realm: Realm, directory: Path, bundle: tuple[str, str]) -> None:
        self.realm, self._directory, self._bundle = realm, directory, bundle
        self.agents: dict[str, RealAgent] = {}
        self.ordered: dict[str, float] = {}

    async def listen(self) -> None:
        def on_order(order: HostOrder) -> None:
            if FIELD in order.maps:
                self.ordered.setdefault(order.host, time.monotonic())

        await self.realm.bus.hear(HostOrder, on_order)

    async def add(self, ends: AsyncExitStack) -> RealAgent:
        """One more; returns when it is up and trusted."""
        number = len(self.agents)
        name, url = f"agent_{number}", self.realm.stack.url
        agent = await ends.enter_async_context(
            real_agent(url, name, self._directory / name, number=number, bundle=self._bundle)
        )
        self.agents[name] = agent
        host = agent.id

        def is_trusted() -> bool:
            found = self.realm.world.host(host)
            return found.is_up and found.up is not None and found.up.trust > 0

        await self.until(is_trusted, f"{name} is up and trusted")
        return agent

    async def ready(self, agent: RealAgent) -> float:
        """Waits until the registry calls the field ready there; ms since it was ordered."""

        def is_ready() -> bool:
            up = self.realm.world.host(agent.id).up
            return up is not None and FIELD in up.ready_maps

        await self.until(is_ready, f"the field is ready on {agent.id}")
        return (time.monotonic() - self.ordered[agent.id]) * 1000

    async def moved(self, players: list[TwinClient], to: str | None, kind: str) -> None:
        """Waits until all players are there."""
        await self.until(
            lambda: self.realm.moved and (self.realm.moved[-1].to, self.realm.moved[-1].kind) == (to, kind), f"to {to}"
        )
        assert (self.realm.moved[-1].outcome, self.realm.moved[-1].players) == ("moved", PLAYERS)
        await self.realm.in_play(players)

    async def until(self, condition: object, what: str) -> None:
        try:
            await self.realm.until(condition, what)  # type: ignore[arg-type]
        except AssertionError as error:
            logs = "".join(line for agent in self.agents.values() for line in agent.said[-12:])
            raise AssertionError(f"{error}\n{self.realm.moved[-3:]}\n{logs}") from None


async def test_real_agents_serve_are_killed_and_leave_and_nobody_is_disconnected(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out, twin_files())
    settings = ANY_MACHINE | {"KAFRA__GENERAL__HOSTS_BUNDLE": manifest_of(out).version}
    ready_ms: list[float] = []
    gone_ms: list[float] = []
    async with (
        Realm.running(tmp_path, players=PLAYERS, linked=True, settings=settings) as realm,
        web(out) as server,
        AsyncExitStack() as ends,
    ):
        stage = Stage(realm, tmp_path, (server.url, PUBLIC))
        await stage.listen()
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players)
        for _ in range(ROUNDS):
            first = await stage.add(ends)
            ready_ms.append(await stage.ready(first))
            await stage.moved(players, first.id, "orderly")
            second = await stage.add(ends)
            ready_ms.append(await stage.ready(second))
            await realm.attack(players)

            gone_ms.append(await killed(first))
            await stage.moved(players, second.id, "death")
            await realm.attack(players, times=2)
            had = [client.core.zeny for client in players]

            pids = second.map_servers()
            second.terminate()
            await stage.moved(players, None, "orderly")
            assert await second.ended() == 0
            assert not any(map(lives, pids))
            assert [client.core.zeny for client in players] == had, "what leaves in order loses nothing"
            await realm.attack(players)
            await realm.kept(players)
        assert realm.undisturbed()
    tell("agent, order to ready", ready_ms)
    tell("agent, kill -9 to no process", gone_ms)


async def killed(agent: RealAgent) -> float:
    """kill -9; ms until none of its map-servers lives."""
    pids = agent.map_servers()
    assert pids
    began_s = time.monotonic()
    agent.kill()
    async with asyncio.timeout(KILLED_S):
        while any(map(lives, pids)):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.005)
    return (time.monotonic() - began_s) * 1000
