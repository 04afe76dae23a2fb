"""kafra agent run: this machine as a host, until it is told to end."""

import argparse
import asyncio
import logging
import random
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from libs.bus.errors import BusUnavailable, CredentialsRefused
from libs.bus.nats import NatsBus, connect
from libs.config import ConfigError
from libs.events import HostId, Region
from libs.events.names import RUNS
from libs.identity.permissions import inbox_prefix
from libs.runtime.clock import Clock
from libs.runtime.log import start_logging
from libs.runtime.loop import EXIT_DONE, EXIT_FINDING, notify_ready, run_loop, stop_on_signals, unless
from services.agent.bundle_keeper import Keeper
from services.agent.bundle_store import Store, default_root
from services.agent.bundle_supply import Supply
from services.agent.core import Agent, Identity, Measured
from services.agent.dialing import Dialing, Limits
from services.agent.guests import Guests
from services.agent.hosting import Hosting, default_directory
from services.agent.machine import RealMachine
from services.agent.ports import MapServers, Metrics
from services.agent.seen import Seen, Server, said_of
from services.agent.settings import USAGE, AgentSettings, add_flags, settings_of
from services.agent.shell import AgentShell
from services.agent.vigil import Vigil

EXAMPLES = """commands:
  run      this machine as a host (also without a command)
  doctor   would this machine be accepted, and why not: kafra agent doctor --help
  enroll   make this host's key; once, before the first run
  bundle   the server's files that maps are run with: kafra agent bundle --help
  status   what the agent here does, what it costs, how good it is; --open: its page
  pause    hosts nothing until `resume`, or for a while: kafra agent pause --for 2h
  resume   the end of a pause

Example: kafra agent --nats nats://play.example.org:4222 --host-id my_pc --seed my_pc.seed --account 2000001
  kafra agent --config agent.toml
  kafra agent --host-id lab_1 --simulate          a made-up host, for labs (kafra up --open)
"""
CONNECT_TIMEOUT_S = 5.0
CONNECT_AGAIN_S_MIN = 0.25
CONNECT_AGAIN_S_MAX = 15.0
"""Between two tries, each of which takes up to CONNECT_TIMEOUT_S itself: a server that is back is found within 20 s."""
NOWHERE = "no bundle is here, and no bundle_url is known"
_LOG = logging.getLogger(__name__)
STRONG_MACHINE = Measured(
    address="198.51.100.10",
    port=6121,
    cpu_ghz=4.2,
    cpu_cores=16,
    free_ram_mb=24_000.0,
    net_mbps=900.0,
    latency_ms=8.0,
    jitter_ms=1.5,
    packet_rate=2_000.0,
    bundle="simulated-1",
)
"""What `--simulate` makes up; the address is of a documentation range (RFC 5737)."""


def main(arguments: list[str]) -> int:
    """Exit codes: 0 ended as asked, 1 the file or the identity is wrong, 2 an argument is."""
    try:
        settings = parse(arguments)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FINDING
    start_logging(f"agent/{settings.host_id}", "info")
    return run_loop(life(settings))


