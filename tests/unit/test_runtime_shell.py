"""libs/runtime/shell.py: what a process notices of itself before it lets its core decide."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from libs.bus.memory import MemoryServer
from libs.events import HostId, HostLost
from libs.hosting.effects import Effect, Probe
from libs.runtime.clock import Clock
from libs.runtime.shell import Shell
from libs.runtime.telemetry import Counters, Telemetry

HINT = HostLost(host=HostId("h1"), at_ms=1, link="l")


class Core:
    """Writes down what it is told, in order. effects: to be returned by the next step."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.effects: list[Effect] = []

    def step(self, now_ms: int) -> list[Effect]:
        if not self.told or self.told[-1] != "step":
            self.told.append("step")
        effects, self.effects = self.effects, []
        return effects

    def on_lease(self, number: int, now_ms: int) -> None:
        self.told.append(f"lease {number}")

    def on_gap(self, now_ms: int) -> None:
        self.told.append("gap")

    def on_heard(self, event: Any, now_ms: int) -> None:
        self.told.append("heard")

    def on_probed(self, probe: Probe, answered: bool, now_ms: int) -> None:
        self.told.append("answered" if answered else "unanswered")

    def on_fact(self, fact: Any, now_ms: int) -> None: ...
    def on_caught_up(self, now_ms: int) -> None: ...
    def on_settled(self, write: Any, outcome: Any, now_ms: int) -> None: ...
    def on_reply(self, ask: Any, reply: Any, now_ms: int) -> None: ...


class Running:
    """A core in a shell on a bus in memory; `now_s`: the clock of its leases."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.core = Core()
        self.server = MemoryServer(clock_s=lambda: self.now_s)
        self.bus = self.server.connect("one")
        self.shell = Shell(self.core, self.bus, Clock(), Counters(), Telemetry("one", False))


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = Running()
    await made.bus.hear(HostLost, made.shell.on_heard)
    task = asyncio.create_task(made.shell.run())
    yield made
    made.shell.stop()
    await task
    assert await made.shell.drained(5)
    await made.bus.close()


async def test_a_connection_that_broke_and_came_back_between_two_looks_is_a_gap(
    running: Running, eventually: Callable[..., Any]
):
    await eventually(lambda: running.core.told == ["step"])

    running.server.stop()
    running.server.start()
    running.server.connect("other").say(HINT)
    await eventually(lambda: "heard" in running.core.told)
    await eventually(lambda: running.core.told[-1] == "step")

    assert running.core.told == ["step", "heard", "gap", "step"]


async def test_a_gap_is_told_when_the_connection_is_back_and_once(running: Running, eventually: Callable[..., Any]):
    running.server.stop()
    running.shell.wake()
    await eventually(lambda: running.core.told == ["step"])
    running.server.start()
    await eventually(lambda: "gap" in running.core.told)
    running.shell.wake()
    await eventually(lambda: running.core.told[-1] == "step")

    assert running.core.told == ["step", "gap", "step"]


async def test_a_process_that_slept_longer_than_its_lease_knows_before_it_decides(
    running: Running, eventually: Callable[..., Any]
):
    running.shell.use_lease(await running.bus.lease("registry", 2.0))
    await eventually(lambda: "lease 1" in running.core.told)
    running.server.connect("other").say(HINT)
    running.now_s += 5.0  # as if it had been paused: the word was in its socket, and its lease has ended meanwhile
    await eventually(lambda: "lease 0" in running.core.told)
    await eventually(lambda: running.core.told[-1] == "step")

    after = running.core.told[running.core.told.index("heard") :]
    assert after[:3] == ["heard", "lease 0", "step"]


async def test_a_probe_is_answered_after_all_that_was_on_its_way(running: Running, eventually: Callable[..., Any]):
    running.server.connect("other").say(HINT)
    running.core.effects = [Probe(timeout_ms=1_000)]
    running.shell.wake()
    await eventually(lambda: "answered" in running.core.told)

    assert running.core.told.index("heard") < running.core.told.index("answered")


async def test_a_probe_without_a_server_is_unanswered(running: Running, eventually: Callable[..., Any]):
    running.server.stop()
    running.core.effects = [Probe(timeout_ms=1_000)]
    running.shell.wake()

    await eventually(lambda: "unanswered" in running.core.told)
