"""A configuration that is wrong: every mistake, with its file, line, key and what is allowed."""

import pickle

import pytest

from libs.config import ConfigError, Finding, load
from tests.unit.config_findings import NAME, findings


def test_a_finding_names_file_line_key_and_what_is_allowed(tmp_path):
    text = "# first\nfailover: {\n  /* a\n     comment */\n  backup_hosts_count = 99;\n};\n"

    assert findings(tmp_path, text) == [
        f"{NAME}:5: failover.backup_hosts_count: 99 is not allowed; allowed: an integer from 0 to 8"
    ]


def test_all_findings_are_reported_at_once_in_the_order_of_the_file(tmp_path):
    text = """
        failover: { backup_hosts_count = "2";
          migration_timeout = 1.5; };
        general: { enable_p2p_maps = 2; };
        scoring: { load_weight = true;
          weights: { cpu = -0.1; }; };
        security: { own_host = "full"; };
        vps: { core = "localhost";
          fallback = "localhost:70000"; };
        nats: { replicas = 1;
          url = "nats:/user:hunter2@bus"; };
        rebalance = 3;
        monitoring: { detailed_logging: { a = 1; }; };"""

    assert findings(tmp_path, text, {"KAFRA__REBALANCE__THRESHOLD": "high"}) == [
        f'{NAME}:2: failover.backup_hosts_count: "2" is not allowed; allowed: an integer from 0 to 8',
        f"{NAME}:3: failover.migration_timeout: 1.5 is not allowed; allowed: an integer from 100 to 60000",
        f"{NAME}:4: general.enable_p2p_maps: 2 is not allowed; allowed: true or false (1 or 0)",
        f"{NAME}:5: scoring.load_weight: true is not allowed; allowed: a number from 0 to 1",
        f"{NAME}:6: scoring.weights.cpu: -0.1 is not allowed; allowed: a number from 0 to 1",
        f'{NAME}:7: security.own_host: "full" is not allowed; allowed: one of "full_check", "deny"',
        f'{NAME}:8: vps.core: "localhost" is not allowed; allowed: "host:port", port from 1 to 65535',
        f'{NAME}:9: vps.fallback: "localhost:70000" is not allowed; allowed: "host:port", port from 1 to 65535',
        f"{NAME}:11: nats.url: this value is not allowed; allowed: "
        '"nats://host:port" (or tls, ws, wss); several with commas between',
        f"{NAME}:12: rebalance: 3 is not allowed; allowed: a group: {{ key = value; ... }}",
        f"{NAME}:13: monitoring.detailed_logging: a group is not allowed; allowed: true or false (1 or 0)",
    ]


@pytest.mark.parametrize("value", ["1e999", "-1e999", '"\\x00"', "0.0001", "-1"])
def test_a_number_out_of_range_is_refused_however_it_is_written(tmp_path, value):
    (line,) = findings(tmp_path, f"host_requirements: {{ net_max_latency = {value}; }};")

    assert line.endswith("is not allowed; allowed: a number from 1 to 1000")


def test_the_error_survives_a_process_boundary():
    error = ConfigError([Finding("f", 1, "k", "m", "a")])

    again = pickle.loads(pickle.dumps(error))

    assert (again.findings, str(again)) == (error.findings, "f:1: k: m; allowed: a")


# --- unknown keys ---


def test_an_unknown_key_suggests_the_nearest_one_beside_it(tmp_path):
    (line,) = findings(tmp_path, "failover: {\n backup_host_count = 2; };")

    assert line.startswith(
        f'{NAME}:2: failover.backup_host_count: unknown key; did you mean "failover.backup_hosts_count"?; allowed: one of '
    )
    assert "warm_backups" in line


def test_an_unknown_group_suggests_the_nearest_group(tmp_path):
    (line,) = findings(tmp_path, "Fail_over: { backup_hosts_count = 2; };")

    assert 'Fail_over: unknown key; did you mean "failover"?' in line


def test_a_key_in_the_wrong_group_suggests_the_right_group(tmp_path):
    (line,) = findings(tmp_path, "general: { silence_ms = 2500; };")

    assert 'did you mean "failover.silence_ms"?' in line


