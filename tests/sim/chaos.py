"""What goes wrong during a run, and what players and operators do. In: the plan's rates. Out: calls on processes, links, hosts.

Each kind of fault is its own Poisson process. `stop` ends them all and mends what is cut, stalled, paused or killed; hosts that
are gone stay gone, as players do.
"""

import random
from collections.abc import Callable, Iterable
from typing import Any

from libs.events import Event, HostId, OpsBan, OpsDrain
from libs.hosting.effects import Append, Outcome
from tests.sim.bridge import Bridge
from tests.sim.clock import MS, SECOND, Clock
from tests.sim.machines import SimHost
from tests.sim.network import DOWN, UP, Network
from tests.sim.plan import Plan
from tests.sim.process import Process
from tests.sim.server import Server

LONG_US = (1 * SECOND, 6 * SECOND)
"""Around the lease's time to live."""
SICKNESSES: tuple[dict[str, Any], ...] = (
    {"latency_ms": 80.0},
    {"jitter_ms": 40.0},
    {"net_mbps": 20.0},
    {"packet_rate": 20.0},
    {"free_ram_mb": 2_000.0},
    {"free_ram_mb": 9_000.0},
    {"cpu_cores": 4},
    {"address": None},
)

Note = Callable[[str, str], None]


class Chaos:
    """note: told of every fault, for the story of the run."""

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        network: Network,
        server: Server,
        processes: list[Process],
        hosts: dict[HostId, SimHost],
        bridge: Bridge,
        note: Note,
    ) -> None:
        self._plan, self._clock, self._network, self._server = plan, clock, network, server
        self._processes, self._hosts, self._bridge, self._note = processes, list(hosts.values()), bridge, note
        self._rng = random.Random(f"chaos {plan.seed}")
        self.stopped = False
        self._said = 0
        for name, every_s in plan.every_s.items():
            self._plan_next(getattr(self, f"_{name}"), every_s)
        self._plan_next(self._walk, 1 / plan.enters_per_s)
        self._drained: set[HostId] = set()

    def stop(self) -> None:
        self.stopped = True
        for process in self._processes:
            process.resume(process.life)
            if not process.running:
                process.start()
        for host in self._hosts:
            host.resume(host.life)
            host.fails = 0.0
            host.sicken()
        self._bridge.fails = 0.0
        self._network.heal()
        self._touch([*self._processes, *self._hosts])

    def _plan_next(self, act: Callable[[], None], every_s: float) -> None:
        self._clock.after(int(self._rng.expovariate(1 / every_s) * SECOND) + 1, self._act, act, every_s)

    def _act(self, act: Callable[[], None], every_s: float) -> None:
        if not self.stopped:
            act()
            self._plan_next(act, every_s)

    def _long(self) -> int:
        return int(self._rng.uniform(*self._rng.choice(((0.01, 0.2), (0.2, 1.5), (1.0, 5.0)))) * SECOND)

    def _touch(self, who: Iterable[Process | SimHost], until_us: int = 0) -> None:
        for one in who:
            one.touched_us = max(one.touched_us, self._clock.now_us, until_us)

    def _service(self) -> Process:
        return self._rng.choice(self._processes)

    def _host(self) -> SimHost:
        return self._rng.choice(self._hosts)

    # Services.

    def _service_crash(self) -> None:
        process, away_us = self._service(), self._long()
        if process.running:
            self._note("crash", f"{process.name}, back in {away_us // MS} ms")
            process.kill()
            self._clock.after(away_us, self._restart, process)

    def _restart(self, process: Process) -> None:
        if not process.running:
            process.start()
            self._note("start", process.name)

    def _service_pause(self) -> None:
        self._pause(self._service(), self._long())

    def _service_cut(self) -> None:
        self._cut(self._service(), self._long())

    def _service_stall(self) -> None:
        self._stall(self._service(), self._long())

    def _holder_stall(self) -> None:
        """The registry that speaks: it loses its lease while what it said is under way."""
        if (holder := self._holder()) is not None:
            self._stall(holder, self._rng.randint(*LONG_US), (UP,))

    def _holder_pause(self) -> None:
        if (holder := self._holder()) is not None:
            self._pause(holder, self._rng.randint(*LONG_US))

    def _holder(self) -> Process | None:
        return next((one for one in self._processes if one.running and one.lease is not None and one.lease.number), None)

    def _pause(self, one: Process | SimHost, for_us: int) -> None:
        self._note("pause", f"{one.name} for {for_us // MS} ms")
        one.pause(for_us)
        self._touch([one], self._clock.now_us + for_us)

    def _cut(self, one: Process | SimHost, for_us: int) -> None:
        if one.running:
            self._note("cut", f"{one.name} for {for_us // MS} ms")
            one.link.cut(for_us)
            self._touch([one], self._clock.now_us + for_us + SECOND)

    def _stall(self, one: Process | SimHost, for_us: int, ways: tuple[str, ...] = (UP, DOWN)) -> None:
        if one.running:
            then_cut = self._rng.random() < 0.5
            end = ", then its connection ends" if then_cut else ""
            self._note("stall", f"{one.name} {' and '.join(ways)} for {for_us // MS} ms{end}")
            one.link.stall(for_us, ways)
            self._touch([one], self._clock.now_us + for_us + SECOND)
            if then_cut:
                self._clock.after(for_us - 1, self._end_stalled, one, one.life)

    def _end_stalled(self, one: Process | SimHost, life: int) -> None:
        if one.life == life and one.running:
            one.link.cut(0)

    def _bridge_cut(self) -> None:
        for_us = self._long()
        self._note("cut", f"bridge for {for_us // MS} ms")
        self._bridge.link.cut(for_us)

    def _nats_restart(self) -> None:
        away_us = self._long()
        self._note("nats", f"restarts, {away_us // MS} ms")
        self._network.restart_server(away_us)
        self._touch([*self._processes, *self._hosts], self._clock.now_us + away_us + SECOND)

    def _group_cut(self) -> None:
        share, for_us = self._rng.uniform(0.2, 1.0), self._long()
        everybody: list[Process | SimHost] = [*self._processes, *self._hosts]
        self._note("split", f"{share:.0%} of all processes are cut off")
        for one in everybody:
            if self._rng.random() < share:
                self._cut(one, for_us)

    # Hosts.

    def _host_crash(self) -> None:
        self._go(self._host())

    def _go(self, host: SimHost) -> None:
        if not host.running:
            return
        self._note("host", f"{host.name} crashes")
        had_link = host.has_link
        host.stop()
        if had_link and self._rng.random() < 0.8:
            self._clock.after(self._rng.randint(MS, 50 * MS), self._bridge.link_lost, host.machine.host)
        self._come_back(host)

    def _host_leave(self) -> None:
        host = self._host()
        self._note("host", f"{host.name} leaves")
        host.leave()
        self._come_back(host)

    def _come_back(self, host: SimHost) -> None:
        if self._rng.random() < 0.7:
            self._clock.after(self._long() + 4 * SECOND * self._rng.randint(0, 1), self._return, host)

    def _return(self, host: SimHost) -> None:
        if not self.stopped and not host.running:
            self._note("host", f"{host.name} starts")
            host.start()

    def _host_cut(self) -> None:
        self._cut(self._host(), self._long())

    def _host_stall(self) -> None:
        self._stall(self._host(), self._long())

    def _host_pause(self) -> None:
        self._pause(self._host(), self._long())

    def _host_sick(self) -> None:
        host, sickness = self._host(), self._rng.choice(SICKNESSES)
        self._note("sick", f"{host.name}: {sickness}")
        host.sicken(**sickness)
        self._clock.after(self._long(), host.sicken)

    def _map_crash(self) -> None:
        self._host().fail_map()

    def _link_lost(self) -> None:
        """A link ends though the host lives."""
        host = self._host()
        if host.has_link:
            self._note("link", f"of {host.name} ends")
            self._touch([host])
            self._bridge.link_lost(host.machine.host)

    # Operators and players.

    def _drain(self) -> None:
        host = self._host().machine.host
        draining = host not in self._drained
        (self._drained.add if draining else self._drained.discard)(host)
        self._operator(OpsDrain(host=host, at_ms=self._clock.now_ms, draining=draining, by="sim"))

    def _ban(self) -> None:
        until_ms = self._clock.now_ms + self._rng.choice((0, 2_000, 10_000))
        self._operator(
            OpsBan(host=self._host().machine.host, at_ms=self._clock.now_ms, until_ms=until_ms, reason="sim", by="sim")
        )

    def _operator(self, event: Event) -> None:
        self._said += 1
        self._server.append(self._bridge, Append(event, None), f"ops.{self._said}", _ignore)

    def _walk(self) -> None:
        account = self._rng.randint(1, self._plan.players)
        if self._rng.random() < 0.1:
            self._bridge.leave(account)
        else:
            region = self._plan.regions[account % len(self._plan.regions)]
            self._bridge.enter(account, self._rng.choice(self._plan.maps), region)


def _ignore(_: Outcome) -> None:
    """An operator's write is made at the server itself: its loss is not the matter here."""
