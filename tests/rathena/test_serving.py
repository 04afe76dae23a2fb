"""What an agent serves with: the bundle is held while it serves, another is taken between two orders, and whatever is in the
way is said and gets over."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.agent import hosting as hosting_module
from tests.bundle.bundle_maker import OTHER_KEY
from tests.rathena.host_lab import DUNGEON, FIELD, lives, until
from tests.rathena.serving_lab import ServingLab, twin_files


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting_module, "AGAIN_S", (0.05, 0.2))


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ServingLab]:
    async with ServingLab.running(tmp_path) as lab:
        yield lab


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def is_free(lab: ServingLab) -> bool:
    """Whether somebody may switch the bundle now."""
    version = lab.store.current()
    assert version is not None
    return lab.store.switch(version)


async def test_ordered_maps_are_served_through_the_link_and_the_bundle_stays_meanwhile(lab: ServingLab) -> None:
    assert (lab.hosting.serving, lab.hosting.statuses(), lab.hosting.port_of(FIELD)) == (False, [], None)
    assert is_free(lab)

    lab.order(FIELD, DUNGEON)
    assert lab.said() == "starting"
    await lab.ready(FIELD, DUNGEON)

    assert [status.map for status in lab.hosting.statuses()] == [FIELD, DUNGEON]
    assert not is_free(lab)
    port = lab.hosting.port_of(DUNGEON)
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    pids = lab.pids()
    lab.order(DUNGEON)
    await until(lambda: lab.said(FIELD) is None, "one is gone")
    assert lab.hosting.port_of(FIELD) is None
    assert not is_free(lab)
    lab.order()
    await lab.idle()

    assert is_free(lab)
    assert not any(map(lives, pids))
    assert (lab.hosting.statuses(), lab.hosting.reports(0), lab.hosting.port_of(DUNGEON), lab.left()) == ([], {}, None, [])


async def test_a_map_server_without_a_process_has_no_port(lab: ServingLab) -> None:
    lab.order(FIELD)
    await lab.ready(FIELD)

    os.kill(lab.pids()[0], signal.SIGKILL)
    await until(lambda: lab.said() == "failed", "it fell")

    assert lab.hosting.port_of(FIELD) is None


async def test_the_next_order_is_served_from_what_was_fetched_meanwhile(lab: ServingLab) -> None:
    lab.order(FIELD)
    await lab.ready(FIELD)
    first = lab.hosting.version

    second = await lab.fetched(twin_files(fields=b""))
    lab.hosting.look()
    await asyncio.sleep(0.01)
    assert lab.hosting.version == first != second
    lab.order()
    await lab.idle()
    lab.order(FIELD)
    await lab.ready(FIELD)

    assert lab.hosting.version == second
    assert (lab.store.current() or lab).id == second  # type: ignore[union-attr]


async def test_an_order_that_comes_while_the_last_one_ends_is_served(lab: ServingLab) -> None:
    for _ in range(3):
        lab.order(FIELD)
        await until(lab.pids, "it has a process")
        lab.order()
        await asyncio.sleep(0.01)
        lab.order(DUNGEON)
        await lab.ready(DUNGEON)
        lab.order()
        await asyncio.sleep(0.01)


async def test_without_a_bundle_it_is_said_once_and_gets_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[int] = []
    async with ServingLab.running(tmp_path, bundle=False) as lab:
        lab.hosting.on_trouble = lambda: asked.append(1)
        lab.order(FIELD)
        await until(lambda: len(asked) >= 3, "a bundle was asked for again and again")

        assert lab.said() == "failed"
        assert len(errors(caplog)) == 1
        assert "no bundle that could be used" in errors(caplog)[0]
        version = await lab.fetched(twin_files())
        await lab.ready(FIELD)

        assert (lab.hosting.trouble, lab.hosting.version) == (None, version)
        lab.order()
        await lab.idle()
        lab.order(DUNGEON)
        assert lab.said(DUNGEON) == "starting", "what was in the way once is not said of the next order"
        await lab.ready(DUNGEON)


@pytest.mark.parametrize("damage", ["changed", "gone", "program"])
async def test_a_damaged_bundle_is_not_run_and_mended_by_the_next_fetch(
    lab: ServingLab, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    version = lab.store.current()
    assert version is not None
    at = version.tree / ("map-server" if damage == "program" else "npc/fields.txt")
    at.unlink()
    if damage == "changed":
        at.write_bytes(b"another script")

    lab.order(FIELD)
    await until(lambda: lab.said() == "failed", "it failed")

    assert "is damaged" in errors(caplog)[0]
    assert not lab.pids()
    while lab.said() != "ready":  # a fetch that comes while it is tried has to wait
        await lab.fetched(twin_files())
        await asyncio.sleep(0.2)


async def test_why_nothing_could_be_served_is_told_after_the_order_went_elsewhere(lab: ServingLab) -> None:
    version = lab.store.current()
    assert version is not None
    (version.tree / "npc/fields.txt").unlink()
    lab.order(FIELD)
    await until(lambda: lab.said() == "failed", "it failed")

    lab.order()
    await until(lambda: lab.hosting.trouble is None, "nothing is ordered any more")

    assert "is damaged" in (lab.hosting.told or "")
    await lab.fetched(twin_files())
    lab.hosting.look()
    await until(lambda: lab.hosting.told is None, "a bundle was had")


async def test_what_could_not_be_served_is_known_before_it_is_ordered(
    lab: ServingLab, caplog: pytest.LogCaptureFixture
) -> None:
    await until(lambda: lab.hosting.able, "there is a bundle")
    version = lab.store.current()
    assert version is not None
    (version.tree / "npc/fields.txt").unlink()

    lab.hosting.look()
    await until(lambda: not lab.hosting.able, "it is damaged")

    assert lab.hosting.refused == f"damaged: npc/fields.txt of bundle {version.id} is not what was signed"
    assert len(errors(caplog)) == 1
    await lab.fetched(twin_files())
    lab.hosting.look()
    await until(lambda: lab.hosting.able, "it is mended")
    assert (lab.hosting.refused, lab.hosting.version) == (None, version.id)


async def test_what_is_in_the_way_on_this_machine_is_told_without_its_paths(lab: ServingLab) -> None:
    await until(lambda: lab.hosting.able, "there is a bundle")
    with lab.store.serving():
        lab.hosting.look()
        await until(lambda: not lab.hosting.able, "another agent serves")
        assert lab.hosting.refused == "busy: another agent on that machine serves from the same bundle_store"
    lab.hosting.look()
    await until(lambda: lab.hosting.able, "it serves no more")
    shutil.rmtree(lab.maps)
    lab.maps.write_text("no directory")

    lab.hosting.look()
    await until(lambda: not lab.hosting.able, "maps have no place")
    assert lab.hosting.refused == "unusable: File exists"
    assert str(lab.maps) in (lab.hosting.told or "")


async def test_another_bundle_is_looked_through_before_it_counts(lab: ServingLab) -> None:
    await until(lambda: lab.hosting.able, "there is a bundle")
    seen: list[tuple[str | None, bool]] = []
    lab.hosting.on_need = lambda: seen.append((lab.hosting.version, lab.hosting.able))

    second = await lab.fetched(twin_files(fields=b""))
    lab.hosting.look()
    await until(lambda: lab.hosting.version == second, "it is known")

    assert seen == [(second, True)], "a host with a good bundle is able throughout"


async def test_another_agent_that_serves_from_this_store_is_waited_for(
    lab: ServingLab, caplog: pytest.LogCaptureFixture
) -> None:
    await until(lambda: lab.hosting.able, "it has looked through its bundle")
    with lab.store.serving():
        lab.order(FIELD)
        await until(lambda: lab.said() == "failed", "it failed")
        assert "another agent serves maps from" in errors(caplog)[0]

    await lab.ready(FIELD)


async def test_the_bundle_of_another_operator_is_not_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with ServingLab.running(tmp_path, bundle=False) as lab:
        other = OTHER_KEY.public_key().public_bytes_raw().hex()
        await lab.fetched(twin_files(), key=OTHER_KEY, public=other)
        lab.order(FIELD)
        await until(lambda: lab.said() == "failed", "it failed")

        assert "no bundle of this operator" in errors(caplog)[0]
        assert lab.hosting.version is None


async def test_without_a_key_what_is_here_is_served(tmp_path: Path) -> None:
    async with ServingLab.running(tmp_path, key=None) as lab:
        lab.order(FIELD)
        await lab.ready(FIELD)

        assert lab.hosting.version is not None


async def test_a_directory_that_cannot_be_used_is_said(lab: ServingLab, caplog: pytest.LogCaptureFixture) -> None:
    await until(lambda: lab.hosting.able, "there is a bundle, and a directory")
    shutil.rmtree(lab.maps)
    lab.maps.write_text("no directory")

    lab.order(FIELD)
    await until(lambda: lab.said() == "failed", "it failed")
    assert str(lab.maps) in errors(caplog)[0]
    lab.maps.unlink()

    await lab.ready(FIELD)


@pytest.mark.parametrize("end", ["close", "break_off"])
async def test_nothing_is_left_however_it_ends(lab: ServingLab, end: str) -> None:
    lab.order(FIELD, DUNGEON)
    await lab.ready(FIELD)
    pids = lab.pids()

    await (lab.stop() if end == "close" else lab.break_off())

    assert len(pids) == 2
    assert not any(map(lives, pids))
    assert lab.left() == []
    assert is_free(lab)
    lab.order(FIELD)
    await lab.hosting.close()


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are counted")
async def test_it_may_end_before_it_served(tmp_path: Path) -> None:
    async with ServingLab.running(tmp_path, bundle=False) as lab:
        await lab.stop()
        assert lab.hosting.reports(0) == {}
