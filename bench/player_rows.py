"""Rows of `make prove` about what a player has of Kafra."""

from typing import Final

from bench import idling, packaging
from bench.proof import Proof, Scale

IDLE_S: Final = 60.0
IDLE_RSS_MB: Final = 60.0
IDLE_CPU: Final = 0.01


async def idle(scale: Scale) -> list[Proof]:
    found = await idling.idle(5.0 if scale.quick else IDLE_S, scale.tell)
    what, note = "an agent without a map, at a real server", "services/agent: what is imported for nothing?"
    memory, cpu = f"{found.rss_mb:.1f} MB", f"{found.cpu_ratio * 100:.2f} % of a core, over a minute"
    return [
        Proof(f"{what}: memory", f"under {IDLE_RSS_MB:g} MB", memory, found.rss_mb < IDLE_RSS_MB, note),
        Proof(f"{what}: CPU", f"under {IDLE_CPU:.0%} of a core", cpu, found.cpu_ratio < IDLE_CPU, note),
    ]


async def package(scale: Scale) -> list[Proof]:
    found = await packaging.package(scale.tell)
    what = "make package: one file, run as a player would"
    target = "it hosts, pauses, shows its status, ends in order; killed, it leaves no process"
    measured = f"{found.size_mb:.1f} MB, starts in {found.start_s:.2f} s"
    return [Proof(what, target, measured, not found.wrong, "; ".join(found.wrong))]
