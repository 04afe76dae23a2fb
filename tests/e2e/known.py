"""What tests write into the log themselves, so that they know what is in it."""

import asyncio

from libs.bus.nats import connect
from libs.events import Event, HostId, HostSpec, HostUp, MapName, Region
from libs.hosting.effects import Append, Committed
from libs.runtime.clock import Clock

SPEC = HostSpec(
    cpu_ghz=4.0,
    cpu_cores=8,
    free_ram_mb=16_000.0,
    net_mbps=500.0,
    latency_ms=5.0,
    jitter_ms=1.0,
    packet_rate=1_000.0,
    region_rtt_ms={Region("eu"): 5.0},
)


def host_up(name: str) -> HostUp:
    return HostUp(
        host=HostId(name),
        account_id=7,
        at_ms=Clock().now_ms(),
        spec=SPEC,
        region=Region("eu"),
        network="n1",
        reach="direct",
        disconnects_ms=[],
        slots=8,
        draining=False,
        trust=0.9,
        ready_maps=[MapName("a_fild01")],
        failed_maps=[],
    )


def say(url: str, *events: Event) -> None:
    """Write these into the log."""

    async def write() -> None:
        bus = await connect(url, name="test")
        for event in events:
            assert isinstance(await bus.append(Append(event, None)), Committed)
        await bus.close()

    asyncio.run(write())
