"""Drives one core over a bus: inputs in, `step`, effects out. Knows neither NATS nor what the service does.

A bug in a core – any exception – ends the process: it starts again and rebuilds from the log, which is its only state.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from libs.bus.errors import BusUnavailable
from libs.bus.port import Bus, Connection, Lease
from libs.events import Event, Fact, Reply
from libs.hosting.effects import (
    Answering,
    Append,
    Ask,
    Committed,
    Core,
    Effect,
    InDoubt,
    Outcome,
    Probe,
    Probing,
    Refused,
)
from libs.runtime.clock import Clock
from libs.runtime.garbage import collect_seldom
from libs.runtime.telemetry import Counters, Telemetry

TICK_S = 0.05
"""How often a core is stepped without any input; time alone moves it this exactly."""
ASKS_MAX = 256
"""Requests waiting for an answer at once; a core that wants more is wrong."""
_LOG = logging.getLogger(__name__)


class Watching(Protocol):
    """A core that is told whose connection to the bus begins and ends, too."""

    def on_connection(self, connection: Connection, now_ms: int) -> None: ...


class Shell:
    """`core` on `bus`. `crashed` is set when the core failed; `run` then raises its error."""

    def __init__(self, core: Core, bus: Bus, clock: Clock, counters: Counters, telemetry: Telemetry) -> None:
        self._core, self._bus, self._clock = core, bus, clock
        self.counters, self._telemetry = counters, telemetry
        self._loop = asyncio.get_running_loop()
        self._stepping = False
        self._stopping = False
        self._in_flight = 0
        self._empty = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._crash: asyncio.Future[None] = self._loop.create_future()
        self._lease: Lease | None = None
        self._number = 0
        self._breaks = bus.breaks
        collect_seldom()

    def on_fact(self, fact: Fact) -> None:
        self.counters.facts += 1
        self._input(self._core.on_fact, fact)

    def on_heard(self, event: Event) -> None:
        self.counters.heard += 1
        self._input(self._core.on_heard, event)

    def on_connection(self, connection: Connection) -> None:
        """For a core that is `Watching`."""
        self.counters.heard += 1
        self._input(cast(Watching, self._core).on_connection, connection)

    async def on_asked(self, request: Event) -> Reply | None:
        """The answer of a core that is `Answering`; none once it failed."""
        self.counters.heard += 1
        try:
            return cast(Answering, self._core).on_asked(request, self._clock.now_ms())
        except Exception as error:  # noqa: BLE001 - the middleware
            self._fail(error)
            return None

    def on_caught_up(self) -> None:
        collect_seldom()
        self._input_now(self._core.on_caught_up)

    def wake(self) -> None:
        """Something else than the bus gave the core an input."""
        self._step_soon()

    def use_lease(self, lease: Lease) -> None:
        self._lease = lease

    async def run(self) -> None:
        """Steps the core until `stop`; raises what a core raised."""
        while not self._stopping:
            self._step()
            await asyncio.wait({self._crash}, timeout=TICK_S)
            if self._crash.done():
                self._crash.result()

    def stop(self) -> None:
        """No more decisions; what is in flight may settle."""
        self._stopping = True

    async def drained(self, timeout_s: float) -> bool:
        """Whether every write settled within timeout_s."""
        if self._in_flight:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), timeout_s)
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        return self._in_flight == 0

    def _input(self, handler: Callable[[Any, int], None], item: Any) -> None:
        try:
            handler(item, self._clock.now_ms())
        except Exception as error:  # noqa: BLE001 - the middleware: a bug in a core ends the process
            self._fail(error)
        if not self._stepping:
            self._step_soon()

    def _input_now(self, handler: Callable[[int], None]) -> None:
        self._input(lambda _, now_ms: handler(now_ms), None)

    def _step_soon(self) -> None:
        """One step for all the inputs of this turn of the loop."""
        if not self._stepping and not self._stopping:
            self._stepping = True
            self._bus.soon(self._step)

    def _step(self) -> None:
        self._stepping = False
        if self._stopping or self._crash.done():
            return
        self.counters.steps += 1
        try:
            self._take_notice()
            for effect in self._core.step(self._clock.now_ms()):
                self._perform(effect)
            self._bus.flush()
        except Exception as error:  # noqa: BLE001 - the middleware
            self._fail(error)

    def _take_notice(self) -> None:
        """Of the lease and of our own connection, before every step: a process that was paused must not speak as the holder it
        was, and a connection that broke and came back between two looks has missed something all the same."""
        held = self._lease.number if self._lease is not None else 0
        if held != self._number:
            self._number = held
            _LOG.info("lease %s", f"held, number {held}" if held else "not held")
            self._core.on_lease(held, self._clock.now_ms())
        if self._bus.connected and self._bus.breaks != self._breaks:
            self._breaks = self._bus.breaks
            self._core.on_gap(self._clock.now_ms())

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Append):
            self._append(effect)
        elif isinstance(effect, Ask):
            self._ask_soon(self._ask(effect))
        elif isinstance(effect, Probe):
            self._ask_soon(self._probe(effect))
        else:
            self.counters.said += 1
            self._bus.say(effect.event)

    def _append(self, write: Append) -> None:
        self._in_flight += 1
        if write.trace is None:
            self._bus.submit(write, self._on_settled)
            return
        span, handed_on = self._telemetry.span(write.event.declaration.name, write.trace)
        sent = Append(write.event, write.expected, write.scope, handed_on)

        def settled(_: Append, outcome: Outcome) -> None:
            if span is not None:
                span.set_attribute("outcome", type(outcome).__name__)
                span.end()
            self._on_settled(write, outcome)

        self._bus.submit(sent, settled)

    def _on_settled(self, write: Append, outcome: Outcome) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._empty.set()
        if isinstance(outcome, Committed):
            self.counters.committed += 1
        elif isinstance(outcome, Refused):
            self.counters.refused += 1
        elif isinstance(outcome, InDoubt):
            self.counters.in_doubt += 1
            _LOG.warning("in doubt: %s: %s", write.event.declaration.name, outcome.reason)
        try:
            self._core.on_settled(write, outcome, self._clock.now_ms())
        except Exception as error:  # noqa: BLE001 - the middleware
            self._fail(error)
        self._step_soon()

    def _ask_soon(self, asking: Coroutine[Any, Any, None]) -> None:
        self.counters.asked += 1
        assert len(self._asking) < ASKS_MAX, "the core asks without bound"
        task = self._loop.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _probe(self, probe: Probe) -> None:
        breaks = self._bus.breaks
        try:
            await self._bus.ping(probe.timeout_ms / 1000)
            answered = self._bus.breaks == breaks  # by the connection on which all else would have come
        except BusUnavailable:
            answered = False
        core = cast(Probing, self._core)
        self._input(lambda _, now_ms: core.on_probed(probe, answered, now_ms), None)

    async def _ask(self, ask: Ask) -> None:
        reply: Reply | None = await self._bus.ask(ask.request, ask.timeout_ms / 1000)
        self.counters.unanswered += reply is None
        self._input(lambda _, now_ms: self._core.on_reply(ask, reply, now_ms), None)

    def _fail(self, error: BaseException) -> None:
        if not self._crash.done():
            self._crash.set_exception(error)
