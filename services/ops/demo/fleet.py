"""The demo's simulated hosts: real agents (services.agent) on made-up machines, each with its own connection, in one process.

    python -m services.ops.demo.fleet --nats URL --count 200 --seed 1 --calm-after 37
    python -m services.ops.demo.fleet --nats URL --count 500 --steady      fit machines that stay, and no hostile peer

Some leave and come back, some vanish, some cheat in checks, one peer speaks in others' names. After `calm-after` seconds
nothing more goes wrong, so that the run can end in quiet.
"""

import argparse
import asyncio
import contextlib
import random
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from libs.bus.errors import BusUnavailable
from libs.bus.nats import connect
from libs.events import HostCheck, HostCheckReply, Region, encode
from libs.events.names import RUNS
from libs.runtime.clock import Clock
from libs.runtime.log import start_logging
from libs.runtime.loop import notify_ready, run_loop, stop_on_signals
from libs.runtime.process import end_with_parent
from services.agent.core import Agent, Identity
from services.agent.shell import AgentShell
from services.agent.simulated import SimulatedMachine, SimulatedMapServers
from services.ops.demo.machines import Machine, Temper, machines
from services.ops.demo.walker import REGION_WEIGHTS

CONNECT_TIMEOUT_S = 15.0
ARRIVE_S = 4.0
"""Machines come one after the other within this time."""
STAY_S = {Temper.LEAVER: (8.0, 20.0), Temper.CRASHER: (6.0, 20.0)}
AWAY_S = (3.0, 8.0)
REGIONS = [Region(region) for region in REGION_WEIGHTS]
MADE_MORE = 20
FAIL_RATIO = 0.01
"""Share of simulated map-servers that fail to start."""


@dataclass(frozen=True)
class FleetOptions:
    url: str
    count: int
    seed: int
    calm_after_s: float
    steady: bool = False


class CheatingAgent(Agent):
    """Claims work it has not done: its proofs are wrong."""

    def answer(self, check: HostCheck) -> HostCheckReply:
        return HostCheckReply(proof=super().answer(check).proof[::-1])


class Guest:
    """One simulated host's comings and goings."""

    def __init__(self, machine: Machine, options: FleetOptions, rng: random.Random, calm: asyncio.Event) -> None:
        self._machine, self._options, self._rng, self._calm = machine, options, rng, calm

    async def live(self, stopped: asyncio.Event) -> None:
        """Connect and serve, again and again as its temper has it, until stopped."""
        await _sleep(self._rng.uniform(0, ARRIVE_S), stopped)
        while not stopped.is_set():
            try:
                await self._stay(stopped)
            except BusUnavailable:
                continue  # NATS is away; connect waited already
            if not stopped.is_set():
                await _sleep(self._rng.uniform(*AWAY_S), stopped)

    async def _stay(self, stopped: asyncio.Event) -> None:
        machine = self._machine
        bus = await connect(self._options.url, name=machine.host, connect_timeout_s=CONNECT_TIMEOUT_S)
        leaving = asyncio.Event()
        kind = CheatingAgent if machine.temper is Temper.CHEAT else Agent
        agent = kind(Identity(machine.host, machine.account_id, machine.region), self._rng.randrange(RUNS))
        servers = SimulatedMapServers(self._rng, FAIL_RATIO)
        shell = AgentShell(agent, bus, SimulatedMachine(machine.measured(), self._rng), servers, Clock())
        serving = asyncio.ensure_future(shell.run(leaving))
        ending = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait({serving, ending}, timeout=self._stay_s(), return_when=asyncio.FIRST_COMPLETED)
            if not stopped.is_set() and machine.temper is Temper.LEAVER:
                leaving.set()
                await serving
        finally:
            for task in (serving, ending):
                task.cancel()
            await asyncio.gather(serving, ending, return_exceptions=True)
            await bus.close()

    def _stay_s(self) -> float | None:
        """Until it leaves or vanishes; None: it stays."""
        span = STAY_S.get(self._machine.temper)
        return None if span is None or self._calm.is_set() else self._rng.uniform(*span)


async def vandalise(url: str, fleet: list[Machine], rng: random.Random, calm: asyncio.Event) -> None:
    """A hostile peer on a bare socket: bodies that are no events, and heartbeats in others' names."""
    at = urlsplit(url)
    while not calm.is_set():
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(at.hostname, at.port)
            victim, other = rng.sample(fleet, 2) if len(fleet) > 1 else (fleet[0], fleet[0])
            forged = encode(Agent(Identity(victim.host, victim.account_id, victim.region)).metrics(victim.measured(), {}, 0))
            noise = rng.randbytes(200)
            writer.write(b'CONNECT {"verbose":false}\r\n')
            for subject, body in ((f"host.metrics.{other.host}x", forged), (f"host.metrics.{other.host}", noise)):
                writer.write(f"PUB {subject} {len(body)}\r\n".encode() + body + b"\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await _sleep(2.0, calm)


async def life(options: FleetOptions) -> int:
    rng = random.Random(options.seed)
    stopped, calm = stop_on_signals(), asyncio.Event()
    fleet = _steady(options.count, rng) if options.steady else machines(options.count, REGIONS, rng)
    guests = [Guest(machine, options, random.Random(f"{options.seed}/{machine.host}"), calm) for machine in fleet]
    asyncio.get_running_loop().call_later(options.calm_after_s, calm.set)
    notify_ready()
    async with asyncio.TaskGroup() as group:
        for guest in guests:
            group.create_task(guest.live(stopped))
        if not options.steady:
            group.create_task(vandalise(options.url, fleet, rng, calm))
    return 0


def _steady(count: int, rng: random.Random) -> list[Machine]:
    """Fit machines that neither leave nor cheat: most that are made are such."""
    made = machines(2 * count + MADE_MORE, REGIONS, rng)
    return [machine for machine in made if machine.weakness is None and machine.temper is Temper.STEADY][:count]


async def _sleep(seconds: float, unless: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(unless.wait(), seconds)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nats", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calm-after", type=float, default=37.0)
    parser.add_argument("--steady", action="store_true", help="nobody leaves, vanishes, cheats or is unfit")
    given = parser.parse_args(arguments)
    end_with_parent()
    start_logging("fleet", "warning")
    return run_loop(life(FleetOptions(given.nats, given.count, given.seed, given.calm_after, given.steady)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
