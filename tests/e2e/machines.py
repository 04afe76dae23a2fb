"""Simulated hosts for tests: the real agent's core and shell, each on a connection of its own, on a made-up machine."""

import asyncio
import random

from libs.bus.nats import NatsBus, connect
from libs.events import HostCheck, HostCheckReply, HostId, Region
from libs.runtime.clock import Clock
from services.agent.core import Agent, Identity, Measured
from services.agent.shell import AgentShell
from services.agent.simulated import SimulatedMachine, SimulatedMapServers

CONNECT_TIMEOUT_S = 15.0


class TurningAgent(Agent):
    """Answers checks rightly while `honest`."""

    honest = True

    def answer(self, check: HostCheck) -> HostCheckReply:
        right = super().answer(check)
        return right if self.honest else HostCheckReply(proof=right.proof[::-1])


class SimulatedHost:
    """`come`, and `leave` with a goodbye or `vanish` without. number: chooses its address and its noise."""

    def __init__(self, url: str, name: str, *, region: str = "eu", cores: int = 16, number: int = 1) -> None:
        self.url, self.id, self._region = url, HostId(name), Region(region)
        self.agent = TurningAgent(Identity(self.id, number, self._region))
        self._rng = random.Random(name)
        self._measured = Measured(
            address=f"203.0.113.{number}",
            port=6121,
            cpu_ghz=4.0,
            cpu_cores=cores,
            free_ram_mb=24_000.0,
            net_mbps=900.0,
            latency_ms=8.0,
            jitter_ms=1.5,
            packet_rate=2_000.0,
            bundle="simulated-1",
        )
        self._bus: NatsBus | None = None
        self._leaving = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def come(self) -> None:
        """A new connection and a new life of the agent."""
        assert self._running is None, f"{self.id} is here already"
        honest, self.agent = self.agent.honest, TurningAgent(self.agent.identity)
        self.agent.honest = honest
        self._bus = await connect(self.url, name=self.id, connect_timeout_s=CONNECT_TIMEOUT_S)
        self._leaving = asyncio.Event()
        servers = SimulatedMapServers(self._rng)
        shell = AgentShell(self.agent, self._bus, SimulatedMachine(self._measured, self._rng), servers, Clock())
        self._running = asyncio.create_task(shell.run(self._leaving), name=f"agent {self.id}")

    async def leave(self) -> None:
        """Says goodbye and waits for its maps to be taken."""
        self._leaving.set()
        if self._running is not None:
            await self._running
        await self.vanish()

    async def vanish(self) -> None:
        """Gone without a word."""
        running, bus, self._running, self._bus = self._running, self._bus, None, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if bus is not None:
            await bus.close()
