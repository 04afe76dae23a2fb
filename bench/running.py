"""One command, run to its end: what it said, how it ended, how long it took. Nothing of it is left, however we end."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from bench.place import ROOT

TAIL_LINES = 12
LINE_BYTES_MAX = 16 * 1024 * 1024
END_S = 10


@dataclass(frozen=True, slots=True)
class Ended:
    """lines: of stdout. tail: the last lines of both, for who must find out why."""

    code: int
    lines: list[str]
    tail: str
    seconds: float


async def command(
    *argv: str,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _: None,
    until: Callable[[str], bool] = lambda _: False,
) -> Ended:
    """until: the line after which it is asked to end (SIGTERM); seconds are counted up to that line.

    Raises:
        TimeoutError: not ended within timeout_s.
    """
    started_s = time.perf_counter()
    reached_s: float | None = None
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    complaints = asyncio.ensure_future(process.stderr.read())
    lines: list[str] = []
    try:
        async with asyncio.timeout(timeout_s):
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip("\n")
                lines.append(line)
                on_line(line)
                if reached_s is None and until(line):
                    reached_s = time.perf_counter()
                    process.terminate()
            code = await process.wait()
            said = (await complaints).decode(errors="replace").splitlines()
    finally:
        await _end(process)
        complaints.cancel()
    tail = "\n".join([*lines[-TAIL_LINES:], *said[-TAIL_LINES:]])
    return Ended(code, lines, tail, (reached_s or time.perf_counter()) - started_s)


async def _end(process: asyncio.subprocess.Process) -> None:
    """It and its own children: they are one session."""
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def junit_counts(junit: Path) -> tuple[int, int, int]:
    """Passed, failed (errors included), skipped, of a JUnit file; zeros when there is none."""
    if not junit.exists():
        return 0, 0, 0
    suites = ElementTree.parse(junit).getroot().iter("testsuite")
    counts = [[int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")] for suite in suites]
    tests, failures, errors, skipped = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0, 0)
    return tests - failures - errors - skipped, failures + errors, skipped
