"""`kafra up` as a process: ready, watched over, ended, with nothing left behind; and what it says when it cannot."""

import os
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import READY_S, Up, assigned, finish, kafra, soon, start, up
from harness import free_port, tell

pytestmark = pytest.mark.nats

SERVICES = ("registry-0", "scorer-0", "failover-0", "validator-0")
ORPHANED_S = 2.0
"""What `kafra up` leaves, killed with -9, is gone after this long."""


def test_it_is_ready_and_says_where_and_sigterm_ends_all_of_it(tmp_path: Path):
    began_s = time.monotonic()
    with up(tmp_path, "--open") as running:
        tell(f"kafra up was ready {time.monotonic() - began_s:.2f} s after it was started")
        assert running.ready["event"] == "ready"
        assert tuple(running.ready["services"]) == SERVICES
        pids = {running.ready["nats_pid"], *running.ready["services"].values()}
        assert pids <= set(running.left())
        assert assigned(running.url, "a_fild01")

        assert running.end(signal.SIGTERM) == 0

        assert running.left() == []
        assert not (tmp_path / "running.json").exists()
        assert "Traceback" not in running.err


def test_killed_with_9_it_leaves_no_child(tmp_path: Path):
    with up(tmp_path, "--open") as running:
        running.end(signal.SIGKILL)

        began_s = time.monotonic()
        soon(lambda: not running.left(), "all children have ended", ORPHANED_S)
        tell(f"{len(running.children)} children ended {time.monotonic() - began_s:.2f} s after kill -9 of kafra up")


def test_sigterm_while_it_starts_ends_it_cleanly(tmp_path: Path):
    process = start("up", "--open", "--port", "0", "--store", str(tmp_path), "--json")
    try:
        soon(lambda: (tmp_path / "nats" / "nats-server.log").exists() or process.poll() is not None, "it has begun")
        process.send_signal(signal.SIGTERM)
        ended = finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()

    assert ended.code == 0
    assert kafra("hosts", KAFRA_STORE=str(tmp_path)).code == 3


def test_what_dies_is_started_again_and_the_work_goes_on(tmp_path: Path):
    with up(tmp_path, "--open") as running:
        for what, victim in (("services.scorer", "scorer-0"), ("nats-server", "nats")):
            old = running.pid_of(what)
            assert old is not None
            began_s = time.monotonic()
            os.kill(old, signal.SIGKILL)

            soon(lambda old=old, what=what: running.pid_of(what) not in (None, old), f"{victim} runs again")
            assert assigned(running.url, f"{victim}_fild01")
            tell(f"{victim} was killed; a map was assigned {time.monotonic() - began_s:.2f} s later")

        assert running.end() == 0
        assert running.left() == []


def test_only_some_services_and_two_of_each(tmp_path: Path):
    with up(tmp_path, "--open", "--only", "scorer, failover", "--replicas", "2") as running:
        services = running.ready["services"]

        assert set(services) == {"scorer-0", "scorer-1", "failover-0", "failover-1"}
        assert assigned(running.url, "a_fild01")


def test_an_address_the_bridge_cannot_use_is_said_at_once(tmp_path: Path):
    ended = kafra("up", "--rathena", "--port", "0", "--store", str(tmp_path), KAFRA__RELAY__PUBLIC="play.example.org:5120")

    assert ended.code == 1
    assert "relay.public = play.example.org:5120: rAthena tells IPv4 addresses only" in ended.err
    assert not (tmp_path / "nats").exists()


