"""Orders come and go, 50 times as often as a registry says them: nothing grows – memory, descriptors, tasks, processes, files.

Some seconds; with KAFRA_PROVE=1 20 minutes.
"""

import asyncio
import gc
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from libs.events import MapName
from tests.rathena.figures import PROVE, count
from tests.rathena.host_lab import DUNGEON, FIELD, until
from tests.rathena.serving_lab import ServingLab, twin_files

SOAK_S = count(3, 1_200)
ORDER_S = 1 / 50
"""A registry says an order that is not obeyed yet once a second."""
CHANGE_S = 0.4
"""So often other maps are wanted; a real host's change with its maps' players, in minutes."""
LOOKS = count(2, 20)
"""At how many moments of quiet, evenly spread, is counted."""
MAPS = (FIELD, DUNGEON, MapName("gef_fild07"))
KEPT_VERSIONS = 3
GROWN_MB_MAX = 6.0
"""Of this process, between the first look and the last: Python's allocator is never at rest."""
GROWN_OBJECTS_MAX = 500
pytestmark = [
    pytest.mark.timeout(120 + 2 * SOAK_S),
    pytest.mark.skipif(sys.platform == "win32", reason="descriptors are counted"),
]


@dataclass(frozen=True)
class Held:
    """What this process holds when nothing is ordered."""

    descriptors: int
    tasks: int
    children: int
    files: int
    objects: int
    rss_mb: float


async def test_orders_that_come_and_go_let_nothing_grow(tmp_path: Path) -> None:
    chance = random.Random(1)
    async with ServingLab.running(tmp_path) as lab:
        looks: list[Held] = []
        starts = 0
        await ordered(lab, chance, 1 if not PROVE else 60)  # everything was loaded, every cache is full
        for number in range(LOOKS + 1):
            if number:
                starts += await ordered(lab, chance, SOAK_S / LOOKS)
            await lab.fetched(twin_files(fields=f"// {number}\n".encode()))
            looks.append(await held(lab))
            sys.stdout.write(f"{starts} changes of orders: {looks[-1]}\n")

        assert starts > 2 * LOOKS
        first, last = looks[0], looks[-1]
        assert {(look.descriptors, look.tasks, look.children) for look in looks} == {
            (first.descriptors, first.tasks, first.children)
        }
        assert first.children == 1, "the char-server's twin, and nothing of ours"
        assert last.files <= first.files + KEPT_VERSIONS * len(twin_files())
        assert len(lab.store.versions()) <= KEPT_VERSIONS
        assert last.objects - first.objects < GROWN_OBJECTS_MAX
        assert last.rss_mb - first.rss_mb < GROWN_MB_MAX


async def ordered(lab: ServingLab, chance: random.Random, seconds: float) -> int:
    """Orders at full rate; how often they changed."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    for changes, maps in enumerate(choices(chance)):
        if loop.time() >= end_s:
            return changes
        change_s = loop.time() + CHANGE_S
        while loop.time() < change_s:
            lab.order(*maps)
            lab.hosting.reports(lab.clock.now_ms())
            lab.hosting.statuses()
            await asyncio.sleep(ORDER_S)
    raise AssertionError


def choices(chance: random.Random) -> Iterator[list[MapName]]:
    """Now and then nothing at all."""
    while True:
        yield [name for name in MAPS if chance.random() < 0.5]


def is_reading(task: asyncio.Task[object]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == "to_thread"


async def held(lab: ServingLab) -> Held:
    lab.order()
    await lab.idle()
    assert lab.left() == []
    await until(lambda: not any(map(is_reading, asyncio.all_tasks())), "another bundle was looked through")
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()
    process = psutil.Process()
    await until(lambda: len(process.children()) == 1, "its children are gone")
    return Held(
        descriptors=process.num_fds(),
        tasks=len(asyncio.all_tasks()),
        children=len(process.children()),
        files=sum(len(files) for root in (lab.maps, lab.store.root) for _, _, files in os.walk(root)),
        objects=len(gc.get_objects()),
        rss_mb=process.memory_info().rss / 2**20,
    )