def test_an_unknown_key_like_no_other_lists_what_is_known(tmp_path):
    (line,) = findings(tmp_path, "vps: { qqq = 1; };")

    assert line == f"{NAME}:1: vps.qqq: unknown key; allowed: one of core, fallback"


def test_a_key_set_twice_is_refused(tmp_path):
    text = "failover: { silence_ms = 2500;\n};\nvps: {};\nfailover: {\nsilence_ms = 3000;};"

    assert findings(tmp_path, text) == [
        f"{NAME}:4: failover: set twice, first in line 1; allowed: once",
        f"{NAME}:5: failover.silence_ms: set twice, first in line 1; allowed: once",
    ]


# --- the environment ---


def test_a_wrong_override_names_the_variable(tmp_path):
    environ = {
        "KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "99",
        "KAFRA__GENERAL__HOSTS_MUST_PLAY": "perhaps",
        "KAFRA__MAPS__NEVER": "[",
    }

    assert findings(tmp_path, "failover: { backup_hosts_count = 3; };", environ) == [
        "KAFRA__FAILOVER__BACKUP_HOSTS_COUNT: failover.backup_hosts_count: 99 is not allowed; allowed: an integer from 0 to 8",
        'KAFRA__GENERAL__HOSTS_MUST_PLAY: general.hosts_must_play: "perhaps" is not allowed; allowed: true or false (1 or 0)',
        'KAFRA__MAPS__NEVER: maps.never: "[" is not allowed; allowed: a list of at most 2000 map names and globs,'
        ' e.g. ["pay_dun0?", "gef_fild*"], 1 to 32 characters each',
    ]


def test_a_right_override_mends_a_wrong_value_of_the_file(tmp_path):
    path = tmp_path / NAME
    path.write_text("failover: { backup_hosts_count = 99; };")

    assert load(path, {"KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "3"}).failover.backup_hosts_count == 3


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("KAFRA__FAILOVER__BACKUP_HOST_COUNT", 'unknown key; did you mean "KAFRA__FAILOVER__BACKUP_HOSTS_COUNT"?'),
        ("KAFRA__FAILOVR__SILENCE_MS", 'unknown key; did you mean "KAFRA__FAILOVER"?'),
        ("KAFRA__FAILOVER", "this names a group, not a key; allowed: KAFRA__FAILOVER__<KEY>"),
        ("KAFRA__REGIONS", "this names a group, not a key; allowed: KAFRA__REGIONS__<KEY>"),
        ("KAFRA__FAILOVER__SILENCE_MS__X", "unknown key"),
        ("KAFRA__", "unknown key"),
        ("KAFRA___ENV_FILE", "unknown key"),
        ("KAFRA__REGIONS__A B", '"a b" is not allowed'),
    ],
)
def test_a_variable_that_names_no_key_is_a_finding(tmp_path, variable, said):
    (line,) = findings(tmp_path, "", {variable: "a:1"})

    assert line.startswith(f"{variable}: ")
    assert said in line


def test_findings_of_file_and_environment_come_together(tmp_path):
    lines = findings(tmp_path, "vps: { core = 1; };", {"KAFRA__VPS__FALLBACK": "2", "KAFRA__VPS__X": "3"})

    assert [line.split(":")[0] for line in lines] == [NAME, "KAFRA__VPS__FALLBACK", "KAFRA__VPS__X"]


@pytest.mark.parametrize(
    "text",
    [
        'nats: { url = "user:hunter2@bus"; };',
        'nats: { ulr = "nats://user:hunter2@bus"; };',
        'nats = "nats://user:hunter2@bus";',
        'nats: { url = "nats://user:" "hunter2@bus"; };',
        'nats: { url "nats://user:hunter2@bus"; };',
        'nats: { url = "nats://user:hunter2@bus; };',
        'nats: { url = "nats://user:hunter2@bus"; ? };',
    ],
)
def test_a_secret_is_in_no_finding(tmp_path, text):
    assert "hunter2" not in "".join(findings(tmp_path, text))


def test_a_secret_of_the_environment_is_in_no_finding(tmp_path):
    environ = {"KAFRA__NATS__URL": "user:hunter2@bus", "KAFRA__NATS__PASSWORD": "hunter2"}

    assert "hunter2" not in "".join(findings(tmp_path, "", environ))


