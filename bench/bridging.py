"""The bridge between hosts' map-servers and a char-server: saves a minute with the fence and the checks on, and what a packet
waits in it. Beside it a bare asyncio TCP proxy, same bytes, same stand-ins, in turns.

The bridge, the validator and nats-server are processes of their own; char-server, hosts and relay are stand-ins in this one.
"""

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from statistics import median

import psutil

from bench import facts, place
from bench.figures import Bound, Figure, percentile, rounded
from bench.plan import Plan
from bench.standins import LOCAL, WAIT_S, CharServer, Host, Relay, Who
from libs.bus.nats import connect
from libs.events import HostId, MapName, SaveCheck, SaveVerdict
from libs.events.names import Plain

HOSTS = 10
PLAYERS = 200
BURSTS = 3_000
REQUESTS = 2_000
CHECKS = 500
WARM_UP = 200
MB = 1_000_000
SAVES = Bound("at least", 200.0)
BARE = "an asyncio TCP proxy that copies bytes"


@dataclass(frozen=True, slots=True)
class _Run:
    mb_per_min: float
    cpu_us: float
    p50_us: float
    p99_us: float
    check_us: float = 0.0


class Town:
    """Hosts with their players, and the char-server their saves go to. Each player is saved again when his last burst came."""

    def __init__(self) -> None:
        self.hosts = [Host(f"host_{number:05}", f"bench_{number:02}", number + 1) for number in range(HOSTS)]
        self.players = [Who(2_000_001 + n, 150_001 + n, self.hosts[n % HOSTS].map) for n in range(PLAYERS)]
        self.char = CharServer(self.players, self._on_saved)
        self._bursts = {who.char_id: (self.hosts[n % HOSTS], who.burst()) for n, who in enumerate(self.players)}
        self._to_say = self._to_come = 0
        self._all_came = asyncio.Event()

    async def save(self, count: int) -> float:
        """Seconds until `count` bursts have come, of as many players at once as there are."""
        self._to_say = self._to_come = count
        self._all_came.clear()
        started_s = time.perf_counter()
        for who in self.players:
            self._say(who.char_id)
        await asyncio.wait_for(self._all_came.wait(), WAIT_S)
        return time.perf_counter() - started_s

    def _say(self, char_id: int) -> None:
        if self._to_say:
            self._to_say -= 1
            host, burst = self._bursts[char_id]
            host.say(burst)

    def _on_saved(self, char_id: int) -> None:
        self._to_come -= 1
        if not self._to_come:
            self._all_came.set()
        self._say(char_id)

    async def latencies_us(self, count: int) -> list[float]:
        """One question at a time, each answered before the next."""
        samples = []
        for number in range(count):
            host, who = self.hosts[number % HOSTS], self.players[number % PLAYERS]
            started_s = time.perf_counter()
            await host.ask(who)
            samples.append((time.perf_counter() - started_s) * 1e6)
        return samples


async def bridging(plan: Plan) -> list[Figure]:
    bare: list[_Run] = []
    kafra: list[_Run] = []
    for number in range(plan.repeat):
        plan.say(f"bridge, {number + 1} of {plan.repeat}")
        bare.append(await _through_proxy(plan))
        kafra.append(await _through_bridge(plan))
    return _figures(kafra, bare)


async def _through_proxy(plan: Plan) -> _Run:
    async with _town() as town:
        port = free_port()
        async with place.process("proxy", "bench.proxy", str(port), str(town.char.port), url="") as process:
            for host in town.hosts:
                await host.connect(port, bridge=False)
            return await _measure(plan, town, process)


