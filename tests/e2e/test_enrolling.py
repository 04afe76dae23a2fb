"""A player enrolls, the operator lets him in, the agent hosts; removed, it is out. With the commands as people type them."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Up, kafra, soon, start, up

from libs.bus.nats import connect
from libs.events import HostId, HostUp
from libs.identity.keys import Kind, make_seed, public_key_of
from libs.link.certifying import make_authority

pytestmark = pytest.mark.nats

STRONG = {"KAFRA__GENERAL__ENABLE_P2P_SECURITY_CHECKS": "0"}
"""A host is up at once, not after its first check."""


KEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
"""A real one, whose it is nobody knows."""


def enrolled(directory: Path, host: str = "my_pc") -> tuple[str, Path]:
    """Its public key and its seed."""
    seed = directory / f"{host}.seed"
    ended = kafra("agent", "enroll", "--host-id", host, "--account", "2000001", "--seed", str(seed), "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["key"], seed


@contextmanager
def agent(url: str, seed: Path, *more: str, host: str = "my_pc") -> "Iterator[subprocess.Popen[str]]":
    process = start("agent", "--nats", url, "--host-id", host, "--seed", str(seed), "--account", "2000001", "--simulate", *more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_up(running: Up, host: str = "my_pc") -> bool:
    async def look() -> bool:
        bus = await connect(running.url, name="test", credentials=running.store / "services.credentials")
        try:
            return await bus.last(HostUp, HostId(host)) is not None
        finally:
            await bus.close()

    return asyncio.run(look())


def test_from_enrolling_to_hosting_to_removed(tmp_path: Path):
    key, seed = enrolled(tmp_path)
    here = {"KAFRA_STORE": str(tmp_path / "store")}

    with up(tmp_path / "store", **STRONG) as running:
        assert kafra("hosts", "add", "my_pc", "--key", key, "--account", "2000001", **here).code == 0
        with agent(running.url, seed) as process:
            soon(lambda: is_up(running), "the registry says it is up")

            removed = kafra("hosts", "remove", "my_pc", "--json", **here)

            assert removed.json["event"]["key"] is None
            log = running.store / "nats" / "nats-server.log"
            soon(lambda: log.read_text().count("authentication error") > 1, "it is out, and refused again and again")
            assert process.poll() is None  # it goes on asking: the operator may let it in again


def test_who_was_let_in_still_is_after_everything_restarted(tmp_path: Path):
    key, seed = enrolled(tmp_path)
    store = tmp_path / "store"
    with up(store, **STRONG):
        assert kafra("hosts", "add", "my_pc", "--key", key, "--account", "2000001", KAFRA_STORE=str(store)).code == 0

    with up(store, **STRONG) as running, agent(running.url, seed):
        soon(lambda: is_up(running), "the registry says it is up")


def test_another_key_for_a_host_needs_replace_and_a_key_has_one_host(tmp_path: Path):
    first, second = (public_key_of(make_seed(Kind.USER)) for _ in range(2))
    store = {"KAFRA_STORE": str(tmp_path)}

    def add(host: str, key: str, *more: str, account: int = 1):
        return kafra("hosts", "add", host, "--key", key, "--account", str(account), "--json", *more, **store)

    with up(tmp_path, "--only", "scorer"):
        began = add("h1", first)
        again = add("h1", first)
        taken, other_account, stolen = add("h1", second), add("h1", first, account=2), add("h2", first, "--replace")
        replaced = add("h1", second, "--replace")
        free_now = add("h2", first)
        never = kafra("hosts", "remove", "nobody", **store)
        gone = [kafra("hosts", "remove", "h2", "--json", **store).json["seq"] for _ in range(2)]

    assert [began.code, again.code] == [0, 0]
    assert again.json["seq"] == began.json["seq"]
    assert [each.code for each in (taken, other_account, stolen, never)] == [1, 1, 1, 1]
    assert "--replace" in taken.err
    assert "another account, 1" in other_account.err
    assert "the host h1's" in stolen.err
    assert (replaced.code, replaced.json["seq"]) == (0, began.json["seq"] + 1)
    assert free_now.code == 0
    assert "never let in" in never.err
    assert gone == [free_now.json["seq"] + 1] * 2


def test_without_a_running_kafra_it_says_so(tmp_path: Path):
    key = public_key_of(make_seed(Kind.USER))
    port = "nats://127.0.0.1:1"

    for ended in (
        kafra("hosts", "add", "h1", "--key", key, "--account", "1", "--nats", port),
        kafra("hosts", "remove", "h1", "--nats", port),
    ):
        assert ended.code == 3
        assert "Is `kafra up` running?" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "h1", "--key", "UABC", "--account", "1"), "56 characters"),
        (("add", "no name", "--key", KEY, "--account", "1"), "no host id"),
        (("add", "h1", "--key", KEY, "--account", "0"), "account"),
        (("add", "h1", "--account", "1"), "--key"),
        (("remove", "*"), "no host id"),
        (("--json", "add", "h1"), "behind the command"),
    ],
)
def test_bad_input_is_said(arguments: tuple[str, ...], said: str):
    ended = kafra("hosts", *arguments, COLUMNS="200")

    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize("scheme", ["tls", "wss"])
def test_an_agent_comes_encrypted(tmp_path: Path, scheme: str):
    files = make_authority(tmp_path / "tls", ("localhost",))["localhost"]
    key, seed = enrolled(tmp_path)
    store = tmp_path / "store"

    with up(store, "--listen", "0.0.0.0", "--tls", str(files), "--websocket", "0", **STRONG) as running:
        assert kafra("hosts", "add", "my_pc", "--key", key, "--account", "2000001", KAFRA_STORE=str(store)).code == 0
        port = running.ready["websocket_port"] if scheme == "wss" else running.url.rpartition(":")[2]
        with agent(f"{scheme}://localhost:{port}", seed, "--ca", str(files / "ca.pem")):
            soon(lambda: is_up(running), "the registry says it is up")
        assert running.url.startswith("tls://")


def test_up_refuses_a_certificate_nobody_could_use(tmp_path: Path):
    missing = kafra("up", "--store", str(tmp_path), "--tls", str(tmp_path))
    narrow = kafra("up", "--store", str(tmp_path), "--tls", str(tmp_path), "--listen", "192.0.2.1", COLUMNS="200")

    assert missing.code == 1
    assert "cert.pem: no such file" in missing.err
    assert narrow.code == 2
    assert "0.0.0.0" in narrow.err
    assert not list(tmp_path.iterdir())
