"""python -m services.agent, or: kafra agent."""

import argparse
import random
import sys
from pathlib import Path

from libs.bus.nats import connect
from libs.events import HostId, Region, is_name
from libs.runtime.clock import Clock
from libs.runtime.service import notify_ready, run_loop, stop_on_signals
from libs.runtime.telemetry import start_logging
from services.agent.core import Agent, Identity, Measured
from services.agent.machine import NoMapServers, RealMachine
from services.agent.ports import MapServers, Metrics
from services.agent.settings import AgentSettings
from services.agent.shell import AgentShell

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


async def life(settings: AgentSettings) -> int:
    """The agent until SIGTERM: then it says goodbye, waits for its maps to be taken, and ends. Exit code 0."""
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
        inbox_prefix=f"_INBOX_{settings.host_id}",
    )
    try:
        identity = Identity(HostId(settings.host_id), settings.account_id, Region(settings.region))
        shell = AgentShell(Agent(identity), bus, metrics, servers, Clock())
        notify_ready()
        await shell.run(stopped)
    finally:
        await bus.close()
    return 0


def parse(arguments: list[str]) -> AgentSettings:
    """Exits 2 with what is allowed where an argument is wrong."""
    parser = argparse.ArgumentParser(
        prog="kafra agent",
        description="Offers this machine as a host of maps.",
        epilog="Example: kafra agent --nats nats://play.example.org:4222 --host-id my_pc --simulate",
    )
    parser.add_argument("--nats", default="nats://127.0.0.1:4222", help="where NATS listens")
    parser.add_argument("--host-id", required=True, help="this host's name: 1-32 of A-Z a-z 0-9 _ @ -")
    parser.add_argument("--seed", type=Path, help="file with the host's nkey seed, as given by the operator")
    parser.add_argument("--account", type=int, default=0, help="your account id in the game")
    parser.add_argument("--region", default="vps", help="the relay region you are in")
    parser.add_argument("--address", help="address at which players reach this machine; none: not known")
    parser.add_argument("--port", type=int, default=6121, help="port of the same")
    parser.add_argument("--simulate", action="store_true", help="a made-up strong machine with made-up map-servers")
    given = parser.parse_args(arguments)
    if not is_name(given.host_id) or not is_name(given.region):
        parser.error("--host-id and --region: 1-32 of A-Z a-z 0-9 _ @ -")
    if not 0 <= given.account < 2**32:
        parser.error("--account: 0 to 4294967295")
    if not 0 <= given.port < 65536:
        parser.error("--port: 0 to 65535")
    return AgentSettings(
        url=given.nats,
        host_id=given.host_id,
        account_id=given.account,
        region=given.region,
        seed=given.seed,
        address=given.address,
        port=given.port,
        simulate=given.simulate,
    )


def main(arguments: list[str]) -> int:
    settings = parse(arguments)
    start_logging(f"agent/{settings.host_id}", "info")
    return run_loop(life(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
