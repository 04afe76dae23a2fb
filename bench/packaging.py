"""The agent as one file: built by `make package`, then run as a player would, on a real nats-server."""

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench import place
from bench.running import Ended, command
from libs.bus.nats import connect
from libs.events import HostMetrics

PROGRAM: Final = place.ROOT / "dist" / "kafra-agent"
BUILD_S_MAX: Final = 1800.0
WAIT_S: Final = 30.0
STARTS: Final = 5
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Packaged:
    """start_s: of `--version`, the median. wrong: what did not go as it should."""

    size_mb: float
    start_s: float
    wrong: list[str]


async def package(tell: Callable[[str], None]) -> Packaged:
    tell("building")
    built = await command("make", "package", timeout_s=BUILD_S_MAX)
    if built.code:
        return Packaged(0.0, 0.0, [f"make package: {built.tail}"])
    tell("running")
    return await smoke(PROGRAM)


async def smoke(program: Path) -> Packaged:
    """--version, --help, doctor; it connects, beats, is paused, shows its status, and ends when it is told to."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kafra-package-") as data:
        env = {"XDG_DATA_HOME": data, "XDG_CONFIG_HOME": data, "HOME": data, "LOCALAPPDATA": data, "APPDATA": data}

        async def run(*argv: str) -> Ended:
            return await command(str(program), *argv, timeout_s=WAIT_S, env=env)

        starts = [await run("--version") for _ in range(STARTS)]
        wrong += [f"--version: {ended.tail}" for ended in starts if ended.code or not ended.lines[0].startswith("kafra ")]
        if (said := await run("--help")).code:
            wrong.append(f"--help: {said.tail}")
        if (said := await run("status")).code != 3:
            wrong.append(f"status without an agent: {said.code}, {said.tail}")
        async with place.server() as url, place.process("validator", "services.validator", url=url):
            doctor = await run("doctor", "--nats", url, "--json")
            if doctor.code not in (0, 1) or not json.loads("\n".join(doctor.lines))["answers"]:
                wrong.append(f"doctor: {doctor.code}, {doctor.tail}")
            wrong += await _hosts(program, url, env, run)
    return Packaged((await asyncio.to_thread(program.stat)).st_size / MB, median(ended.seconds for ended in starts), wrong)


async def _hosts(program: Path, url: str, env: Mapping[str, str], run: Callable[..., Awaitable[Ended]]) -> list[str]:
    """As a host."""
    bus = await connect(url, name="bench")
    hosts, leaves = asyncio.Event(), asyncio.Event()
    await bus.hear(HostMetrics, lambda beat: (leaves if beat.leaving else hosts).set())
    argv = [str(program), "--nats", url, "--host-id", "packaged"]
    agent = await asyncio.create_subprocess_exec(*argv, env={**os.environ, **env}, stderr=asyncio.subprocess.PIPE)
    wrong: list[str] = []
    try:
        if not await _came(hosts):
            wrong.append("it does not beat")
        for words, code in ((("pause",), 0), (("status", "--json"), 0), (("resume",), 0)):
            ended = await run(*words)
            if ended.code != code:
                wrong.append(f"{' '.join(words)}: {ended.code}, {ended.tail}")
        if not await _came(leaves):
            wrong.append("a pause is not said")
        agent.terminate()
        async with asyncio.timeout(WAIT_S):
            _, said = await agent.communicate()
        if agent.returncode:
            wrong.append(f"it ended with {agent.returncode}: {said.decode(errors='replace')[-500:]}")
    finally:
        if agent.returncode is None:
            with suppress(ProcessLookupError):
                agent.kill()
            await agent.wait()
        await bus.close()
    return wrong


async def _came(event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), WAIT_S)
    return event.is_set()
