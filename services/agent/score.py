"""What a host's score is made of, for its player: each term, what it could bring, what to do. Pure.

The registry says the score alone; the terms are computed here by the shipped weights (libs/hosting/score.py has the definition,
tests/unit/test_agent_status.py holds both equal). An operator's may differ: the order of what helps most seldom does.
"""

from dataclasses import dataclass
from math import exp
from typing import Final

import msgspec

from services.agent.core import Measured
from services.agent.requirements import REQUIREMENTS

TODO: Final = {requirement.name: requirement.todo for requirement in REQUIREMENTS}


@dataclass(frozen=True, slots=True)
class Shipped:
    """Of conf/p2p_map_config.conf; without pydantic, which a player's memory is spared."""

    cpu_ghz_cores: float = 32.0
    ram_mb: float = 16_384.0
    net_mbps: float = 1_000.0
    latency_ms: float = 30.0
    cpu: float = 0.15
    ram: float = 0.15
    network: float = 0.25
    latency: float = 0.35
    stability: float = 0.10


SHIPPED: Final = Shipped()


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """value: 0 to 1, None where it is not known here. missing: of the score, what it could still bring."""

    name: str
    what: str
    weight: float
    value: float | None
    missing: float
    todo: str


def terms_of(measured: Measured) -> list[Term]:
    """All five, what could bring the most first. Not measured counts as nothing."""
    ghz, cores = measured.cpu_ghz, measured.cpu_cores
    ram_mb, net_mbps = measured.free_ram_mb or 0.0, measured.net_mbps or 0.0
    cpu = ghz * cores / SHIPPED.cpu_ghz_cores if ghz is not None and cores is not None else 0.0
    made = [
        _term("cpu", "processor", SHIPPED.cpu, cpu, "a faster processor, or one with more cores"),
        _term("ram", "free memory", SHIPPED.ram, ram_mb / SHIPPED.ram_mb, TODO["ram_min_mb"]),
        _term("network", "network speed", SHIPPED.network, net_mbps / SHIPPED.net_mbps, TODO["net_min_speed"]),
        _term("latency", "latency", SHIPPED.latency, _latency(measured), TODO["net_max_latency"]),
        Term(
            name="stability",
            what="lost connections",
            weight=SHIPPED.stability,
            value=None,
            missing=0.0,
            todo="the server counts them: leave the machine and its line on",
        ),
    ]
    return sorted(made, key=lambda term: -term.missing)


def unmet(notes: list[str]) -> list[str]:
    """What to do about each requirement that the server says is not met: a note begins with its name."""
    names = [note.partition(":")[0] for note in notes]
    return [requirement.todo for requirement in REQUIREMENTS if requirement.name in names and requirement.todo]


def _latency(measured: Measured) -> float:
    """The nearest relay's; without relays the server's own."""
    relays = [rtt_ms for rtt_ms in (measured.region_rtt_ms or {}).values() if rtt_ms is not None]
    rtt_ms = min(relays, default=measured.latency_ms)
    return exp(-rtt_ms / SHIPPED.latency_ms) if rtt_ms is not None else 0.0


def _term(name: str, what: str, weight: float, value: float, todo: str) -> Term:
    value = min(1.0, max(0.0, value))
    missing = weight * (1 - value)
    return Term(name=name, what=what, weight=weight, value=value, missing=missing, todo=todo if value < 1 else "")
