"""One process of ours: a core, driven exactly as libs/runtime/shell.py drives it, on a simulated machine.

It starts (streams, subscriptions, lease), steps after each batch of inputs and at every tick, performs the effects. It can be
killed (state lost; the next life has a new name), paused (inputs wait; afterwards the sockets' come first, then the timers',
as an event loop has it) and cut off (its link).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from libs.events import Event, Fact, HostId, HostMetrics, NodeName, Reply, Stream
from libs.hosting.effects import Append, Ask, Core, Outcome, Probe, Probing
from tests.sim.client import Lease
from tests.sim.clock import MS, START_MS
from tests.sim.network import Link
from tests.sim.parts import Parts
from tests.sim.server import Connection

TICK_US = 50 * MS
"""As TICK_S of libs/runtime/shell.py."""
STEP_US = 400
"""What a batch of inputs takes until its step, at most."""


class Watching(Protocol):
    """A core that is told of connections."""

    def on_connection(self, connection: Connection, now_ms: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What a service is: what it follows and hears, whether it needs the lease, and its core made (name, now_ms)."""

    name: str
    follows: tuple[Stream, ...]
    hears: tuple[type[Event], ...]
    lease: bool
    make_core: Callable[[NodeName, int], Core]
    watches: bool = False


class Process:
    """replica: its number among those of its kind. offset_ms: its clock, ahead of the true one."""

    def __init__(self, parts: Parts, kind: Kind, replica: int, offset_ms: int) -> None:
        self.parts, self.kind, self.replica, self.offset_ms = parts, kind, replica, offset_ms
        self.life = 0
        self.running = False
        self.touched_us = 0
        """When a fault last concerned it."""
        self.heard_us: dict[HostId, deque[tuple[int, int]]] = {}
        """When it heard each host lately, for the judge, and what the host's clock said (ms) when it spoke; and since when it
        has listened (its life, its last connections)."""
        self.listening_us: deque[int] = deque(maxlen=8)
        self.start()

    @property
    def now_ms(self) -> int:
        return START_MS + self.parts.clock.now_us // MS + self.offset_ms

    def start(self) -> None:
        assert not self.running
        parts = self.parts
        self.life += 1
        self.running, self.paused, self._caught_up = True, False, False
        self.name = NodeName(f"{self.kind.name}-{self.replica}{self.life:03d}")
        self.link = Link(parts.network, partial(parts.server.forget, self), partial(self.handle, self._reconnected))
        self.core = self.kind.make_core(self.name, self.now_ms)
        self.lease: Lease | None = None
        self._publisher = parts.publisher(self)
        self._sockets: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._timers: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._stepping = False
        self._number = 0
        self._breaks = self.link.breaks
        self._targets: dict[Stream, int] = {}
        self._positions: dict[Stream, int] = {}
        self.heard_us.clear()
        self.listening_us.append(parts.clock.now_us)
        self.touched_us = parts.clock.now_us
        if parts.clock.now_us < parts.network.server_back_us:
            self.link.cut(0)
        else:
            self._listen()
        self._publisher.submit(Append(parts.config_applied(self.now_ms), expected=0), lambda write, outcome: None)
        self.later(parts.rng.randint(0, TICK_US), self._tick)

    def kill(self) -> None:
        """kill -9: what has not arrived yet is lost, nothing more is said."""
        if self.running:
            self.running = False
            self.life += 1
            self.link.close()

    def pause(self, for_us: int) -> None:
        """SIGSTOP, then SIGCONT."""
        if self.running and not self.paused:
            self.paused = True
            self.parts.clock.after(for_us, self.resume, self.life)

    def resume(self, life: int) -> None:
        if life != self.life or not self.paused:
            return
        self.paused = False
        self.touched_us = self.parts.clock.now_us
        waiting = [*self._sockets, *self._timers]
        self._sockets, self._timers = [], []
        for act, args in waiting:
            act(*args)

    def handle(self, act: Callable[..., None], *args: Any) -> None:
        """Something came through a socket."""
        if self.paused:
            self._sockets.append((act, args))
        elif self.running:
            act(*args)

    def later(self, delay_us: int, act: Callable[..., None], *args: Any) -> None:
        self.parts.clock.after(delay_us, self._timer, self.life, act, args)

    def _timer(self, life: int, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        if life != self.life:
            return
        if self.paused:
            self._timers.append((act, args))
        else:
            act(*args)

    # What the server sends.

    def receive(self, event: Event) -> None:
        self.handle(self._hear, event)

    def receive_request(self, request: Event, reply: Callable[[Reply | None], None]) -> None:
        """No service of these answers requests."""

    def receive_fact(self, fact: Fact) -> None:
        self.handle(self._fold, fact)

    def receive_connection(self, connection: Connection) -> None:
        self.handle(self._input, cast(Watching, self.core).on_connection, connection)

    def _hear(self, event: Event) -> None:
        if isinstance(event, HostMetrics):
            self.heard_us.setdefault(event.host, deque(maxlen=8)).append((self.parts.clock.now_us, event.at_ms))
        self._input(self.core.on_heard, event)

    def _fold(self, fact: Fact) -> None:
        position = self._positions.get(fact.stream, 0)
        if fact.seq > position:
            assert not self._caught_up or fact.seq == position + 1, "the simulated follower has a hole"
            self._positions[fact.stream] = fact.seq
            self._input(self.core.on_fact, fact)
            self._check_caught_up()

    def _set_target(self, stream: Stream, seq: int) -> None:
        self._targets[stream] = seq
        self._check_caught_up()

    def _check_caught_up(self) -> None:
        if self._caught_up or len(self._targets) < len(self.kind.follows):
            return
        if all(self._positions.get(stream, 0) >= seq for stream, seq in self._targets.items()):
            self._caught_up = True
            if self.kind.lease:
                self.lease = self.parts.lease(self)
            self._input(lambda _, now_ms: self.core.on_caught_up(now_ms), None)

    def _listen(self) -> None:
        """Subscriptions and followers, at the server."""
        server, link = self.parts.server, self.link
        self._targets.clear()
        for event_type in self.kind.hears:
            link.send("up", server.subscribe, self, event_type)
        if self.kind.watches:
            link.send("up", server.watch, self)
        for stream in self.kind.follows:
            after = self._positions.get(stream, 0) if self._caught_up else self._positions.get(stream)
            on_target = partial(self.handle, self._set_target, stream)
            link.send("up", server.follow, self, stream, after, on_target)

    def _reconnected(self) -> None:
        self._listen()
        self._publisher.reconnected()

    # The shell.

    def _input(self, handler: Callable[[Any, int], None], item: Any) -> None:
        handler(item, self.now_ms)
        if not self._stepping:
            self._stepping = True
            self.later(int(self.parts.rng.random() * STEP_US), self._step)

    def _tick(self) -> None:
        self._step()
        self.later(TICK_US, self._tick)

    def _step(self) -> None:
        self._stepping = False
        self._take_notice()
        for effect in self.core.step(self.now_ms):
            if isinstance(effect, Append):
                self._publisher.submit(effect, self._settled)
            elif isinstance(effect, Ask):
                self._ask(effect)
            elif isinstance(effect, Probe):
                self._probe(effect)
            else:
                self.link.send("up", self.parts.server.publish, effect.event)

    def _take_notice(self) -> None:
        number = self.lease.number if self.lease is not None else 0
        if number != self._number:
            self._number = number
            self.touched_us = self.parts.clock.now_us
            self.core.on_lease(number, self.now_ms)
        if self.link.up and self.link.breaks != self._breaks:
            self._breaks = self.link.breaks
            self.listening_us.append(self.parts.clock.now_us)
            self.core.on_gap(self.now_ms)

    def _settled(self, write: Append, outcome: Outcome) -> None:
        self.parts.counts[type(outcome).__name__] += 1
        self._input(lambda _, now_ms: self.core.on_settled(write, outcome, now_ms), None)

    def _probe(self, probe: Probe) -> None:
        open_probes, breaks = [True], self.link.breaks

        def on_answer(answered: bool) -> None:
            if open_probes:
                open_probes.clear()
                answered = answered and self.link.breaks == breaks
                self._input(lambda _, now_ms: cast(Probing, self.core).on_probed(probe, answered, now_ms), None)

        self.link.send("up", self.parts.server.probe, self, partial(self.handle, on_answer, True))
        self.later(probe.timeout_ms * MS, on_answer, False)

    def _ask(self, ask: Ask) -> None:
        open_asks = [True]

        def on_reply(reply: Reply | None) -> None:
            if open_asks:
                open_asks.clear()
                self._input(lambda _, now_ms: self.core.on_reply(ask, reply, now_ms), None)

        self.link.send("up", self.parts.server.request, self, ask.request, partial(self.handle, on_reply))
        self.later(ask.timeout_ms * MS, on_reply, None)
