"""kill -9 of each service and of NATS, again and again, while players enter: nothing acknowledged is lost, nothing doubled,
work goes on by itself, and the log is decided alike again.

Two rounds; with KAFRA_PROVE=1 twenty.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import System, comes_true, running, stopped, tell, until
from judges import judged
from players import Players

from libs.events import HostId

pytestmark = pytest.mark.nats

ROUNDS = 20 if os.environ.get("KAFRA_PROVE") else 2
HOSTS = ("h1", "h2", "h3", "h4", "h5")
MAPS = [f"a_fild{number:02}" for number in range(20)] + ["prontera", "geffen"]
SEED = 7
RACED = 40
RACES_MAX = 20
STANDSTILL_S = 1.5
"""How long NATS may stand still unnoticed: below its clients' 6 s, both deciders together, and the registry's lease of 2 s
may pass."""


class Proofs:
    """For each victim, work that only its successor can do after it was killed."""

    def __init__(self, system: System, players: Players) -> None:
        self._system, self._players = system, players
        self._fresh = 0

    async def scorer_works(self, killed_ms: int) -> None:
        """A map nobody was on gets a server."""
        self._fresh += 1
        name = f"fresh_fild{self._fresh:03}"
        self._players.enter(name)
        await until(lambda: self._system.server_of(name) is not None, f"{name} is assigned")

    async def failover_works(self, killed_ms: int) -> None:
        """The host with the most maps vanishes; they go elsewhere."""
        busiest = max(self._system.world.serving.items(), key=lambda item: len(item[1]))[0]
        lost = self._system.served_by(busiest)
        assert lost, "no host serves a map"
        await self._system.hosts[busiest].vanish()
        await until(lambda: not self._system.served_by(busiest), f"{len(lost)} maps of {busiest} went elsewhere")
        await self._system.hosts[busiest].come()

    async def registry_works(self, killed_ms: int) -> None:
        """A host goes without a word and is down; it returns and is up."""
        host = self._system.hosts[HostId(HOSTS[0])]
        await host.vanish()
        await until(lambda: not self._system.world.host(host.id).is_up, f"{host.id} is down")
        await host.come()
        await until(lambda: self._system.world.host(host.id).is_up, f"{host.id} is up again")

    async def validator_works(self, killed_ms: int) -> None:
        """A check later than the killing has been passed."""
        hosts = self._system.world.hosts
        await until(
            lambda: any(host.verdict is not None and host.verdict.at_ms > killed_ms for host in hosts.values()),
            "a host was checked",
        )

    async def nats_works(self, killed_ms: int) -> None:
        await self.scorer_works(killed_ms)

    async def after_killing(self, victim: str) -> float:
        """Kills; returns how long it took until its work was done again, s."""
        service = victim.partition("-")[0]
        if service == "failover":
            await until(lambda: any(self._system.world.serving.values()), "a host serves a map")
        works: Callable[[int], Awaitable[None]] = getattr(self, f"{service}_works")
        loop = asyncio.get_running_loop()
        await until(lambda: self._system.kill(victim), f"{victim} lives, to be killed")
        started_s, killed_ms = loop.time(), self._system.clock.now_ms()
        await works(killed_ms)
        return loop.time() - started_s


async def kill_in_turn(system: System, victims: list[str]) -> Players:
    """ROUNDS times each victim, while players enter; returns when the world is quiet."""
    players = Players(system.bus, MAPS, SEED)
    for number, name in enumerate(HOSTS, 1):
        await system.add_host(name, number=number)
    await system.trusted(*HOSTS)
    proofs, rng = Proofs(system, players), random.Random(SEED)
    took_s: dict[str, list[float]] = {victim: [] for victim in victims}
    playing = asyncio.Event()
    playing.set()
    acting = asyncio.create_task(players.play(playing))
    try:
        for _ in range(ROUNDS):
            for victim in rng.sample(victims, len(victims)):
                took_s[victim].append(await proofs.after_killing(victim))
    finally:
        playing.clear()
        await acting
    await system.quiet()
    for victim, times in took_s.items():
        tell(f"{victim}: killed {len(times)} times, its work was done again after {max(times):.2f} s at most")
    return players


async def assert_nothing_lost(system: System, players: Players) -> None:
    log, report = await judged(system)
    players.assert_exactly_once(log.maps)
    unserved = [name for name in players.entered if system.server_of(name) is None]
    assert not unserved
    assert not system.broken_maps()
    assert {system.server_of("prontera"), system.server_of("geffen")} == {"vps"}, "towns never leave the VPS"
    tell(
        f"{len(players.acknowledged)} acknowledged, {len(players.in_doubt)} in doubt; {report.decisions} decisions of "
        f"{report.deciders} deciders verified"
    )


@pytest.mark.timeout(120 + 60 * ROUNDS)
async def test_nothing_is_lost_or_doubled_whoever_is_killed(tmp_path: Path):
    async with running(tmp_path) as system:
        players = await kill_in_turn(system, ["registry-0", "scorer-0", "failover-0", "validator-0", "nats"])

        await assert_nothing_lost(system, players)


@pytest.mark.timeout(120 + 60 * ROUNDS)
async def test_with_two_replicas_of_each_every_invariant_holds(tmp_path: Path):
    async with running(tmp_path, replicas=2) as system:
        await race(system, "scorer-0", "scorer-1")

        players = await kill_in_turn(
            system, [f"{service}-{number}" for service in ("registry", "scorer", "failover") for number in (0, 1)] + ["nats"]
        )

        await assert_nothing_lost(system, players)


async def race(system: System, one: str, other: str) -> None:
    """Both deciders decide the same map before either's write can be stored, since NATS is stopped meanwhile: whatever comes
    first afterwards, the other is refused. Again where NATS was stopped before it had told both of the first enter."""
    before = await _refused(system, one, other)
    for number in range(RACES_MAX):
        if not await _race_once(system, one, other, [f"race{number}_fild{each:02}" for each in range(RACED)]):
            continue

        async def somebody_was_refused() -> bool:
            return await _refused(system, one, other) > before

        await until(somebody_was_refused, "a write was refused")
        tell(f"two deciders raced for {RACED} maps: {await _refused(system, one, other) - before} writes refused")
        return
    raise AssertionError(f"never in {RACES_MAX} times had both deciders read an enter")


async def _race_once(system: System, one: str, other: str, names: list[str]) -> bool:
    """True if both had decided on the first of these maps while NATS stood still."""
    players, server = Players(system.bus, [], SEED), system.stack.server.pid
    facts = [(await system.status(name))["facts"] for name in (one, other)]
    with stopped(server, at_once=False) as nats_server:
        with stopped(*(system.child(name).pid for name in (one, other))):
            for name in names:
                players.enter(name)
            await players.settled()
            await system.bus.ping(5.0)
            nats_server.stop()
        raced = all([await _has_decided(system, name, then + 1) for name, then in zip((one, other), facts, strict=True)])
    await until(lambda: all(system.server_of(name) for name in names), "the raced are assigned")
    return raced


async def _refused(system: System, *names: str) -> int:
    return sum([(await system.status(name))["refused"] for name in names])


async def _has_decided(system: System, name: str, facts: int) -> bool:
    """It has read so many facts, and was stepped after that; False if it does not come to that while NATS stands still."""
    steps: list[int] = []

    async def stepped() -> bool:
        now = await system.status(name)
        if now["facts"] >= facts:
            steps.append(now["steps"])
        return bool(steps) and steps[-1] >= steps[0] + 2

    return await comes_true(stepped, STANDSTILL_S)