def test_with_rathena_it_says_where_map_servers_and_players_come_in(tmp_path: Path):
    links, relays, players = (f"127.0.0.1:{free_port()}" for _ in range(3))
    keys = {"BRIDGE__MAP_SERVERS": links, "BRIDGE__HOSTS": f"127.0.0.1:{free_port()}", "BRIDGE__RELAYS": relays}
    keys |= {"RELAY__BRIDGE": relays, "RELAY__LISTEN": players, "RELAY__PUBLIC": "203.0.113.5:5120"}
    keys["RELAY__HOSTS"] = dials = f"127.0.0.1:{free_port()}"
    said = tmp_path / "said.txt"
    with said.open("wb") as file:
        words = ("up", "--only", "bridge,relay", "--port", "0", "--store", str(tmp_path / "store"))
        process = start(*words, out=file, **{f"KAFRA__{key}": value for key, value in keys.items()})
    try:
        soon(lambda: "end: Ctrl-C" in said.read_text() or process.poll() is not None, "it is up", READY_S)
        process.send_signal(signal.SIGTERM)
        ended = finish(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()

    assert ended.code == 0
    hosts = f"hosts come to {keys['BRIDGE__HOSTS']} and {dials}"
    assert f"map-servers link to {links}, players come to {players} and are told 203.0.113.5:5120, {hosts}" in said.read_text()


def test_the_same_store_again_is_the_same_system_again(tmp_path: Path):
    last = []
    for name in ("first_fild01", "second_fild01"):
        with up(tmp_path, "--open") as running:
            assert assigned(running.url, name)
            maps = kafra("maps", "--json", KAFRA_STORE=str(tmp_path)).json
            last.append({row["map"]: row["tenure"] for row in maps})
            assert running.end() == 0

    assert last[0] == {"first_fild01": 1}
    assert last[1] == {"first_fild01": 1, "second_fild01": 2}


def test_without_open_only_who_has_the_credentials_gets_in(tmp_path: Path):
    with up(tmp_path) as running:
        assert b"-ERR 'Authorization Violation'" in _anonymous(running.url)
        anonymous = kafra("hosts", "--nats", running.url)
        insider = kafra("hosts", KAFRA_STORE=str(tmp_path))
        credentials = tmp_path / "services.credentials"

        assert anonymous.code == 3
        assert "credentials" in anonymous.err
        assert insider.code == 0
        assert "0 hosts" in insider.out
        assert credentials.stat().st_mode & 0o077 == 0
        assert assigned(running.url, "a_fild01", credentials)
        secret = credentials.read_text(encoding="utf-8").strip().partition(":")[2]
        assert secret not in running.err


def _anonymous(url: str) -> bytes:
    """What the server tells a client without credentials."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as client:
        client.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        heard = b""
        while (more := client.recv(4096)) and b"-ERR" not in heard:
            heard += more
    return heard


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        ended = kafra("up", "--open", "--port", str(port), "--store", str(tmp_path))

    assert ended.code == 1
    assert ended.err.splitlines() == [
        f"port {port} is taken, by another `kafra up` perhaps; choose one with --port, 0 for any free one"
    ]


def test_a_store_in_use_is_said_in_one_line_and_the_other_is_left_in_peace(tmp_path: Path):
    with up(tmp_path, "--open") as running:
        ended = kafra("up", "--open", "--port", "0", "--store", str(tmp_path))

        assert ended.code == 1
        assert len(ended.err.splitlines()) == 1
        assert f"{tmp_path}" in ended.err
        assert "in use" in ended.err
        assert kafra("hosts", KAFRA_STORE=str(tmp_path)).code == 0, "the one that runs can still be found"
        assert set(running.left()) >= {running.ready["nats_pid"]}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--only", "scorer,nothing"], 2, "no service is called nothing"),
        (["--open", "--listen", "0.0.0.0"], 2, "--open is for loopback only"),
        (["--replicas", "0"], 2, "--replicas"),
        (["--port", "70000"], 2, "--port"),
        (["--store", "/dev/null"], 1, "/dev/null"),
        (["--config", "nowhere.conf"], 1, "nowhere.conf: cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(options: list[str], code: int, said: str, tmp_path: Path):
    ended = kafra("up", "--port", "0", *options, KAFRA_STORE=str(tmp_path / "never"))

    assert ended.code == code
    assert said in ended.err
    assert not (tmp_path / "never").exists()


def test_a_wrong_configuration_is_said_with_file_and_line(tmp_path: Path):
    wrong = tmp_path / "wrong.conf"
    wrong.write_text("general: {\n    enable_p2p_maps = 7;\n};\nfailover: { silense_ms = 4; };\n", encoding="utf-8")

    ended = kafra("up", "--open", "--config", str(wrong), "--store", str(tmp_path / "never"))

    first, second = ended.err.splitlines()
    assert ended.code == 1
    assert first.startswith("wrong.conf:2: general.enable_p2p_maps: 7 is not allowed")
    assert second.startswith("wrong.conf:4: failover.silense_ms: unknown key")
    assert not (tmp_path / "never").exists()


def test_a_health_port_of_the_environment_is_no_quarrel_among_services(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with up(tmp_path, "--open", KAFRA_HEALTH_PORT=str(other.getsockname()[1])) as running:
            assert isinstance(running, Up)
            assert set(running.ready["services"]) == set(SERVICES)
