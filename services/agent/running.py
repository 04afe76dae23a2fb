"""kafra agent run: this machine as a host, until it is told to end."""

import argparse
import random
import sys

from libs.bus.nats import connect
from libs.config import ConfigError
from libs.events import HostId, Region
from libs.identity.permissions import inbox_prefix
from libs.runtime.clock import Clock
from libs.runtime.service import EXIT_FINDING, notify_ready, run_loop, stop_on_signals
from libs.runtime.telemetry import start_logging
from services.agent.core import Agent, Identity, Measured
from services.agent.machine import NoMapServers, RealMachine
from services.agent.ports import MapServers, Metrics
from services.agent.settings import AgentSettings, add_flags, settings_of
from services.agent.shell import AgentShell

EXAMPLES = """commands:
  run      this machine as a host (also without a command)
  enroll   make this host's key; once, before the first run

examples:
  kafra agent --nats nats://play.example.org:4222 --host-id my_pc --seed my_pc.seed --account 2000001
  kafra agent --config agent.toml
  kafra agent --host-id lab_1 --simulate          a made-up host, for labs (kafra up --open)
"""
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
    """The agent until SIGTERM: then it says goodbye, waits for its maps to be taken, and ends. Exit code 0."""
    assert settings.host_id is not None
    metrics: Metrics = RealMachine(settings.address, settings.port)
    servers: MapServers = NoMapServers()
    if settings.simulate:
        from services.agent.simulated import SimulatedMachine, SimulatedMapServers

        rng = random.Random(settings.host_id)
        metrics, servers = SimulatedMachine(STRONG_MACHINE, rng), SimulatedMapServers(rng)
    stopped = stop_on_signals()
    bus = await connect(
        settings.url,
        name=settings.host_id,
        credentials=settings.seed,
        inbox_prefix=inbox_prefix(settings.host_id),
        ca=settings.ca,
    )
    try:
        identity = Identity(HostId(settings.host_id), settings.account_id, Region(settings.region))
        shell = AgentShell(Agent(identity), bus, metrics, servers, Clock())
        notify_ready()
        await shell.run(stopped)
    finally:
        await bus.close()
    return 0