async def _through_bridge(plan: Plan) -> _Run:
    async with _town() as town:
        assigned = [facts.assign(MapName(host.map), HostId(host.host), []) for host in town.hosts]
        ports = {name: free_port() for name in ("map_servers", "hosts", "relays")}
        async with (
            place.server(assigned) as url,
            place.process("validator", "services.validator", url=url),
            place.process("bridge", "services.bridge", url=url, more=_environ(town, ports)) as process,
        ):
            for host in town.hosts:
                await host.connect(ports["hosts"], bridge=True)
            relay = Relay(ports["relays"], town.hosts)
            running = asyncio.ensure_future(relay.run())
            try:
                await asyncio.wait_for(relay.connected.wait(), WAIT_S)
                for number, who in enumerate(town.players):
                    await relay.enter(number + 1, who)
                return await _measure(plan, town, process, await _check_us(url, plan.count(CHECKS)))
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def _town() -> AsyncIterator[Town]:
    town = Town()
    server = await town.char.listen()
    try:
        yield town
    finally:
        for host in town.hosts:
            host.close()
        server.close()


async def _measure(plan: Plan, town: Town, process: psutil.Process, check_us: float = 0.0) -> _Run:
    await town.save(WARM_UP)
    gc.collect()
    samples = await town.latencies_us(plan.count(REQUESTS))
    bursts, before_bytes, before_s = plan.count(BURSTS), town.char.save_bytes, place.cpu_s(process)
    seconds = await town.save(bursts)
    cpu_us = (place.cpu_s(process) - before_s) / bursts * 1e6
    rate = (town.char.save_bytes - before_bytes) / MB / seconds * 60
    return _Run(rate, cpu_us, percentile(samples, 0.5), percentile(samples, 0.99), check_us)


async def _check_us(url: str, count: int) -> float:
    """A validator's answer about a character, asked one at a time as the bridge asks, p50."""
    state: dict[str, Plain] = {"base_level": 50, "job_level": 30, "base_exp": 0, "job_exp": 0, "zeny": 5_000, "hp": 1, "sp": 1}
    check = SaveCheck(
        host=HostId("host_00000"),
        map=MapName("bench_00"),
        account_id=2_000_001,
        char_id=150_001,
        tenure=1,
        at_ms=facts.AT_MS,
        elapsed_ms=1.0,
        kind="character",
        before=state,
        after=state,
    )
    bus = await connect(url, name="bench")
    samples = []
    for _ in range(count):
        started_s = time.perf_counter()
        verdict = await bus.ask(check, WAIT_S)
        assert isinstance(verdict, SaveVerdict), verdict
        assert verdict.verdict == "pass", verdict
        samples.append((time.perf_counter() - started_s) * 1e6)
    await bus.close()
    return percentile(samples, 0.5)


def _environ(town: Town, ports: dict[str, int]) -> dict[str, str]:
    addresses = {f"KAFRA__BRIDGE__{name.upper()}": f"{LOCAL}:{port}" for name, port in ports.items()}
    return addresses | {"KAFRA__BRIDGE__CHAR_SERVER": f"{LOCAL}:{town.char.port}", "KAFRA_BRIDGE_OPEN": "1"}


def free_port() -> int:
    with socket.create_server((LOCAL, 0)) as server:
        return int(server.getsockname()[1])


def _figures(kafra: Sequence[_Run], bare: Sequence[_Run]) -> list[Figure]:
    return [
        Figure(
            name="bridge.saves",
            what=f"saves of {HOSTS} hosts' {PLAYERS} players to the char-server, fence and save checks on",
            unit="MB a minute",
            kafra=[run.mb_per_min for run in kafra],
            bare=[run.mb_per_min for run in bare],
            target=SAVES,
            bare_is=BARE,
            details={
                "burst_bytes": len(Town().players[0].burst()),
                "kafra_cpu_us_a_burst": rounded(median(run.cpu_us for run in kafra)),
                "bare_cpu_us_a_burst": rounded(median(run.cpu_us for run in bare)),
                "validator_round_trip_us_p50": rounded(median(run.check_us for run in kafra)),
            },
        ),
        Figure(
            name="bridge.latency",
            what="a host's question about its player and the char-server's answer (3005, 3804), one at a time, p50",
            unit="us",
            kafra=[run.p50_us for run in kafra],
            bare=[run.p50_us for run in bare],
            bare_is=BARE,
            details={
                "kafra_p99_us": rounded(median(run.p99_us for run in kafra)),
                "bare_p99_us": rounded(median(run.p99_us for run in bare)),
            },
        ),
    ]
