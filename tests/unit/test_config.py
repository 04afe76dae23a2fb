"""The configuration: what an operator writes, what the services get."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from libs.config import LOCAL, SHIPPED, ConfigError, General, Scoring, Settings, Weights, load
from libs.config.schema import bounds, leaves
from libs.config.text import dotted


def of(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "p2p_map_config.conf"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})


def written(value: Any) -> str:
    """value in libconfig syntax."""
    if isinstance(value, dict):
        return "{" + "".join(f"{name} = {written(item)};" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def test_no_file_and_no_environment_give_the_defaults():
    assert load(None, {}) == Settings()


def test_an_installation_without_the_shipped_file_has_the_same_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr("libs.config.loading.SHIPPED", tmp_path / "missing.conf")

    assert load(None, {}) == Settings()


def test_an_empty_file_gives_the_defaults(tmp_path):
    assert of(tmp_path, "") == Settings()


def test_values_of_the_file_win_over_the_defaults(tmp_path):
    read = of(
        tmp_path,
        """
        general: { enable_p2p_maps = 0; persistent_hosts = false; hosts_must_play = TRUE; }
        host_requirements = { net_max_latency: 45; slots_max = 0x20; ram_min_mb = 4096L; };
        maps: { eligible: { dungeon = ("gl_*", "pay_dun0?"); }; never = []; };
        regions: { eu = "203.0.113.5:5121"; us-east = "[2001:db8::1]:5121"; };
        security: { own_host = "deny"; };
        """,
    )

    assert (read.general.enable_p2p_maps, read.general.persistent_hosts, read.general.hosts_must_play) == (False, False, True)
    assert read.general.enable_vps_fallback is True
    assert read.host_requirements.net_max_latency == 45.0
    assert (read.host_requirements.slots_max, read.host_requirements.ram_min_mb) == (32, 4096)
    assert read.maps.eligible.dungeon == ("gl_*", "pay_dun0?")
    assert read.maps.never == ()
    assert read.regions == {"eu": "203.0.113.5:5121", "us-east": "[2001:db8::1]:5121"}
    assert read.security.own_host == "deny"


def test_the_environment_wins_over_the_file(tmp_path):
    text = 'failover: { backup_hosts_count = 4; silence_ms = 3000; }; regions: { EU = "a:1"; };'
    environ = {
        "KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "3",
        "KAFRA__GENERAL__HOSTS_MUST_PLAY": "1",
        "KAFRA__GENERAL__ENABLE_P2P_MAPS": "False",
        "KAFRA__SCORING__LOAD_WEIGHT": "0.2",
        "KAFRA__SCORING__REFERENCE__RAM_MB": "32768",
        "KAFRA__MAPS__NEVER": "prontera, gl_*",
        "KAFRA__MAPS__ELIGIBLE__FIELD": '["prt_fild0?"]',
        "KAFRA__REGIONS__EU": "b:2",
        "KAFRA__REGIONS__US__EAST": "c:3",
        "KAFRA__NATS__CREDENTIALS": "007",
        "KAFRA_OTHER": "not ours",
        "PATH": "not ours",
    }

    read = of(tmp_path, text, environ)

    assert (read.failover.backup_hosts_count, read.failover.silence_ms) == (3, 3000)
    assert (read.general.hosts_must_play, read.general.enable_p2p_maps) == (True, False)
    assert (read.scoring.load_weight, read.scoring.reference.ram_mb) == (0.2, 32768)
    assert (read.maps.never, read.maps.eligible.field) == (("prontera", "gl_*"), ("prt_fild0?",))
    assert read.regions == {"EU": "b:2", "us__east": "c:3"}
    assert read.nats.credentials == "007"


def test_only_the_mapping_passed_is_the_environment(monkeypatch):
    monkeypatch.setenv("KAFRA__FAILOVER__BACKUP_HOSTS_COUNT", "5")
    monkeypatch.setenv("FAILOVER", '{"backup_hosts_count": 6}')

    assert load(None, {}).failover.backup_hosts_count == 2
    assert Settings().failover.backup_hosts_count == 2
    assert Settings.from_public({}).failover.backup_hosts_count == 2


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().failover.backup_hosts_count = 3


def test_eligible_patterns_are_those_of_all_categories_each_once(tmp_path):
    lists = 'field = ["a*"]; dungeon = ["b", "a*"]; training = []; instance = []; guild = ["c"]; quest = [];'

    assert of(tmp_path, f"maps: {{ eligible: {{ {lists} }}; }};").maps.eligible_patterns == ("a*", "b", "c")


# --- weights ---


def test_latency_counts_by_default():
    assert Settings().effective_weights() == Weights()


def test_without_prefer_low_latency_the_other_weights_are_rescaled():
    weights = Settings(general=General(prefer_low_latency=False)).effective_weights()

    assert weights.latency == 0
    assert math.isclose(weights.network, 0.25 / 0.65)
    assert math.isclose(weights.cpu + weights.ram + weights.network + weights.stability, 1)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda w: sum(w[:4]) > 1e-3))
def test_rescaled_weights_always_sum_to_one(raw):
    cpu, ram, network, stability, latency = (weight / sum(raw) for weight in raw)
    scoring = Scoring(weights=Weights(cpu=cpu, ram=ram, network=network, stability=stability, latency=latency))

    weights = Settings(general=General(prefer_low_latency=False), scoring=scoring).effective_weights()

    assert weights.latency == 0
    assert math.isclose(weights.cpu + weights.ram + weights.network + weights.stability, 1)


# --- the recorded form ---


def test_public_is_plain_json_without_what_concerns_this_machine_alone():
    public = Settings().public()

    assert json.loads(json.dumps(public)) == public
    assert set(public) == set(Settings.model_fields) - set(LOCAL)


def test_the_bus_address_is_in_neither_repr_nor_hash():
    secret = load(None, {"KAFRA__NATS__URL": "nats://user:hunter2@bus:4222", "KAFRA__NATS__CREDENTIALS": "/keys/hunter2"})

    assert "hunter2" not in repr(secret)
    assert secret.hash() == Settings().hash()


def another(field: FieldInfo, value: Any) -> Any:
    """A value that the field allows, and that is not `value`."""
    if field.annotation is bool:
        return not value
    if isinstance(value, int | float):
        low, high = bounds(field)
        return high if value == low else type(value)(low)
    if isinstance(value, list):
        return [*value, "another_map"]
    if isinstance(value, dict):
        return {"eu": "a:1"}
    return next((choice for choice in get_args(field.annotation) if choice != value), "a:1")


@pytest.mark.parametrize("path", [path for path in leaves() if path[0] not in LOCAL], ids=dotted)
def test_every_public_key_changes_the_hash(path):
    changed = at = Settings().public()
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = another(leaves()[path], at[path[-1]])

    digest = Settings.model_validate(changed).hash()

    assert digest != Settings().hash()
    assert len(digest) == 16
    assert set(digest) <= set("0123456789abcdef")


def test_the_hash_is_the_same_in_another_process():
    code = "from libs.config import Settings; print(Settings.from_public({'regions': {'eu': 'a:1', 'us': 'b:2'}}).hash())"

    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert other == Settings.from_public({"regions": {"us": "b:2", "eu": "a:1"}}).hash()


def test_numbers_written_differently_have_one_hash(tmp_path):
    one = of(tmp_path, "host_requirements: { net_max_latency = 40; }; scoring: { load_weight = 0.0; };")
    other = of(tmp_path, "host_requirements: { net_max_latency = 4.0e1; }; scoring: { load_weight = -0.0; };")

    assert one.hash() == other.hash()
    assert one.hash() != Settings().hash()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(random=st.randoms(use_true_random=False), comment=st.sampled_from(["", "# x = 1;\n", "/* { \n */", "// ]\n"]))
def test_the_hash_does_not_depend_on_order_or_comments(tmp_path, random, comment):
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(name, shuffled(item)) for name, item in value.items()]
            random.shuffle(items)
            return dict(items)
        return random.sample(value, len(value)) if isinstance(value, list) else value

    base = Settings.from_public({"regions": {"eu": "a:1", "us": "b:2"}, "failover": {"warm_backups": 2}})
    text = "".join(f"{comment}{name}: {written(group)};\n" for name, group in shuffled(base.public()).items())

    assert of(tmp_path, text).hash() == base.hash()


def test_from_public_is_the_inverse_of_public(tmp_path):
    text = 'failover: { backup_hosts_count = 4; }; regions: { eu = "a:1"; }; maps: { never = ["x"]; };'
    original = of(tmp_path, text)

    again = Settings.from_public(json.loads(json.dumps(original.public())))

    assert again == original


def test_from_public_ignores_unknown_keys_and_takes_defaults_for_missing_ones():
    public = {
        "failover": {"backup_hosts_count": 3, "of_tomorrow": 1},
        "of_tomorrow": {"a": 1},
        "_env_file": "x",
        "nats": {"url": "nats://evil:1"},
    }

    read = Settings.from_public(public)

    assert read.failover.backup_hosts_count == 3
    assert read == Settings.from_public({"failover": {"backup_hosts_count": 3}})
    assert read.nats == Settings().nats


def test_from_public_refuses_what_is_not_allowed():
    with pytest.raises(ConfigError) as caught:
        Settings.from_public({"failover": {"backup_hosts_count": 99}, "vps": 3})

    assert str(caught.value).splitlines() == [
        "config.applied: failover.backup_hosts_count: 99 is not allowed; allowed: an integer from 0 to 8",
        "config.applied: vps: 3 is not allowed; allowed: a group: { key = value; ... }",
    ]


def test_the_shipped_file_is_the_one_at_the_top():
    assert Path(__file__).parents[2] / "conf" / "p2p_map_config.conf" == SHIPPED
