"""Whether players, relay, bridge and servers reach each other as an operator's rAthena and Kafra's settings stand."""

from pathlib import Path

import pytest
from rathena_tree import found, of, open_, put, settings, tree, written

from services.ops.rathena.tree import CORE_CONF, Tree


def test_localhost_is_its_address(tmp_path: Path):
    root = written(tree(tmp_path), settings(vps={"core": "localhost:5121"}))
    put(root, CORE_CONF, (root / CORE_CONF).read_text() + "char_ip: localhost\n")

    assert open_(found(root)) == []


def test_a_bridge_that_listens_everywhere_is_reached_on_this_machine(tmp_path: Path):
    wanted = settings(bridge={"map_servers": "0.0.0.0:6122"})
    root = written(tree(tmp_path), wanted)

    assert open_(found(root, wanted)) == []
    assert Tree.read(root).core.text("char_ip") == "127.0.0.1"


@pytest.mark.parametrize(
    ("groups", "key"),
    [
        ({"vps": {"fallback": "127.0.0.1:5121"}}, "vps.core"),
        ({"relay": {"public": "127.0.0.1:5122"}}, "relay.public"),
        ({"vps": {"core": "play.example.org:5121"}}, "vps.core"),
        ({"relay": {"public": "203.0.113.5:5120", "listen": "0.0.0.0:5121"}}, "relay.listen"),
        ({"relay": {"public": "203.0.113.5:5120", "hosts": "0.0.0.0:5120"}}, "relay.hosts"),
    ],
)
def test_addresses_nobody_can_tell_apart_or_tell_at_all_are_found(
    tmp_path: Path, groups: dict[str, dict[str, object]], key: str
):
    wanted = settings(**groups)

    assert ("kafra", key) in open_(found(written(tree(tmp_path), wanted), wanted), "must")


def test_the_relays_own_address_is_no_map_servers(tmp_path: Path):
    root = written(tree(tmp_path))
    put(root, CORE_CONF, (root / CORE_CONF).read_text() + "map_ip: 203.0.113.5\nmap_port: 5120\n")

    assert "the relay's public address" in of(found(root), "core", "map_ip").why


def test_a_relay_on_loopback_is_for_a_lab(tmp_path: Path):
    wanted = settings(relay={"public": "127.0.0.1:5120"})

    assert open_(found(written(tree(tmp_path), wanted), wanted)) == [("kafra", "relay.public")]


@pytest.mark.parametrize(
    ("char", "key", "severity"),
    [
        ("userid: x\n", "userid", "must"),
        ("passwd: x\n", "passwd", "must"),
        ("char_port: 6199\n", "char_port", "must"),
        ("bind_ip: 10.0.0.9\n", "bind_ip", "must"),
    ],
)
def test_a_char_server_the_bridge_would_not_get_into_is_found(tmp_path: Path, char: str, key: str, severity: str):
    findings = found(written(tree(tmp_path, char_conf="userid: inter\npasswd: secret7\n" + char)))

    assert open_(findings) == [("char-server", key)]
    assert of(findings, "char-server", key).severity == severity


def test_the_default_login_is_everybodys(tmp_path: Path):
    wanted = settings(bridge={"userid": "s1", "passwd": "p1"})
    root = written(tree(tmp_path, char_conf="x: 1", map_conf="x: 1"), wanted)

    assert open_(found(root, wanted)) == [("char-server", "userid, passwd")]


def test_clients_the_char_server_sends_where_no_relay_listens_are_found(tmp_path: Path):
    wanted = settings(relay={"public": "203.0.113.5:5120", "listen": "203.0.113.5:5120"})
    findings = found(written(tree(tmp_path), wanted), wanted)

    assert open_(findings) == [("char-server", "subnet 127.0.0.0/255.0.0.0")]
    assert of(findings, *open_(findings)[0]).found == "told 127.0.0.1:5120"
    assert open_(found(tmp_path)) == [], "a relay that listens everywhere is reached there as well"


# -- all players come from one address --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules",
    [
        "x: 1",
        "allow: 10.0.0.1",
        "allow: 127.0.0.1\ndeny: 127.0.0.0/8",
        "order: mutual-failure\nallow: 127.0.0.1\ndeny: all",
        "order: allow,deny\ndeny: 127.0.0.1",
    ],
)
def test_map_servers_that_take_a_few_players_at_once_for_an_attack_are_found(tmp_path: Path, rules: str):
    findings = found(written(tree(tmp_path, packet_conf=rules)))

    assert open_(findings) == [("both", "enable_ip_rules")]
    finding = of(findings, "both", "enable_ip_rules")
    assert (finding.severity, finding.wanted, finding.file) == ("must", "allow: 127.0.0.1", "conf/import/packet_conf.txt")


@pytest.mark.parametrize(
    "rules",
    [
        "enable_ip_rules: no",
        "allow: all",
        "allow: 127.0.0.0/8",
        "allow: 127.0.0.0/255.0.0.0",
        "order: allow,deny\nallow: 127.0.0.1\ndeny: all",
        "order: mutual-failure\nallow: 127.0.0.1",
    ],
)
def test_whoever_lets_the_relay_in_as_often_as_it_comes_is_fine(tmp_path: Path, rules: str):
    assert open_(found(written(tree(tmp_path, packet_conf=rules)))) == []


def test_rules_are_on_where_nothing_is_said(tmp_path: Path):
    assert ("both", "enable_ip_rules") in open_(found(written(tree(tmp_path, packet_athena="", packet_conf=""))), "must")


def test_a_relay_elsewhere_is_let_in_by_its_own_address(tmp_path: Path):
    wanted = settings(vps={"core": "10.0.0.7:5121", "fallback": "10.0.0.7:5122"})
    root = written(tree(tmp_path, packet_conf="allow: 203.0.113.5"), wanted)

    assert open_(found(root, wanted)) == []
    put(root, "conf/import/packet_conf.txt", "allow: 127.0.0.1\n")
    assert of(found(root, wanted), "both", "enable_ip_rules").wanted == "allow: 10.0.0.7"
