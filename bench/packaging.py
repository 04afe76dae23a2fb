"""The agent as one file: built by `make package`, then run as a player would, on a real nats-server.

Its bundle's map-server is `sleep`: what is asked is that it is started, and that nothing is left when the agent is killed.
"""

import asyncio
import json
import os
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from bench import place
from bench.running import Ended, command
from libs.bus.nats import connect
from tests.bundle.bundle_maker import FILES, PUBLIC, publish
from tests.bundle.bundle_web import web
from tests.nats.agents import Operator

PROGRAM: Final = place.ROOT / "dist" / "kafra-agent"
BUILD_S_MAX: Final = 1800.0
WAIT_S: Final = 30.0
STARTS: Final = 5
MB: Final = 1_000_000
GONE_S_MAX: Final = 2.0
"""After a kill -9, all that it started included."""
LOOK_S: Final = 0.02
MAP_SERVER: Final = b"#!/bin/sh\nexec sleep 600\n"
Run = Callable[..., Awaitable[Ended]]


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
            for words in (["--seed", str(Path(data) / "none")], ["--config", str(Path(data) / "none")], ["--host-id", "a.b"]):
                refused = await run("--nats", url, "--host-id", "h1", *words)
                if refused.code not in (1, 2) or "Traceback" in refused.tail:
                    wrong.append(f"{words[0]}: {refused.code}, {refused.tail}")
            publish(Path(data) / "out", {**FILES, "map-server": MAP_SERVER})
            async with web(Path(data) / "out") as bundles:
                argv = [str(program), "--nats", url, "--host-id", "packaged"]
                argv += ["--bundle-url", bundles.url, "--bundle-key", PUBLIC]
                wrong += await _hosts(argv, url, env, run)
    return Packaged((await asyncio.to_thread(program.stat)).st_size / MB, median(ended.seconds for ended in starts), wrong)


async def _hosts(argv: Sequence[str], url: str, env: Mapping[str, str], run: Run) -> list[str]:
    """As a host: it serves and is killed, twice; then it is paused, and ends when it is told to."""
    bus = await connect(url, name="bench")
    operator = Operator(bus)
    await operator.listen()
    try:
        wrong = await _killed(argv, env, operator, outer=True) + await _killed(argv, env, operator, outer=False)
        return wrong or await _paused(argv, env, operator, run)
    finally:
        await bus.close()


async def _killed(argv: Sequence[str], env: Mapping[str, str], operator: Operator, *, outer: bool) -> list[str]:
    """outer: the process that was started, which unpacked the program; else the program."""
    async with _started(argv, env) as agent:
        if not await _came(lambda: _beats(operator, leaving=False)):
            return ["it fetches no bundle, or does not beat"]
        operator.order("packaged", "a_fild01")
        if not await _came(lambda: any(each.name() == "sleep" for each in _below(agent))):
            return ["it starts no map-server"]
        everything = [psutil.Process(agent.pid), *_below(agent)]
        os.kill(everything[0 if outer else 1].pid, signal.SIGKILL)
        if not await _came(lambda: not any(map(_lives, everything)), GONE_S_MAX):
            left = ", ".join(each.name() for each in everything if _lives(each))
            return [f"{GONE_S_MAX:g} s after the {'outer' if outer else 'inner'} process was killed there is {left}"]
    operator.beats.clear()
    return []


async def _paused(argv: Sequence[str], env: Mapping[str, str], operator: Operator, run: Run) -> list[str]:
    wrong: list[str] = []
    async with _started(argv, env) as agent:
        if not await _came(lambda: _beats(operator, leaving=False)):
            wrong.append("it does not beat")
        operator.order("packaged")
        for words, code in ((("pause",), 0), (("status", "--json"), 0), (("resume",), 0)):
            ended = await run(*words)
            if ended.code != code:
                wrong.append(f"{' '.join(words)}: {ended.code}, {ended.tail}")
        if not await _came(lambda: _beats(operator, leaving=True)):
            wrong.append("a pause is not said")
        agent.terminate()
        async with asyncio.timeout(WAIT_S):
            _, said = await agent.communicate()
        if agent.returncode:
            wrong.append(f"it ended with {agent.returncode}: {said.decode(errors='replace')[-500:]}")
    return wrong


@asynccontextmanager
async def _started(argv: Sequence[str], env: Mapping[str, str]) -> AsyncIterator[Process]:
    """Nothing of it is left at the end."""
    agent = await asyncio.create_subprocess_exec(*argv, env={**os.environ, **env}, stderr=asyncio.subprocess.PIPE)
    try:
        yield agent
    finally:
        for pid in (*(each.pid for each in _below(agent)), agent.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await agent.wait()


def _below(agent: Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(agent.pid).children(recursive=True)
    return []


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _beats(operator: Operator, *, leaving: bool) -> bool:
    return any(beat.leaving is leaving for beat in operator.beats)


async def _came(condition: Callable[[], bool], seconds: float = WAIT_S) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - of processes, which tell nobody
                await asyncio.sleep(LOOK_S)
            return True
    return condition()
