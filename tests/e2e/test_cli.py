"""Every command against a small live system with known content: exit codes, JSON, words for people, never a stack trace."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import nats
import pytest
import typer
from commands import Ended, Up, assigned, finish, kafra, soon, start, up
from known import host_up, say
from typer.core import TyperGroup
from typer.testing import CliRunner

from libs.bus.nats import connect
from libs.events import Fact, HostId, MapAssign, MapMoved, MapName, OpsBan
from libs.runtime.clock import Clock
from services.ops.cli import app

pytestmark = pytest.mark.nats

FIVE = {"KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "5"}
NOBODY = "nats://127.0.0.1:1"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Deciders alone: one host by the test's own word, one map on it, one on the VPS."""
    with up(tmp_path_factory.mktemp("live"), "--open", "--only", "scorer,failover") as running:
        say(running.url, host_up("h1"))
        assert assigned(running.url, "a_fild01")
        assert assigned(running.url, "prontera")
        moved = MapMoved(
            map=MapName("a_fild01"),
            at_ms=Clock().now_ms(),
            tenure=1,
            from_=None,
            to=HostId("h1"),
            kind="orderly",
            outcome="moved",
            players=1,
            ms=41.0,
        )
        say(running.url, moved)
        yield running


def ask(live: Up, *arguments: str) -> Ended:
    return kafra(*arguments, "--nats", live.url)


def leaf_commands() -> list[str]:
    """Every command there is, by its words."""

    def walk(group: TyperGroup, before: str) -> Iterator[str]:
        for name, command in group.commands.items():
            words = f"{before} {name}".strip()
            yield from walk(command, words) if isinstance(command, TyperGroup) else [words]

    found = typer.main.get_command(app)
    assert isinstance(found, TyperGroup)
    return list(walk(found, ""))


def test_every_command_has_help_with_an_example():
    commands = leaf_commands()

    assert len(commands) >= 10
    for command in commands:
        ended = CliRunner().invoke(app, [*command.split(), "--help"])
        words = " ".join(ended.output.split())
        assert ended.exit_code == 0
        assert f"Example: kafra {command}" in words or "Example: KAFRA" in words, command
    assert "kafra" in kafra("--help").out


def test_hosts(live: Up):
    shown, told = ask(live, "hosts"), ask(live, "hosts", "--json")

    (row,) = told.json
    assert (row["host"], row["state"], row["slots"], row["used_slots"]) == ("h1", "serving", 8, 1)
    assert row["serves"] == ["a_fild01"]
    assert "1 hosts, 1 up, 1 slots in use" in shown.out


def test_maps(live: Up):
    shown, told = ask(live, "maps"), ask(live, "maps", "--json")

    rows = {row["map"]: row for row in told.json}
    assert {name: row["server"] for name, row in rows.items()} == {"a_fild01": "h1", "prontera": "vps"}
    assert rows["a_fild01"]["last_move"] == {"outcome": "moved", "kind": "orderly", "ms": 41.0, "players": 1}
    assert rows["a_fild01"]["ready"] is True
    assert "2 maps, 1 on hosts" in shown.out


def test_events(live: Up):
    told = ask(live, "events", "--json")
    some = ask(live, "events", "--json", "--subject", "map.assign.*")
    one = ask(live, "events", "--json", "--subject", "host.up.*", "--limit", "1")

    subjects = {line["subject"] for line in told.lines}
    assert {"host.up.h1", "map.enter.a_fild01", "map.assign.a_fild01", "map.assign.prontera"} <= subjects
    assert [line["subject"] for line in some.lines] == ["map.assign.a_fild01", "map.assign.prontera"]
    assert [line["event"]["host"] for line in one.lines] == ["h1"], "the limit counts what was asked for"
    assert ask(live, "events").out.count("\n") == len(told.lines)


def test_events_are_followed_until_ctrl_c(live: Up, tmp_path: Path):
    said = tmp_path / "said.jsonl"
    with said.open("wb") as out:
        following = start("events", "--json", "--follow", "--subject", "ops.ban.*", "--nats", live.url, out=out)
    try:
        while not said.read_bytes().count(b"\n") > 1:  # it may still be starting; pytest's timeout bounds it
            ban = OpsBan(host=HostId("nobody"), at_ms=Clock().now_ms(), until_ms=0, reason="a test", by="a test")
            say(live.url, ban)
        following.send_signal(signal.SIGINT)
        ended = finish(following)
    finally:
        if following.poll() is None:
            following.kill()
            following.wait()

    lines = [json.loads(line) for line in said.read_text(encoding="utf-8").splitlines()]
    seqs = [line["seq"] for line in lines]
    assert ended.code == 0
    assert {line["subject"] for line in lines} == {"ops.ban.nobody"}
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "none twice, none missing"


def test_explain(live: Up):
    shown, told = ask(live, "explain", "a_fild01"), ask(live, "explain", "a_fild01", "--json", "--last", "5")

    (row,) = told.json
    assert (row["server"], row["reason"], row["holds"]) == ("h1", "enter", True)
    assert row["cause_event"]["subject"] == "map.enter.a_fild01"
    assert [candidate["host"] for candidate in row["candidates"]] == ["h1"]
    assert "a_fild01 served by h1 since assignment 1" in shown.out
    assert "because of map.enter.a_fild01" in shown.out


