"""Players' machines: each runs the real agent core over made-up measurements and made-up map-servers.

A machine joins, beats, obeys orders, answers checks; it may leave with a goodbye, crash, freeze, run badly for a while, lose a
map-server, or cheat. Its clock is up to an hour off.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from libs.events import Event, Fact, HostCheck, HostCheckReply, HostOrder, MapName, MapReport, Reply
from services.agent.core import FIRST_INTERVAL_MS, Agent, Identity
from services.ops.demo.machines import Machine
from tests.sim.clock import MS, SECOND, START_MS
from tests.sim.network import Link
from tests.sim.parts import Parts

LOOK_US = 100 * MS
"""How often an agent looks at its map-servers."""
GOODBYE_US = 3 * SECOND


class SimHost:
    """cheats: share of checks it answers wrongly, or not at all. fails: share of map-servers that end as failed. limits: of
    which `players_max` it takes one at each start.

    on_wrong_order: told when an order was obeyed that is older than one obeyed before.
    """

    def __init__(
        self,
        parts: Parts,
        machine: Machine,
        *,
        offset_ms: int,
        cheats: float,
        fails: float,
        limits: Sequence[int | None],
    ) -> None:
        self.parts, self.machine, self.offset_ms = parts, machine, offset_ms
        self.name = str(machine.host)
        self.cheats, self.fails, self.limits = cheats, fails, limits
        self.start_us = (200 * MS, 3 * SECOND)
        self.on_wrong_order: Callable[[SimHost, HostOrder], None] = lambda host, order: None
        self.life = 0
        self.running = self.paused = self.leaving = False
        self.touched_us = 0
        self.players_max: int | None = None
        self.measured = machine.measured()

    @property
    def now_ms(self) -> int:
        return START_MS + self.parts.clock.now_us // MS + self.offset_ms

    def start(self) -> None:
        if self.running:
            return
        self.life += 1
        self.running, self.paused, self.leaving = True, False, False
        self.touched_us = self.parts.clock.now_us
        self.players_max = self.parts.rng.choice(self.limits)
        self.agent = Agent(Identity(self.machine.host, self.machine.account_id, self.machine.region), self.life)
        self._obeyed = (0, 0)
        self._servers: dict[MapName, tuple[int, str]] = {}
        self._said: dict[MapName, str] = {}
        self._next_us = 0
        self._waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.link = Link(self.parts.network, partial(self.parts.server.forget, self), self._listen)
        self._listen()
        self._look(self.life)

    def stop(self) -> None:
        """Gone without a word."""
        if self.running:
            self.running = False
            self.life += 1
            self.touched_us = self.parts.clock.now_us
            self.link.close()

    def leave(self) -> None:
        """Says goodbye, serves on for a moment, ends."""
        if self.running and not self.leaving:
            self.leaving = True
            self._beat()
            self.parts.clock.after(GOODBYE_US, self._end, self.life)

    def pause(self, for_us: int) -> None:
        if self.running and not self.paused:
            self.paused = True
            self.parts.clock.after(for_us, self.resume, self.life)

    def resume(self, life: int) -> None:
        if life == self.life and self.paused:
            self.paused = False
            self.touched_us = self.parts.clock.now_us
            waiting, self._waiting = self._waiting, []
            for act, args in waiting:
                act(*args)

    def sicken(self, **worse: Any) -> None:
        """Measures badly from now on; without arguments as well as ever."""
        self.measured = replace(self.machine.measured(), **worse)

    def fail_map(self) -> None:
        """One of its map-servers ends."""
        if self.running and (ready := sorted(self._servers)):
            self._servers[self.parts.rng.choice(ready)] = (self.parts.clock.now_us, "failed")

    def is_ready(self, name: MapName) -> bool:
        """As the bridge sees it through the link."""
        return self.running and not self.paused and self._state(name) == "ready"

    @property
    def has_link(self) -> bool:
        return self.running and bool(self._servers)

    def receive(self, event: Event) -> None:
        if isinstance(event, HostOrder):
            self._handle(self._obey, event)

    def receive_request(self, request: Event, reply: Callable[[Reply | None], None]) -> None:
        if isinstance(request, HostCheck):
            self._handle(self._answer, request, reply)

    def receive_fact(self, fact: Fact) -> None:
        """Hosts follow nothing (DESIGN D10)."""

    def _handle(self, act: Callable[..., None], *args: Any) -> None:
        if self.paused:
            self._waiting.append((act, args))
        elif self.running:
            act(*args)

    def _listen(self) -> None:
        self.link.send("up", self.parts.server.came, self)
        for event_type in (HostOrder, HostCheck):
            self.link.send("up", self.parts.server.subscribe, self, event_type, self.name)

    def _obey(self, order: HostOrder) -> None:
        if not self.agent.on_order(order):
            self.parts.counts["orders ignored"] += 1
            return
        if (order.lease, order.as_of) < self._obeyed:
            self.on_wrong_order(self, order)
        self._obeyed = (order.lease, order.as_of)
        for name in self._servers.keys() - order.maps.keys():
            del self._servers[name]
        for name in sorted(order.maps.keys() - self._servers.keys()):
            end = "failed" if self.parts.rng.random() < self.fails else "ready"
            self._servers[name] = (self.parts.clock.now_us + self.parts.rng.randint(*self.start_us), end)
        self._next_us = min(self._next_us, self.parts.clock.now_us + self.agent.interval_ms * MS)

    def _answer(self, check: HostCheck, reply: Callable[[Reply | None], None]) -> None:
        if self.parts.rng.random() >= self.cheats:
            reply(self.agent.answer(check))
        elif self.parts.rng.random() < 0.5:
            reply(HostCheckReply(proof="0" * 64))

    def _look(self, life: int) -> None:
        """Beats when it is time, or when a map-server's state changed."""
        if life != self.life:
            return
        now_us = self.parts.clock.now_us
        if not self.paused:
            states = {name: self._state(name) for name in self._servers}
            if now_us >= self._next_us or states != self._said:
                self._said = states
                self._next_us = now_us + (self.agent.interval_ms or FIRST_INTERVAL_MS) * MS
                self._beat()
        wait_us = LOOK_US if self._servers or self.paused else max(MS, self._next_us - now_us)
        self.parts.clock.after(min(wait_us, max(MS, self._next_us - now_us)), self._look, life)

    def _beat(self) -> None:
        reports = {
            name: MapReport(tenure=self.agent.wanted[name].tenure, state=self._state(name)) for name in sorted(self._servers)
        }
        metrics = self.agent.metrics(self.measured, reports, self.now_ms, leaving=self.leaving, players_max=self.players_max)
        self.link.send("up", self.parts.server.publish, metrics)

    def _state(self, name: MapName) -> Any:
        ready_us, end = self._servers.get(name, (0, "absent"))
        return end if self.parts.clock.now_us >= ready_us else "starting"

    def _end(self, life: int) -> None:
        if life == self.life and self.leaving:
            self.stop()
