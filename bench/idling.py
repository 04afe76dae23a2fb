"""What an agent without a map costs a player's machine: a real one, at a real nats-server with registry and validator."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
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
    with tempfile.TemporaryDirectory(prefix="kafra-bench-") as data:
        return await _idle(seconds, tell, {"XDG_DATA_HOME": data, "XDG_CONFIG_HOME": data})


async def _idle(seconds: float, tell: Callable[[str], None], more: Mapping[str, str]) -> Idle:
    argv = ("services.agent", "--host-id", "idle_1", "--account", "1", "--nats")
    async with (
        place.server() as url,
        place.process("registry", "services.registry", url=url),
        place.process("validator", "services.validator", url=url),
        place.process("agent", *argv, url, url=url, more=more) as agent,
    ):
        tell("settling")
        await asyncio.sleep(SETTLE_S)
        tell(f"{seconds:g} s")
        return await _watched(agent, seconds)


async def _watched(agent: psutil.Process, seconds: float) -> Idle:
    before_s = place.cpu_s(agent)
    await asyncio.sleep(seconds)
    return Idle(agent.memory_info().rss / MB, (place.cpu_s(agent) - before_s) / seconds)
