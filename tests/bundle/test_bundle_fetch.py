"""An agent fetches a bundle from a real web server that cuts, stalls and goes away."""

import ssl
import stat
from pathlib import Path

import pytest
from bundle_maker import BIG, FILES, PUBLIC, manifest_of, object_of, publish, tree_of
from bundle_web import Fault, web

from libs.bundle.manifest import MANIFEST_NAME
from libs.link.certifying import make_authority
from libs.link.tls import CA_FILE, CERT_FILE, KEY_FILE
from services.agent import bundle_download
from services.agent.bundle import Progress, current, fetch
from services.agent.bundle_report import Unavailable


async def test_the_tree_is_what_the_operator_put_there(out, store):
    publish(out)

    async with web(out) as server:
        tree = await fetch(server.url, PUBLIC, store)

    assert tree_of(tree) == FILES
    assert stat.S_IMODE((tree / "map-server").stat().st_mode) == 0o555
    assert stat.S_IMODE((tree / "db/mob_db.yml").stat().st_mode) == 0o444
    version = current(store)
    assert version is not None
    assert (version.id, version.tree) == (manifest_of(out).version, tree)


async def test_a_content_travels_once_and_versions_share_it(out, store):
    publish(out)

    async with web(out) as server:
        await fetch(server.url, PUBLIC, store)
        objects = [path for path, _ in server.asked if path != MANIFEST_NAME]
        publish(out, {**FILES, "npc/fields.txt": b"// none\n"})
        server.asked.clear()
        await fetch(server.url, PUBLIC, store)

    assert len(objects) == len(set(objects)) == len(set(FILES.values()))
    assert [path for path, _ in server.asked] == [MANIFEST_NAME, object_of(out, "npc/fields.txt")]
    inodes = {(version.tree / "map-server").stat().st_ino for version in store.versions()}
    assert (len(store.versions()), len(inodes)) == (2, 1)


async def test_what_is_here_is_asked_for_by_its_manifest_alone(out, store):
    publish(out)

    async with web(out) as server:
        first = await fetch(server.url, PUBLIC, store)
        server.asked.clear()
        second = await fetch(server.url, PUBLIC, store)

    assert first == second
    assert server.asked == [(MANIFEST_NAME, 0)]


async def test_progress_ends_at_its_total(out, store):
    publish(out, FILES | {"big": BIG})
    told: list[Progress] = []

    async with web(out, lambda path, count: Fault(cut=70_000) if "objects" in path and count < 3 else None) as server:
        await fetch(server.url, PUBLIC, store, told.append)

    fetching = [progress for progress in told if progress.what == "fetching"]
    assert (
        fetching[-1].done
        == fetching[-1].total
        == sum({entry.sha256: entry.packed_size for entry in manifest_of(out).files}.values())
    )


async def test_a_connection_that_is_cut_again_and_again_is_resumed_where_it_was(out, store):
    publish(out, FILES | {"big": BIG})
    big = object_of(out, "big")

    async with web(out, lambda path, _: Fault(cut=30_000) if path == big else None) as server:
        tree = await fetch(server.url, PUBLIC, store)

    assert (tree / "big").read_bytes() == BIG
    begins = [begin for path, begin in server.asked if path == big]
    assert begins == list(range(0, begins[-1] + 1, 30_000))
    assert len(begins) > bundle_download.TRIES


async def test_a_fetch_that_was_ended_goes_on_with_what_it_had(out, store):
    publish(out, FILES | {"big": BIG})
    big = object_of(out, "big")

    async with web(out, lambda path, count: Fault(cut=0 if count else 200_000) if path == big else None) as server:
        with pytest.raises(Unavailable, match="what came is kept"):
            await fetch(server.url, PUBLIC, store)
    assert current(store) is None
    assert store.versions() == []
    async with web(out) as server:
        tree = await fetch(server.url, PUBLIC, store)

    assert (tree / "big").read_bytes() == BIG
    assert [begin for path, begin in server.asked if path == big] == [200_000]
    assert not list(store.parts.glob("*"))


async def test_files_that_came_before_it_was_ended_are_not_fetched_again(out, store, monkeypatch):
    monkeypatch.setattr("services.agent.bundle.AT_ONCE", 1)
    publish(out, FILES | {"z": BIG})
    last = object_of(out, "z")

    async with web(out, lambda path, _: Fault(cut=0) if path == last else None) as server:
        with pytest.raises(Unavailable):
            await fetch(server.url, PUBLIC, store)
    async with web(out) as server:
        await fetch(server.url, PUBLIC, store)

    assert [path for path, _ in server.asked] == [MANIFEST_NAME, last]


async def test_a_server_that_knows_no_ranges_starts_anew(out, store):
    publish(out, FILES | {"big": BIG})
    big = object_of(out, "big")

    def faults(path: str, count: int) -> Fault | None:
        return Fault(cut=50_000 if count == 0 else None, ranges=False) if path == big else None

    async with web(out, faults) as server:
        tree = await fetch(server.url, PUBLIC, store)

    assert (tree / "big").read_bytes() == BIG