def test_the_log_is_decided_alike_again(live: Up):
    shown, told = ask(live, "replay", "verify"), ask(live, "replay", "verify", "--json")

    assert (shown.code, told.code) == (0, 0)
    assert "2 decisions in 2 looks of 1 deciders: no difference" in shown.out
    assert told.json["differences"] == []


def test_config_check(tmp_path: Path):
    wrong = tmp_path / "wrong.conf"
    wrong.write_text('failover: {\n  backup_hosts_count = "many";\n};\n', encoding="utf-8")

    right, told, said = (
        kafra("config", "check"),
        kafra("config", "check", "--json", **FIVE),
        kafra("config", "check", str(wrong)),
    )
    found = kafra("config", "check", str(wrong), "--json")

    assert right.code == 0
    assert (told.json["ok"], told.json["settings"]["failover"]["backup_hosts_count"]) == (True, 5)
    assert (said.code, found.code) == (1, 1)
    assert said.err.startswith("wrong.conf:2: failover.backup_hosts_count:")
    assert found.json["findings"][0]["line"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["explain", "a.b*"], 2, "is no map name"),
        (["explain"], 2, "Missing argument"),
        (["events", "--limit", "0"], 2, "--limit"),
        (["hosts", "--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
        (["serve", "nonsense"], 2, "there are: registry"),
        (["agent"], 2, "--host-id"),
        (["agent", "--host-id", "a.b"], 2, "--host-id"),
        (["drain", "a b"], 2, "is no host id"),
        (["hosts", "--nats", "nats://"], 2, "nats://HOST:PORT"),
        (["hosts", "--nats", "nats://127.0.0.1:99999"], 2, "nats://HOST:PORT"),
        (["maps", "--nats", "http://127.0.0.1"], 2, "nats://HOST:PORT"),
        (["hosts", "--nats", ""], 2, "nats://HOST:PORT"),
        (["hosts", "--config", "nowhere.conf", "--nats", NOBODY], 1, "nowhere.conf: cannot be read"),
    ],
)
def test_what_was_not_meant_is_said(arguments: list[str], code: int, said: str):
    ended = kafra(*arguments)

    assert (ended.code, said in ended.err) == (code, True), ended.err


def test_an_unknown_map_is_a_finding(live: Up):
    ended = ask(live, "explain", "unheard_of")

    assert ended.code == 1
    assert ended.err == "unheard_of was never assigned\n"


def test_where_nothing_answers_the_exit_code_is_3():
    commands = (["hosts"], ["maps"], ["events"], ["explain", "a"], ["replay", "verify"], ["drain", "h"], ["ban", "h"])

    ends = [finish(process) for process in [start(*command, "--nats", NOBODY) for command in commands]]

    for command, ended in zip(commands, ends, strict=True):
        assert ended.code == 3, command
        assert ended.err.startswith("no NATS server at nats://127.0.0.1:1 within 3 s")
        assert "kafra up" in ended.err


def test_a_forged_decision_is_found_and_named(tmp_path: Path):
    with up(tmp_path, "--open", "--only", "scorer") as running:
        say(running.url, host_up("h1"))
        assert assigned(running.url, "a_fild01")
        true = asyncio.run(_last_assign(running.url, "a_fild01"))
        assert true.event.host == "h1"
        forged = msgspec.structs.replace(true.event, decider="scorer-forged", look="scorer-forged.0", host=None, kind="vps")
        say(running.url, forged)

        shown, told = ask(running, "replay", "verify"), ask(running, "replay", "verify", "--json")

        (difference,) = told.json["differences"]
        assert (shown.code, told.code) == (1, 1)
        assert (difference["map"], difference["decider"], difference["seq"]) == ("a_fild01", "scorer-forged", true.seq + 1)
        assert (difference["field"], difference["committed"], difference["replayed"]) == ("kind", "vps", "p2p")
        assert f"ASSIGNMENTS {true.seq + 1}: a_fild01 by scorer-forged" in shown.out


async def _last_assign(url: str, name: str) -> Fact:
    bus = await connect(url, name="test")
    fact = await bus.last(MapAssign, name)
    await bus.close()
    assert fact is not None
    return fact


def test_a_truncated_log_is_said_in_a_sentence(tmp_path: Path):
    with up(tmp_path, "--open", "--only", "scorer") as running:
        assert assigned(running.url, "a_fild01")
        asyncio.run(_purge(running.url, "MAPS"))

        truncated = ask(running, "replay", "verify")
        assert assigned(running.url, "b_fild01")
        in_part = soon(lambda: ask(running, "replay", "verify"), "it is verified")

        assert truncated.code == 1
        assert truncated.err == "the log is truncated: nothing of it can be decided again\n"
        assert in_part.code == 0
        assert "not decided again: 1 decisions" in in_part.out


async def _purge(url: str, stream: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().purge_stream(stream)
    await client.close()
