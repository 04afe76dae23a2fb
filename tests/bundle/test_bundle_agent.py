"""The agent's own side: `kafra agent bundle`, what it is told, and that it keeps to the newest by itself."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_maker import BIG, FILES, NOW_MS, PUBLIC, manifest_of, object_of, publish, tree_of
from bundle_web import Fault, web

from libs.bundle.manifest import MANIFEST_NAME
from libs.bundle.refusal import Kind
from libs.config import General
from libs.hosting.eligibility import wrong_bundle
from libs.runtime.clock import Clock
from services.agent import bundle_keeper
from services.agent.bundle_command import main
from services.agent.bundle_keeper import Keeper
from services.agent.bundle_report import Evidence
from services.agent.bundle_store import Store, default_root
from services.agent.machine import RealMachine
from services.agent.settings import BY_NAME, read_file

ENDED_S = 60.0


async def agent(*arguments: object) -> tuple[int, str, str]:
    """`kafra agent bundle ...` as a process: exit code, output, errors."""
    process = await start(*arguments)
    out, err = await asyncio.wait_for(process.communicate(), ENDED_S)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def start(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.agent", "bundle", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_fetch_and_list_by_hand(out, tmp_path, capsys):
    publish(out)

    async with web(out) as server:
        (tmp_path / "agent.toml").write_text(
            f'bundle_url = "{server.url}"\nbundle_key = "{PUBLIC}"\nbundle_store = "kept"\n', encoding="utf-8"
        )
        code, said, errors = await agent("fetch", "--config", tmp_path / "agent.toml", "--json")

    assert (code, errors) == (0, "")
    assert tree_of(Path(json.loads(said)["tree"])) == FILES
    assert main(["list", "--config", str(tmp_path / "agent.toml"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["bundle"], row["current"], row["files"]) == (manifest_of(out).version, True, len(FILES))
    assert main(["list", "--config", str(tmp_path / "agent.toml")]) == 0
    assert "now" in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
async def test_a_fetch_that_is_killed_leaves_nothing_half_used_and_the_next_goes_on(out, tmp_path):
    publish(out, FILES | {"big": BIG})
    big = object_of(out, "big")
    half = asyncio.Event()
    flags = ["--bundle-key", PUBLIC, "--bundle-store", tmp_path / "store"]

    def faults(path: str, count: int) -> Fault | None:
        if path != big:
            return None
        if count == 0:
            return Fault(cut=200_000)
        half.set()
        return Fault(stall=True)

    async with web(out, faults) as server:
        process = await start("fetch", "--bundle-url", server.url, *flags)
        await asyncio.wait_for(half.wait(), ENDED_S)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
    assert Store(tmp_path / "store").current() is None
    assert Store(tmp_path / "store").versions() == []
    async with web(out) as server:
        code, _, errors = await agent("fetch", "--bundle-url", server.url, *flags)

    assert (code, errors) == (0, "")
    assert [begin for path, begin in server.asked if path == big] == [200_000]
    assert tree_of(Store(tmp_path / "store").current().tree) == FILES | {"big": BIG}


async def test_a_refusal_is_said_in_a_line_and_as_evidence(out, tmp_path):
    publish(out)
    (out / object_of(out, "map-server")).write_bytes(b"?" * 30)

    async with web(out) as server:
        flags = ["--bundle-url", server.url, "--bundle-key", PUBLIC, "--bundle-store", tmp_path / "store"]
        code, said, _ = await agent("fetch", *flags, "--json")
        plain, _, errors = await agent("fetch", *flags)

    evidence = json.loads(said)["evidence"]
    assert (code, plain) == (1, 1)
    assert (evidence["kind"], evidence["about"], evidence["url"]) == ("changed", "map-server", server.url)
    assert errors.count("\n") == 1
    assert "bundle refused (changed): map-server" in errors


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["fetch", "--bundle-url", "http://127.0.0.1:1", "--bundle-key", PUBLIC], 3, "nothing answers"),
        (["fetch"], 2, "--bundle-url and --bundle-key are needed"),
        (["fetch", "--bundle-url", "ftp://x", "--bundle-key", PUBLIC], 2, "https://HOST/PATH"),
        (["fetch", "--bundle-url", "http://x", "--bundle-key", "1"], 2, "64 of 0-9 a-f"),
        (["steal"], 2, "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    try:
        ended = main([*arguments, "--bundle-store", str(tmp_path / "store")])
    except SystemExit as usage:
        ended = usage.code

    assert ended == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("bundle_url", "https://play.example.org/bundle", True),
        ("bundle_url", "http://[::1]:8080", True),
        ("bundle_url", "https://x/?a=b", False),
        ("bundle_url", "https://", False),
        ("bundle_url", "file:///etc", False),
        ("bundle_url", "http://x:99999", False),
        ("bundle_key", PUBLIC, True),
        ("bundle_key", PUBLIC.upper(), False),
        ("bundle_store", "", False),
    ],
)
def test_what_agent_toml_may_say_of_a_bundle(key, value, right):
    try:
        BY_NAME[key].value(value)
    except ValueError:
        assert not right
    else:
        assert right


def test_a_store_in_a_file_is_beside_it(tmp_path):
    (tmp_path / "agent.toml").write_text('bundle_store = "kept"\n')

    assert read_file(tmp_path / "agent.toml") == {"bundle_store": tmp_path / "kept"}
    assert default_root({"XDG_DATA_HOME": "/x", "LOCALAPPDATA": "/x"}).is_relative_to("/x")


# The keeper.


async def kept(keeper: Keeper, serving: Callable[[], bool], until: Callable[[], bool]) -> None:
    """Runs it until the condition holds."""
    task = asyncio.ensure_future(keeper.run(serving))
    try:
        async with asyncio.timeout(ENDED_S):
            while not until():
                assert not task.done()
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_agent_says_the_version_it_keeps(out, store):
    publish(out)
    async with web(out) as server:
        keeper = Keeper(server.url, PUBLIC, store, random.Random(1))
        machine = RealMachine(None, 0, Clock(), random.Random(1), lambda: keeper.version)
        before = machine.measure().bundle

        await kept(keeper, lambda: False, lambda: keeper.version is not None)

    assert before is None
    assert machine.measure().bundle == manifest_of(out).version


async def test_a_newer_one_is_fetched_when_it_is_asked_to_look(out, store):
    publish(out)
    async with web(out) as server:
        keeper = Keeper(server.url, PUBLIC, store, random.Random(1))
        looked = False

        def newer_is_here() -> bool:
            nonlocal looked
            if keeper.version is not None and not looked:
                publish(out, {**FILES, "npc/fields.txt": b""}, now_ms=NOW_MS + 1000)
                keeper.look()
                looked = True
            return looked and keeper.version == manifest_of(out).version

        await kept(keeper, lambda: False, newer_is_here)

    assert keeper.evidence is None


async def test_while_maps_are_served_nothing_is_asked_for(out, store, monkeypatch):
    monkeypatch.setattr(bundle_keeper, "SERVING_S", 0.01)
    publish(out)
    served = iter([True] * 5)
    async with web(out) as server:
        keeper = Keeper(server.url, PUBLIC, store, random.Random(1))
        asked: list[int] = []

        def serving() -> bool:
            asked.append(len(server.asked))
            return next(served, False)

        await kept(keeper, serving, lambda: keeper.version is not None)

    assert asked[:6] == [0] * 6


async def test_a_refusal_stays_to_be_told_and_what_is_current_too(out, store):
    publish(out)
    async with web(out) as server:
        keeper = Keeper(server.url, PUBLIC, store, random.Random(1))
        assert await keeper.once()
        version = keeper.version
        (out / MANIFEST_NAME).write_bytes((out / MANIFEST_NAME).read_bytes()[:-1])

        assert not await keeper.once()
        assert isinstance(keeper.evidence, Evidence)
        assert (keeper.evidence.kind, keeper.version) == (Kind.SIGNATURE, version)
        assert keeper.refused is not None
        publish_anew = {**FILES, "npc/fields.txt": b""}
        (out / MANIFEST_NAME).unlink()
        publish(out, publish_anew, now_ms=NOW_MS + 1000)
        assert await keeper.once()

    assert (keeper.evidence, keeper.refused) == (None, None)


async def test_a_refusal_is_in_the_heartbeat_in_words_an_operator_can_use(out, store):
    publish(out)
    async with web(out) as server:
        keeper = Keeper(server.url, PUBLIC, store, random.Random(1))
        machine = RealMachine(None, 0, Clock(), random.Random(1), lambda: keeper.version, lambda: keeper.refused)
        assert await keeper.once()
        (out / MANIFEST_NAME).unlink()
        publish(out, {**FILES, "npc/fields.txt": BIG}, now_ms=NOW_MS - 1_000)
        said = set()
        for _ in range(2):
            assert not await keeper.once()
            said.add(machine.measure().bundle_refused)

    (told,) = said
    assert told is not None
    assert told.startswith("older: sequence 1799999999, and 1800000000 was here already; version ")
    assert told.endswith(f"had sequence 1800000000; from {server.url}")


def test_what_is_told_is_short_and_plain():
    evidence = Evidence(kind=Kind.CHANGED, about="n\x1b[2J\u00e4\n", detail="x" * 2000, url="https://x", at_ms=1)

    assert len(evidence.told()) == 512
    assert evidence.told().startswith("changed: n?[2J??: xxx")


def test_evidence_is_one_short_line_for_notes():
    evidence = Evidence(kind=Kind.CHANGED, about="npc/a.txt", detail="it is not what was signed", url="https://x", at_ms=1)

    assert str(evidence) == "bundle refused (changed): npc/a.txt: it is not what was signed"


# The server's side.


@pytest.mark.parametrize(
    ("wanted", "has", "said"),
    [
        ("", None, None),
        ("", "a" * 32, None),
        ("a" * 32, "a" * 32, None),
        ("a" * 32, "b" * 32, f"bundle: {'b' * 32}, needed {'a' * 32}"),
        ("a" * 32, None, f"bundle: none, needed {'a' * 32}"),
    ],
)
def test_a_host_with_another_bundle_than_the_wanted_one_is_told(wanted, has, said):
    assert wrong_bundle(has, General(hosts_bundle=wanted)) == said