# --- keys that must agree ---


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "failover: {\nwarm_backups = 3; };",
            "2: failover.warm_backups: 3 is above backup_hosts_count, which is 2; allowed: warm_backups <= backup_hosts_count",
        ),
        (
            "failover: {\nsilence_ms = 600; };",
            "2: failover.suspicion_ms: 700 is above silence_ms, which is 600; allowed: suspicion_ms <= silence_ms",
        ),
        (
            "monitoring: {\n\nheartbeat_idle_ms = 400; };",
            "3: monitoring.heartbeat_busy_ms: 500 is above heartbeat_idle_ms, which is 400;"
            " allowed: heartbeat_busy_ms <= heartbeat_idle_ms",
        ),
        (
            "security: {\nblacklist_max_s = 60; };",
            "2: security.blacklist_s: 3600 is above blacklist_max_s, which is 60; allowed: blacklist_s <= blacklist_max_s",
        ),
        (
            "scoring: {\nweights: {\ncpu = 0.2; }; };",
            "2: scoring.weights: the weights sum to 1.05; allowed: a sum of 1",
        ),
        (
            "scoring: { weights: { cpu = 0; ram = 0; network = 0; latency = 1; stability = 0; }; };\n"
            "general: {\nprefer_low_latency = 0; };",
            "3: general.prefer_low_latency: no weight is left when latency does not count; allowed: another weight above 0",
        ),
        (
            'maps: { never = [ "a*",\n"b",\n"a*" ]; };',
            '3: maps.never: "a*" stands in the list twice; allowed: each once',
        ),
    ],
)
def test_keys_that_contradict_each_other(tmp_path, text, line):
    assert findings(tmp_path, text) == [f"{NAME}:{line}"]


def test_a_contradiction_made_by_the_environment_names_the_variable(tmp_path):
    (line,) = findings(tmp_path, "failover: { warm_backups = 2; };", {"KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "1"})

    assert line.startswith("KAFRA__FAILOVER__BACKUP_HOSTS_COUNT: failover.warm_backups: 2 is above backup_hosts_count")


def test_contradictions_are_reported_beside_other_findings_but_not_about_refused_values(tmp_path):
    text = "failover: { backup_hosts_count = 99; warm_backups = 8;\nsilence_ms = 600; };"

    assert [line.split(" is ")[0] for line in findings(tmp_path, text)] == [
        f"{NAME}:1: failover.backup_hosts_count: 99",
        f"{NAME}:2: failover.suspicion_ms: 700",
    ]


def test_weights_that_sum_to_one_but_for_rounding_are_allowed(tmp_path):
    path = tmp_path / NAME
    path.write_text("scoring: { weights: { cpu = 0.1500005; }; };")

    assert load(path, {}).scoring.weights.cpu == 0.1500005


# --- names ---


@pytest.mark.parametrize("name", ["", "a" * 33, "a.b", "a b", "prontera>", "ü", "a\\n"])
def test_a_map_pattern_that_can_be_no_map_is_refused_in_its_line(tmp_path, name):
    (line,) = findings(tmp_path, f'maps: {{ eligible: {{\nfield = [ "ok",\n"{name}" ]; }}; }};')

    assert line.startswith(f"{NAME}:3: maps.eligible.field: ")
    assert "map names and globs" in line


@pytest.mark.parametrize("region", ['e* = "a:1"', 'eu = "a"', 'eu = "a:0"', "eu = 5121", f'{"e" * 33} = "a:1"'])
def test_a_wrong_region_is_refused(tmp_path, region):
    (line,) = findings(tmp_path, f"regions: {{\n{region}; }};")

    assert line.startswith(f"{NAME}:2: regions.{region.split(' ')[0]}: ")
    assert '"host:port"' in line


def test_a_list_that_is_too_long_is_refused(tmp_path):
    names = ", ".join(f'"m{number}"' for number in range(2001))

    (line,) = findings(tmp_path, f"maps: {{ never = [ {names} ]; }};")

    assert line.startswith(f"{NAME}:1: maps.never: too many; allowed: a list of at most 2000")
