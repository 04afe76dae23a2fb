"""Versions on a player's machine: shared, switched, mended, cleaned; and a disk that is full."""

import asyncio
import threading
from pathlib import Path

import pytest
from bundle_maker import (
    FILES,
    NOW_MS,
    PUBLIC,
    assert_nothing_half_used,
    manifest_of,
    object_of,
    publish,
    tree_of,
)
from bundle_web import Fault, web

from libs.bundle.manifest import MANIFEST_NAME
from services.agent.bundle import fetch, settle
from services.agent.bundle_download import to_its_end
from services.agent.bundle_report import Busy, NoRoom
from services.agent.bundle_store import KEPT, Store


async def test_what_was_damaged_here_is_mended(out, store):
    publish(out)
    async with web(out) as server:
        tree = await fetch(server.url, PUBLIC, store)
        for path in ("map-server", "db/mob_db.yml"):
            (tree / path).chmod(0o644)
            (tree / path).write_bytes(b"?" * len(FILES[path]))
        (tree / "npc/fields.txt").unlink()

        tree = await fetch(server.url, PUBLIC, store)

    assert tree_of(tree) == FILES
    assert_nothing_half_used(store)


async def test_who_is_cancelled_waits_for_what_works_in_the_store():
    working, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(working.set)
        assert go_on.wait(60)

    task = asyncio.ensure_future(to_its_end(work))
    await working.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not done


async def test_while_maps_are_served_nothing_is_switched(out, store):
    publish(out)
    async with web(out) as server:
        before = await fetch(server.url, PUBLIC, store)
        publish(out, {**FILES, "npc/fields.txt": b""})

        with store.serving() as version:
            assert version is not None
            assert version.tree == before
            assert await fetch(server.url, PUBLIC, store) == before
            assert settle(store, PUBLIC) == version
            assert tree_of(before) == FILES
        settled = settle(store, PUBLIC)

    assert settled is not None
    assert settled.id == manifest_of(out).version
    assert (settled.tree / "npc/fields.txt").read_bytes() == b""


async def test_what_is_damaged_while_maps_are_served_is_mended_after(out, store):
    publish(out)
    async with web(out) as server:
        tree = await fetch(server.url, PUBLIC, store)
        with store.serving():
            (tree / "npc/fields.txt").unlink()
            inode = tree.stat().st_ino
            assert await fetch(server.url, PUBLIC, store) == tree
            assert tree.stat().st_ino == inode

        tree = await fetch(server.url, PUBLIC, store)

    assert tree_of(tree) == FILES


async def test_two_agents_do_not_serve_from_one_store(out, store):
    with store.serving(), pytest.raises(Busy, match="another agent"), Store(store.root).serving():
        raise AssertionError("both did")


async def test_two_do_not_fetch_into_one_store(out, store):
    publish(out)
    async with web(out) as server:
        with store.fetching() as is_ours:
            assert is_ours
            with pytest.raises(Busy):
                await fetch(server.url, PUBLIC, Store(store.root))
        await fetch(server.url, PUBLIC, store)


async def test_old_versions_and_what_only_they_had_go(out, store):
    async with web(out) as server:
        for number in range(KEPT + 3):
            publish(out, {**FILES, "npc/fields.txt": b"%d" % number}, now_ms=NOW_MS + number * 1000)
            await fetch(server.url, PUBLIC, store)

    texts = [(version.tree / "npc/fields.txt").read_bytes() for version in store.versions()]
    assert texts == [b"%d" % number for number in range(KEPT + 2, 2, -1)]
    contents = {path.name.rstrip("x") for path in store.root.glob("files/*/*")}
    assert contents == {entry.sha256 for version in store.versions() for entry in version.manifest.files}


async def test_the_operator_goes_back_and_nothing_is_fetched_again(out, store):
    async with web(out) as server:
        publish(out)
        first = await fetch(server.url, PUBLIC, store)
        publish(out, {**FILES, "npc/fields.txt": b""}, now_ms=NOW_MS + 1000)
        await fetch(server.url, PUBLIC, store)
        publish(out, now_ms=NOW_MS + 2000)
        server.asked.clear()

        again = await fetch(server.url, PUBLIC, store)

    assert again == first
    assert server.asked == [(MANIFEST_NAME, 0)]
    assert store.versions()[0].id == store.current().id


async def test_a_full_disk_is_said_before_the_first_byte(out, store, monkeypatch):
    monkeypatch.setattr("services.agent.bundle.ROOM_BYTES", 1 << 60)
    publish(out)

    async with web(out) as server:
        with pytest.raises(NoRoom, match="MB are needed"):
            await fetch(server.url, PUBLIC, store)

    assert {path for path, _ in server.asked} == {MANIFEST_NAME}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
async def test_a_disk_that_fills_meanwhile_is_said_and_the_next_fetch_goes_on(out, store):
    publish(out)
    name = object_of(out, "npc/fields.txt")
    store.part(next(entry for entry in manifest_of(out).files if entry.path == "npc/fields.txt"))
    full = store.parts / Path(name).name
    full.symlink_to("/dev/full")

    async with web(out) as server:
        with pytest.raises(NoRoom, match="the disk is full"):
            await fetch(server.url, PUBLIC, store)
        assert store.versions() == []
        full.unlink(missing_ok=True)
        tree = await fetch(server.url, PUBLIC, store)

    assert tree_of(tree) == FILES


async def test_a_store_that_cannot_be_written_is_said(out, tmp_path):
    (tmp_path / "file").write_text("no directory")
    publish(out)

    async with web(out) as server:
        with pytest.raises(NoRoom, match="file"):
            await fetch(server.url, PUBLIC, Store(tmp_path / "file" / "store"))


async def test_a_fetch_that_is_cancelled_leaves_the_store_free(out, store):
    publish(out)
    asked = asyncio.Event()

    def stall(path: str, _: int) -> Fault | None:
        if "objects" not in path or asked.is_set():
            return None
        asked.set()
        return Fault(stall=True)

    async with web(out, stall) as server:
        fetching = asyncio.ensure_future(fetch(server.url, PUBLIC, store))
        await asked.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching

        tree = await fetch(server.url, PUBLIC, store)

    assert tree_of(tree) == FILES
