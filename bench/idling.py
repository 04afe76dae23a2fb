"""What an agent without a map costs a player's machine: a real one, at a real nats-server with registry and validator.

It has all that a player's has: a bundle fetched and kept, its page, link and dialing; and it is up, so that it could get a map.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench import place
from tests.bundle.bundle_maker import FILES, PUBLIC, publish
from tests.bundle.bundle_web import web
from tests.rathena.real_agent import ANY_MACHINE

SETTLE_S: Final = 15.0
"""Its line is measured within the first seven."""
MB: Final = 1024 * 1024
BUNDLE_BYTES: Final = 8 * MB
"""What a host fetches of stock rAthena."""


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
    out = Path(more["XDG_DATA_HOME"]) / "out"
    publish(out, {**FILES, "db/large.yml": os.urandom(BUNDLE_BYTES)})
    argv = ("services.agent", "--host-id", "idle_1", "--account", "1", "--nats")
    async with (
        place.server() as url,
        web(out) as bundles,
        place.process("registry", "services.registry", url=url, more=ANY_MACHINE),
        place.process("validator", "services.validator", url=url),
        place.process("agent", *argv, url, "--bundle-url", bundles.url, "--bundle-key", PUBLIC, url=url, more=more) as agent,
    ):
        tell("settling")
        await asyncio.sleep(SETTLE_S)
        tell(f"{seconds:g} s")
        return await _watched(agent, seconds)


async def _watched(agent: psutil.Process, seconds: float) -> Idle:
    before_s = place.cpu_s(agent)
    await asyncio.sleep(seconds)
    return Idle(agent.memory_info().rss / MB, (place.cpu_s(agent) - before_s) / seconds)