def parse(arguments: list[str]) -> AgentSettings:
    """Exits 2 with what is allowed where an argument is wrong.

    Raises:
        ConfigError: the file is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="kafra agent",
        usage=USAGE.format("kafra agent"),
        description="Offers this machine as a host of maps.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    settings = settings_of(parser, parser.parse_args(arguments))
    if settings.host_id is None:
        parser.error("--host-id is missing, and no file names a host_id")
    return settings


async def life(settings: AgentSettings) -> int:
    """The agent until SIGTERM: then it says goodbye, waits for its maps to be taken, and ends. Exit code 0.

    Raises:
        AuthorizationFailed: the server does not accept this identity.
        Displaced: another agent has it.
    """
    seen = Seen(settings)
    await seen.start()
    try:
        return await _host(settings, seen)
    finally:
        await seen.close()


async def _host(settings: AgentSettings, seen: Seen) -> int:
    assert settings.host_id is not None
    stopped = stop_on_signals()
    clock, rng = Clock(), random.Random()
    identity = Identity(HostId(settings.host_id), settings.account_id, Region(settings.region))
    parts = await _parts(settings, identity.host, clock, rng)
    if (bus := await unless(stopped, connect_patiently(settings, rng))) is None:
        return EXIT_DONE
    try:
        agent = Agent(identity, rng.randrange(RUNS))
        shell = parts.shell(agent, bus, clock, lambda: seen.paused)
        seen.attach(parts.seen(agent, bus, shell))
        bus.on_change(lambda up: shell.beat_soon() if up else None)
        notify_ready()
        _LOG.info("%s is at the server", identity.host)
        vigil = Vigil(bus, settings.url, parts.metrics.on_other_path, shell.beat_soon)
        await _first_of(shell.run(stopped), vigil.run(), seen.watch(), *parts.beside())
    finally:
        await bus.close()
        if parts.dialing is not None:
            await parts.dialing.close()
    _LOG.info("ended")
    return EXIT_DONE


async def connect_patiently(settings: AgentSettings, rng: random.Random) -> NatsBus:
    """NATS may be absent for long: it is tried for ever, more and more rarely, and its absence is said once.

    Raises:
        AuthorizationFailed: the server does not accept the credentials, or their file cannot be used.
    """
    assert settings.host_id is not None
    wait_s = CONNECT_AGAIN_S_MIN
    while True:
        try:
            return await connect(
                settings.url,
                name=settings.host_id,
                credentials=settings.seed,
                inbox_prefix=inbox_prefix(settings.host_id),
                ca=settings.ca,
                connect_timeout_s=CONNECT_TIMEOUT_S,
            )
        except BusUnavailable as error:
            if wait_s == CONNECT_AGAIN_S_MIN:
                _LOG.warning("%s; trying until there is one", error)
        except CredentialsRefused as error:
            raise CredentialsRefused(f"{error}: {_advice(settings)}") from None
        await asyncio.sleep(wait_s * rng.uniform(0.5, 1.0))
        wait_s = min(CONNECT_AGAIN_S_MAX, wait_s * 2)


def _advice(settings: AgentSettings) -> str:
    if settings.seed is None:
        return "this agent has no key: kafra agent enroll makes one, --seed names it"
    return "does the operator have the line that `kafra agent enroll` shows, and is this the seed of that host?"


@dataclass(frozen=True)
class _Parts:
    """hosting: runs maps in truth, None on a made-up machine. dialing: brings it players. keeper: of the operator's bundle,
    where the player was told of one."""

    metrics: Metrics
    servers: MapServers
    hosting: Hosting | None = None
    dialing: Dialing | None = None
    keeper: Keeper | None = None

    def shell(self, agent: Agent, bus: NatsBus, clock: Clock, paused: Callable[[], bool]) -> AgentShell:
        link = self.hosting.link if self.hosting is not None else None
        look: Callable[[], None] = self.keeper.look if self.keeper is not None else lambda: None
        hosting, away = self.hosting, paused
        if hosting is not None:
            away = lambda: paused() or not hosting.able  # noqa: E731
        shell = AgentShell(
            agent, bus, self.metrics, self.servers, clock, link, dials=self.dialing, on_other_bundle=look, away=away
        )
        if hosting is not None:
            hosting.on_need, hosting.on_trouble = shell.beat_soon, look
        return shell

    def seen(self, agent: Agent, bus: NatsBus, shell: AgentShell) -> Server:
        """What the player looks at."""
        if (hosting := self.hosting) is None:
            return Server(agent, bus, self.metrics.measure, shell.beat_soon)
        return Server(
            agent,
            bus,
            self.metrics.measure,
            shell.beat_soon,
            link=lambda: report.linked if (report := hosting.link.report) is not None else None,
            able=lambda: hosting.able,
            troubles=self._troubles,
            statuses=hosting.statuses,
            guests=self.dialing.guests if self.dialing is not None else Guests,
        )

    def _troubles(self) -> list[str]:
        """What keeps this machine from serving maps, or from serving them with the operator's newest bundle."""
        assert self.hosting is not None
        bundle = self.keeper.trouble if self.keeper is not None else None
        if self.keeper is None and self.hosting.version is None:
            bundle = NOWHERE
        return [why for why in (self.hosting.told, bundle) if why is not None]

    def beside(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What runs as long as the shell."""
        if (hosting := self.hosting) is not None:
            yield hosting.run()
            if self.keeper is not None:
                yield self.keeper.run(lambda: hosting.serving)


async def _parts(settings: AgentSettings, host: HostId, clock: Clock, rng: random.Random) -> _Parts:
    """This machine, or a made-up one."""
    if settings.simulate:
        from services.agent.simulated import SimulatedMachine, SimulatedMapServers

        seeded = random.Random(settings.host_id)
        return _Parts(SimulatedMachine(STRONG_MACHINE, seeded), SimulatedMapServers(seeded))
    store, key = Store(settings.bundle_store or default_root()), settings.bundle_key
    hosting = Hosting(host, Supply(store, key), settings.maps_dir or default_directory(), clock, rng)
    keeper = None
    if settings.bundle_url is not None and key is not None:
        keeper = Keeper(settings.bundle_url, key, store, rng, settings.ca, hosting.look)
    await hosting.look_through()
    if keeper is None and hosting.version is None:
        _LOG.warning("no map can be served: %s", NOWHERE)
    dialing = Dialing(host, hosting.link, hosting, Limits(settings.players_max, settings.mbps_max))
    address, port = hosting.public = await _public(settings, dialing)
    machine = RealMachine(address or None, port, clock, rng, lambda: hosting.version, lambda: _refused(hosting, keeper))
    await machine.measure_clock()
    return _Parts(machine, hosting, hosting, dialing, keeper)


def _refused(hosting: Hosting, keeper: Keeper | None) -> str | None:
    """For the operator: why no map can be served, or why the newest bundle was not taken. Where none is here the latter says
    more, and nothing is said before the first was asked for."""
    if keeper is None:
        return hosting.refused
    if hosting.version is None:
        return keeper.refused or (hosting.refused if keeper.trouble is not None else None)
    return hosting.refused or keeper.refused


async def _public(settings: AgentSettings, dialing: Dialing) -> tuple[str, int]:
    """Where relays may come; nowhere ("", 0), which is told to nobody, unless the port can be had."""
    if settings.address is None:
        return "", 0
    try:
        return settings.address, await dialing.listen(settings.port)
    except OSError as error:
        why = said_of(error)
        _LOG.warning("port %d: %s; players come by connections of ours instead", settings.port, why)
        return "", 0


async def _first_of(*work: Coroutine[Any, Any, None]) -> None:
    """Until one ends; an error of any ends all."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