@pytest.mark.parametrize("part", [b"\0" * 100_000, b"\0" * 400_000], ids=["damaged", "too long"])
async def test_a_part_that_is_damaged_here_is_fetched_anew(out, store, part):
    publish(out, FILES | {"big": BIG})
    entry = next(entry for entry in manifest_of(out).files if entry.path == "big")
    store.part(entry).write_bytes(part)

    async with web(out) as server:
        tree = await fetch(server.url, PUBLIC, store)

    assert (tree / "big").read_bytes() == BIG


async def test_a_server_that_sends_another_part_than_was_asked_for_is_not_believed(out, store):
    publish(out, FILES | {"big": BIG})
    big = object_of(out, "big")

    def faults(path: str, count: int) -> Fault | None:
        return None if path != big else Fault(cut=50_000) if count == 0 else Fault(says=7)

    async with web(out, faults) as server:
        with pytest.raises(Unavailable, match="another part"):
            await fetch(server.url, PUBLIC, store)


async def test_bytes_a_few_at_a_time_for_ever_are_no_server(out, store, monkeypatch):
    monkeypatch.setattr(bundle_download, "CUTS_MAX", 20)
    publish(out, FILES | {"big": BIG})

    async with web(out, lambda path, _: Fault(cut=1) if "objects" in path else None) as server:
        with pytest.raises(Unavailable, match="cut too often"):
            await fetch(server.url, PUBLIC, store)

    assert len(server.asked) < 20 * len(FILES) + 10


async def test_nothing_answers(store):
    with pytest.raises(Unavailable, match="nothing answers"):
        await fetch("http://127.0.0.1:1/bundle", PUBLIC, store)


async def test_a_server_that_says_nothing_is_given_up(out, store, monkeypatch):
    monkeypatch.setattr(bundle_download, "SILENCE_S_MAX", 0.05)
    publish(out)

    async with web(out, lambda *_: Fault(stall=True)) as server:
        with pytest.raises(Unavailable, match="no answer in time"):
            await fetch(server.url, PUBLIC, store)

    assert len(server.asked) == bundle_download.TRIES


async def test_a_fetch_has_an_end(out, store, monkeypatch):
    monkeypatch.setattr("services.agent.bundle.TOTAL_S", 0.1)
    publish(out)

    async with web(out, lambda *_: Fault(stall=True)) as server:
        with pytest.raises(Unavailable, match="not done after"):
            await fetch(server.url, PUBLIC, store)


@pytest.mark.parametrize("status", [403, 404])
async def test_no_bundle_there_is_said_at_once(out, store, status):
    async with web(out, lambda *_: Fault(status=status)) as server:
        with pytest.raises(Unavailable, match=f"server says {status}"):
            await fetch(server.url, PUBLIC, store)

    assert len(server.asked) == 1


async def test_a_server_in_trouble_is_asked_again(out, store):
    publish(out)

    async with web(out, lambda _, count: Fault(status=503) if count < 2 else None) as server:
        tree = await fetch(server.url, PUBLIC, store)

    assert tree_of(tree) == FILES


async def test_a_server_that_packs_what_it_hands_out_is_said(out, store):
    publish(out)

    async with web(out, lambda *_: Fault(header="Content-Encoding: gzip\r\n")) as server:
        with pytest.raises(Unavailable, match="as they are"):
            await fetch(server.url, PUBLIC, store)


async def test_a_name_and_a_password_in_the_address_are_not_said(out, store):
    with pytest.raises(Unavailable) as error:
        await fetch("http://me:secret@127.0.0.1:1/bundle", PUBLIC, store)

    assert "secret" not in str(error.value)


async def test_a_bundle_that_is_replaced_meanwhile_is_fetched_instead(out, store):
    publish(out, FILES | {"big": BIG})
    gone = object_of(out, "big")

    def faults(path: str, _: int) -> Fault | None:
        if path == gone:
            publish(out)
            return Fault(status=404)
        return None

    async with web(out, faults) as server:
        tree = await fetch(server.url, PUBLIC, store)

    assert tree_of(tree) == FILES


async def test_a_bundle_for_other_machines_is_said(out, store, monkeypatch):
    monkeypatch.setattr("services.agent.bundle.platform_name", lambda: "windows-x86_64")
    publish(out, {"db/a.yml": b"a"})

    async with web(out) as server:
        with pytest.raises(Unavailable, match="no map-server for windows-x86_64"):
            await fetch(server.url, PUBLIC, store)


# The authority of agent.toml.


def https(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server called localhost, and the file of its authority."""
    files = make_authority(directory, ("localhost",))["localhost"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / CERT_FILE, files / KEY_FILE)
    return context, files / CA_FILE


async def test_the_operators_own_authority_counts_for_https(out, store, tmp_path):
    publish(out)
    context, ca = https(tmp_path / "tls")
    _, other = https(tmp_path / "others")
    async with web(out, tls=context) as server:
        for wrong in (None, other):
            with pytest.raises(Unavailable, match=r"(?i)certificate"):
                await fetch(server.url, PUBLIC, store, ca=wrong)

        tree = await fetch(server.url, PUBLIC, store, ca=ca)

    assert tree_of(tree) == FILES


@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_an_authority_that_cannot_be_read_is_said(out, store, tmp_path, content):
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)

    with pytest.raises(Unavailable, match=r"ca\.pem: no certificate of an authority"):
        await fetch("https://localhost:1", PUBLIC, store, ca=ca)
