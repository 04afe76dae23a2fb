"""A host's map-servers as processes: the twin started as rAthena's map-server is, with the files it would read."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from libs.rathena.conf import read_conf
from services.agent.maps import core as rules
from services.agent.maps.core import Phase
from services.agent.maps.tree import PROGRAM, BadBundle, Bundle
from tests.rathena.figures import tell
from tests.rathena.host_lab import DUNGEON, FIELD, MAPS, HostLab, lives, made_bundle, until
from tests.rathena.twin.char import TwinChar
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.people import person


@pytest.fixture
async def lab(char: TwinChar, tmp_path: Path) -> AsyncIterator[HostLab]:
    async with HostLab.running(tmp_path, ("127.0.0.1", char.port)) as lab:
        yield lab


async def player(char: TwinChar) -> TwinClient:
    client = TwinClient(await char.login_when_possible(person(0).account_id), name=person(0).name)
    await client.enter()
    return client


async def test_maps_ordered_are_served_by_a_process_each(lab: HostLab, char: TwinChar) -> None:
    began_ms = lab.clock.now_ms()
    await lab.ready(*MAPS)
    tell("supervision, order to ready with the twin", [lab.clock.now_ms() - began_ms])

    status = lab.status()

    assert lab.pid(FIELD) != lab.pid(DUNGEON)
    assert os.getpgid(lab.pid()) == lab.pid() != os.getpgid(os.getpid())
    assert status is not None
    assert (status.phase, status.role, status.tenure, status.players) == (Phase.READY, "primary", 7, 0)
    assert status.cost is not None
    assert status.cost.ram_mb > 5
    assert status.up_bytes > 60
    assert status.down_bytes > 0
    assert sorted(slot.maps for slot in char.core.slots.values()) == [[FIELD.encode()], [DUNGEON.encode()]]


async def test_what_it_reads_is_made_for_it_and_is_for_this_user_alone(lab: HostLab) -> None:
    await lab.ready(FIELD)
    root = lab.directory / "own" / f"run-{os.getpid()}" / FIELD

    def read(name: str) -> bytes | None:
        return (root / name).read_bytes() if (root / name).is_file() else None

    server, inter = read_conf("kafra/map.conf", read), read_conf("kafra/inter.conf", read)
    battle, packets = read_conf("kafra/battle.conf", read), read_conf("conf/packet_athena.conf", read)

    assert server.maps() == (FIELD,)
    assert server.text("motd_txt") == "conf/ours.txt"
    assert {server.text(key) for key in ("bind_ip", "map_ip", "char_ip")} == {"127.0.0.1"}
    assert [server.number(key, 0) for key in ("autosave_time", "minsave_time", "save_settings")] == [5, 100, 4095]
    for name in ("map_server", "log_db"):
        assert inter.text(f"{name}_ip") == "127.0.0.1"
        assert inter.number(f"{name}_port", 0) == lab.servers.responder.port
        assert inter.text(f"{name}_pw") == lab.servers.responder.password
    assert battle.number("prevent_logout", 1) == 0
    assert packets.text("enable_ip_rules") == "no"
    assert read("npc/re/scripts_main.conf") == b"npc: npc/re/warps.txt\n"
    assert read("db/map_cache.dat") == b"maps"
    assert stat.S_IMODE((root / "kafra" / "inter.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE(root.parent.stat().st_mode) == 0o700
    assert (lab.bundle.root / "conf/packet_athena.conf").read_text() == "enable_ip_rules: yes\nddos_count: 5\n"


async def test_a_killed_server_has_failed_and_another_takes_its_place(lab: HostLab) -> None:
    await lab.ready(FIELD, DUNGEON)
    first, other = lab.pid(FIELD), lab.pid(DUNGEON)

    os.kill(first, signal.SIGKILL)
    await until(lambda: lab.said(FIELD) == "failed", "it has failed")
    await until(lambda: lab.said(FIELD) == "ready", "it is ready again")

    assert lab.pid(FIELD) != first
    assert lab.pid(DUNGEON) == other
    status = lab.status(FIELD)
    assert status is not None
    assert status.falls == 1
    assert status.last_fall.startswith("ended by signal 9")


async def test_a_server_that_falls_at_its_start_is_started_more_and_more_rarely(char: TwinChar, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    words = f"open({str(starts)!r}, 'a').write('x'); print('no such map'); raise SystemExit(3)"
    async with HostLab.running(tmp_path, ("127.0.0.1", char.port), [sys.executable, "-c", words]) as lab:
        lab.order(FIELD)
        await until(lambda: (status := lab.status()) and status.falls == 3, "it fell three times")
        status = lab.status()

        assert status is not None
        assert status.last_fall == "ended with exit code 3: no such map"
        assert lab.said() == "failed"
        assert starts.read_text() == "xxx"
        due_ms = lab.servers.core.due_ms()
        assert due_ms is not None
        assert due_ms - status.since_ms == 4 * rules.BACKOFF_MS[0]
        assert "no such map" in lab.log()


async def test_a_frozen_server_is_found_killed_and_replaced(lab: HostLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "FROZEN_MS", 4_000)
    await lab.ready(FIELD)
    first = lab.pid()

    os.kill(first, signal.SIGSTOP)
    await until(lambda: lab.said() == "failed", "its silence was noticed")
    await until(lambda: lab.said() == "ready", "another is ready")

    assert lab.pid() != first
    assert not lives(first)


async def test_a_frozen_server_that_is_ordered_no_more_is_killed(lab: HostLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "TERM_MS_MAX", 300)
    await lab.ready(FIELD)
    first = lab.pid()

    os.kill(first, signal.SIGSTOP)
    lab.order()
    await until(lambda: lab.said() is None, "it is gone")

    assert not lives(first)


async def test_players_are_waited_for_and_saved(lab: HostLab, char: TwinChar) -> None:
    await lab.ready(FIELD)
    client = await player(char)
    pid = lab.pid()
    await until(lambda: lab.servers.reports(0)[FIELD].players == 1, "the player is counted")

    lab.order()
    assert lab.said() == "draining"
    await asyncio.sleep(0.3)
    assert lives(pid)
    client.leave()
    await until(lambda: lab.said() is None, "it is gone")

    assert not lives(pid)
    assert [save.final for save in char.store.saves][-1]
    await client.stop()


async def test_an_order_for_another_map_changes_what_runs(lab: HostLab) -> None:
    await lab.ready(FIELD)
    field = lab.pid(FIELD)

    lab.order(DUNGEON, tenure=9, role="backup")
    await until(lambda: lab.said(FIELD) is None and lab.said(DUNGEON) == "ready", "one went, one came")

    assert not lives(field)
    assert lab.servers.reports(0)[DUNGEON].tenure == 9


async def test_a_lost_link_is_made_again_by_the_same_server(lab: HostLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RELINK_MS", 200)
    await lab.ready(FIELD)
    pid = lab.pid()
    lab.links.refusing = True

    lab.links.cut(FIELD)
    await until(lambda: lab.said() == "starting", "it serves nobody")
    lab.links.refusing = False
    await until(lambda: lab.said() == "ready", "it is taken in again")

    assert lab.pid() == pid


async def test_orders_that_come_and_go_leave_nothing_behind(char: TwinChar, tmp_path: Path) -> None:
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    async with HostLab.running(tmp_path, ("127.0.0.1", char.port), waits) as lab:
        counts = []
        for _ in range(12):
            lab.order(*MAPS)
            await until(lambda: len(pids := lab.servers.pids()) == len(MAPS) and all(pids.values()), "both run")
            pids = [lab.pid(name) for name in MAPS]
            lab.order()
            await until(lambda: not lab.servers.core.lives, "both are gone")
            assert not any(map(lives, pids))
            counts.append((psutil.Process().num_fds(), len(asyncio.all_tasks()), len(psutil.Process().children())))

        assert counts[-1] == counts[2]
        assert lab.servers.statuses() == []


async def test_nothing_of_the_agents_environment_is_told(
    char: TwinChar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFRA__NATS__CREDENTIALS", "secret")
    words = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    async with HostLab.running(tmp_path, ("127.0.0.1", char.port), words) as lab:
        lab.order(FIELD)
        await until(lambda: lab.status() and lab.said() == "failed", "it ended")
        told = json.loads(lab.log().splitlines()[0])

    assert "PATH" in told
    assert not [name for name in told if name.startswith("KAFRA")]


async def test_a_bundle_that_went_away_is_said(lab: HostLab) -> None:
    (lab.bundle.root / "conf").rename(lab.bundle.root / "gone")

    lab.order(FIELD)
    await until(lambda: lab.said() == "failed", "it failed")
    status = lab.status()

    assert status is not None
    assert "conf" in status.last_fall
    assert not lab.log()


@pytest.mark.parametrize("missing", ["conf", "db", "npc", PROGRAM])
def test_a_directory_without_all_of_it_is_no_bundle(tmp_path: Path, missing: str) -> None:
    made_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / missing).rename(tmp_path / "away")

    with pytest.raises(BadBundle, match=missing):
        Bundle.at(tmp_path / "bundle")
