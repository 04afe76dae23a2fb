"""However an agent ends, none of its map-servers outlives it; what a killed one left is removed."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.rathena.host_lab import FIELD, MAPS, HostLab, lives, until
from tests.rathena.twin.char import TwinChar

KILLED_S = 2.0
"""After kill -9 of the agent nothing may be left (issue 5)."""


async def host(tmp_path: Path, char: TwinChar) -> tuple[asyncio.subprocess.Process, list[int]]:
    """As a process of its own; its map-servers' pids."""
    words = ("-m", "tests.rathena.host_lab", str(tmp_path), str(char.port))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    pids = [int(word) for word in line.split()]
    assert pids.pop() == process.pid
    assert all(map(lives, pids))
    return process, pids


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("frozen", [False, True])
async def test_kill_9_of_the_agent_leaves_no_process(tmp_path: Path, char: TwinChar, frozen: bool) -> None:
    process, pids = await host(tmp_path, char)
    if frozen:
        os.kill(pids[0], signal.SIGSTOP)

    process.kill()
    await process.wait()

    await until(lambda: not any(map(lives, pids)), "all are gone", KILLED_S)


async def test_an_agent_that_is_told_to_end_ends_its_servers_first(tmp_path: Path, char: TwinChar) -> None:
    process, pids = await host(tmp_path, char)

    process.terminate()
    code = await asyncio.wait_for(process.wait(), 30)

    assert code == 0
    assert not any(map(lives, pids))
    assert not list((tmp_path / "own").glob("run-*"))


async def test_an_agent_that_falls_takes_its_servers_with_it(char: TwinChar, tmp_path: Path) -> None:
    pids: list[int] = []

    async def fall() -> None:
        async with HostLab.running(tmp_path, ("127.0.0.1", char.port)) as lab:
            await lab.ready(*MAPS)
            pids.extend(lab.pid(name) for name in MAPS)
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await fall()

    assert len(pids) == len(MAPS)
    assert not any(map(lives, pids))


async def test_an_agent_broken_off_twice_kills_them(char: TwinChar, tmp_path: Path) -> None:
    pids: list[int] = []
    ready = asyncio.Event()

    async def serve() -> None:
        async with HostLab.running(tmp_path, ("127.0.0.1", char.port)) as lab:
            await lab.ready(FIELD)
            pids.append(lab.pid())
            os.kill(lab.pid(), signal.SIGSTOP)
            ready.set()
            await asyncio.Event().wait()

    serving = asyncio.ensure_future(serve())
    await ready.wait()
    serving.cancel()
    await asyncio.sleep(0.05)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    assert not any(map(lives, pids))


async def test_what_a_killed_agent_left_is_removed_by_the_next(char: TwinChar, tmp_path: Path) -> None:
    left = tmp_path / "own" / "run-999999999"
    left.mkdir(parents=True)
    foreign = tmp_path / "own" / f"run-{os.getppid()}"
    foreign.mkdir()

    async with HostLab.running(tmp_path, ("127.0.0.1", char.port)):
        assert not left.exists()
        assert foreign.exists()
