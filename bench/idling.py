"""What an agent without a map costs a player's machine: a real one, at a real nats-server with registry and validator."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

from bench import place

SETTLE_S: Final = 15.0
"""Its line is measured within the first seven."""
MB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Idle:
    """rss_mb: resident at the end, what it shares with others included. cpu_ratio: of one core."""

    rss_mb: float
    cpu_ratio: float


async def idle(seconds: float, tell: Callable[[str], None]) -> Idle:
    """Over so many seconds, after it has settled."""
    async with (
        place.server() as url,
        place.process("registry", "services.registry", url=url),
        place.process("validator", "services.validator", url=url),
        place.process("agent", "services.agent", "--nats", url, "--host-id", "idle_1", "--account", "1", url=url) as agent,
    ):
        tell("settling")
        await asyncio.sleep(SETTLE_S)
        tell(f"{seconds:g} s")
        return await _watched(agent, seconds)


async def _watched(agent: psutil.Process, seconds: float) -> Idle:
    before_s = place.cpu_s(agent)
    await asyncio.sleep(seconds)
    return Idle(agent.memory_info().rss / MB, (place.cpu_s(agent) - before_s) / seconds)
