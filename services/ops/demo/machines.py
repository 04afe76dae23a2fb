"""Simulated host machines for the demo, named so: most fit, some below one requirement each, a few of bad temper.

In: how many, the regions, a seeded `random.Random`. Out: `Machine`s. Pure.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_network
from itertools import chain, cycle, islice

from libs.events import HostId, Region
from services.agent.core import Measured
from services.ops.demo.players import WALKER_ACCOUNT_FIRST

PORT = 6121
BUNDLE = "simulated-1"
WEAK_RATIO = 0.15
TEMPER_RATIOS = {"leaver": 0.05, "crasher": 0.05, "cheat": 0.03}
UNMEASURED_RATIO = 0.04
"""Machines whose packet rate nobody measured yet."""
FAR_RTT_MS = {
    frozenset({"eu", "na"}): 95.0,
    frozenset({"eu", "sa"}): 195.0,
    frozenset({"eu", "asia"}): 180.0,
    frozenset({"na", "sa"}): 130.0,
    frozenset({"na", "asia"}): 155.0,
    frozenset({"sa", "asia"}): 290.0,
}
"""Typical round trips between regions over the public internet, ms; a pair not named: FAR_RTT_ELSE_MS."""
FAR_RTT_ELSE_MS = 150.0
SMALL_NETWORKS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")  # documentation, RFC 5737
LARGE_NETWORK = "198.18.0.0/15"  # benchmarking, RFC 2544


class Temper(StrEnum):
    """steady: stays. leaver: says goodbye and comes back. crasher: vanishes without a word, as often as is just allowed.
    cheat: claims a clock it has not."""

    STEADY = "steady"
    LEAVER = "leaver"
    CRASHER = "crasher"
    CHEAT = "cheat"


@dataclass(frozen=True, slots=True)
class Machine:
    """A simulated machine; units as host.metrics. cpu_ghz: as claimed. real_cpu_ghz: what a check finds. packet_rate: None:
    unmeasured. disconnects_per_hour: how often it vanishes without goodbye. weakness: the one requirement of
    `host_requirements` it does not meet, None for a fit machine."""

    host: HostId
    account_id: int
    address: str
    region: Region
    cpu_ghz: float
    real_cpu_ghz: float
    cpu_cores: int
    free_ram_mb: float
    net_mbps: float
    latency_ms: float
    jitter_ms: float
    packet_rate: float | None
    region_rtt_ms: dict[Region, float]
    disconnects_per_hour: float
    temper: Temper
    weakness: str | None

    def measured(self) -> Measured:
        """What its agent would measure."""
        return Measured(
            address=self.address,
            port=PORT,
            cpu_ghz=self.cpu_ghz,
            cpu_cores=self.cpu_cores,
            free_ram_mb=self.free_ram_mb,
            net_mbps=self.net_mbps,
            latency_ms=self.latency_ms,
            jitter_ms=self.jitter_ms,
            packet_rate=self.packet_rate,
            region_rtt_ms=dict(self.region_rtt_ms),
            bundle=BUNDLE,
        )


def machines(count: int, regions: Sequence[Region], rng: random.Random) -> list[Machine]:
    """`count` machines, the regions in turn. Of a hundred, 15 have a weakness, 5 leave, 5 crash and 3 cheat."""
    assert count >= 0
    assert regions
    order = list(range(count))
    rng.shuffle(order)
    weaknesses = dict(zip(order[: round(count * WEAK_RATIO)], cycle(WEAKENED), strict=False))
    rng.shuffle(order)
    tempers = dict(zip(order, chain.from_iterable([t] * round(count * r) for t, r in TEMPER_RATIOS.items()), strict=False))
    made = []
    for number, address in zip(range(count), _addresses(count), strict=True):
        machine = _fit(number, address, regions[number % len(regions)], regions, rng)
        machine = _tempered(machine, Temper(tempers.get(number, "steady")), rng)
        made.append(_weakened(machine, weaknesses[number], rng) if number in weaknesses else machine)
    return made


def _fit(number: int, address: str, region: Region, regions: Sequence[Region], rng: random.Random) -> Machine:
    """A machine that meets every requirement of the shipped configuration."""
    cpu_ghz = round(rng.uniform(3.0, 5.2), 1)
    latency_ms = round(rng.uniform(3.0, 27.0), 1)
    rtts = {other: latency_ms if other == region else _far_rtt_ms(region, other, latency_ms, rng) for other in regions}
    return Machine(
        host=HostId(f"sim-{region[:16]}-{number + 1:04d}"),
        account_id=WALKER_ACCOUNT_FIRST + number,
        address=address,
        region=region,
        cpu_ghz=cpu_ghz,
        real_cpu_ghz=cpu_ghz,
        cpu_cores=rng.choices((4, 6, 8, 12, 16), (20, 25, 30, 15, 10))[0],
        free_ram_mb=float(rng.choices((9, 12, 20, 26, 50), (20, 30, 25, 15, 10))[0] * 1024 + rng.randrange(-512, 512)),
        net_mbps=round(rng.choice((100.0, 150.0, 250.0, 500.0, 1000.0)) * rng.uniform(1.0, 1.08), 1),
        latency_ms=latency_ms,
        jitter_ms=round(rng.uniform(0.3, 9.0), 1),
        packet_rate=None if rng.random() < UNMEASURED_RATIO else round(rng.uniform(150.0, 2000.0)),
        region_rtt_ms=rtts,
        disconnects_per_hour=round(rng.uniform(0.0, 0.2), 2),
        temper=Temper.STEADY,
        weakness=None,
    )


def _far_rtt_ms(region: Region, other: Region, latency_ms: float, rng: random.Random) -> float:
    return round(FAR_RTT_MS.get(frozenset({region, other}), FAR_RTT_ELSE_MS) * rng.uniform(0.92, 1.15) + latency_ms, 1)


def _tempered(machine: Machine, temper: Temper, rng: random.Random) -> Machine:
    if temper is Temper.CHEAT:
        return replace(machine, temper=temper, real_cpu_ghz=round(machine.cpu_ghz * rng.uniform(0.3, 0.5), 1))
    if temper is Temper.CRASHER:
        return replace(machine, temper=temper, disconnects_per_hour=round(rng.uniform(0.5, 1.0), 2))
    return replace(machine, temper=temper)


def _slow_clock(machine: Machine, rng: random.Random) -> Machine:
    """A cheat claims to be fit, so its real clock is the weak one already: it lowers both."""
    cpu_ghz = round(rng.uniform(1.6, 2.9), 1)
    return replace(machine, cpu_ghz=cpu_ghz, real_cpu_ghz=round(cpu_ghz * machine.real_cpu_ghz / machine.cpu_ghz, 1))


def _far_away(machine: Machine, rng: random.Random) -> Machine:
    latency_ms = round(rng.uniform(35.0, 120.0), 1)
    return replace(machine, latency_ms=latency_ms, region_rtt_ms={**machine.region_rtt_ms, machine.region: latency_ms})


WEAKENED: dict[str, Callable[[Machine, random.Random], Machine]] = {
    "cpu_min_ghz": _slow_clock,
    "cpu_min_cores": lambda machine, rng: replace(machine, cpu_cores=rng.choice((1, 2))),
    "ram_min_mb": lambda machine, rng: replace(machine, free_ram_mb=float(rng.randrange(900, 7600))),
    "net_min_speed": lambda machine, rng: replace(machine, net_mbps=round(rng.uniform(4.0, 90.0), 1)),
    "net_max_latency": _far_away,
    "max_disconnects_per_hour": lambda machine, rng: replace(machine, disconnects_per_hour=round(rng.uniform(3.0, 12.0), 1)),
    "max_jitter_ms": lambda machine, rng: replace(machine, jitter_ms=round(rng.uniform(18.0, 70.0), 1)),
    "min_packet_rate": lambda machine, rng: replace(machine, packet_rate=round(rng.uniform(10.0, 90.0))),
}
"""Requirement (configuration key of `host_requirements`) -> how a machine comes to miss it."""


def _weakened(machine: Machine, weakness: str, rng: random.Random) -> Machine:
    return replace(WEAKENED[weakness](machine, rng), weakness=weakness)


def _addresses(count: int) -> list[str]:
    """Distinct addresses no real machine has: the documentation networks in turn, then the benchmarking network."""
    turns = zip(*(ip_network(network).hosts() for network in SMALL_NETWORKS), strict=True)
    addresses = [
        str(address) for address in islice(chain(chain.from_iterable(turns), ip_network(LARGE_NETWORK).hosts()), count)
    ]
    assert len(addresses) == count, f"there are no {count} simulated addresses"
    return addresses
