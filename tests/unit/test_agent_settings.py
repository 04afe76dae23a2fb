"""agent.toml and the flags: one table for both, a flag wins, and every mistake is said with file, line and what is allowed."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.config import ConfigError
from services.agent import __main__ as command
from services.agent import running
from services.agent.settings import BY_NAME, KEYS, AgentSettings, Key, default_file, is_nats_url, read_file

WHOLE = """# my machine
nats = "nats://play.example.org:4222"
host_id = "my_pc"
seed = "my_pc.seed"
account = 2000001
region = "eu"
address = "203.0.113.7"
port = 6121
simulate = false
"""
MANY = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.text("abcXYZ019_@-", min_size=1, max_size=32)
VALID = {
    "nats": st.sampled_from(["nats://a", "tls://a.b:1", "wss://h:443", "nats://a:1,nats://b:2", "h:4222"]),
    "host_id": NAMES,
    "seed": st.text("abc/._", min_size=1, max_size=60),
    "account": st.integers(0, 2**32 - 1),
    "region": NAMES,
    "address": st.sampled_from(["203.0.113.7", "192.168.1.5", "127.0.0.1"]),
    "port": st.integers(0, 65535),
    "simulate": st.booleans(),
    "maps_dir": st.text("abc/._", min_size=1, max_size=60),
}
INVALID = {
    "nats": st.sampled_from(["", "http://a", "nats://", "nats://a:0", "nats://a:99999", "nats://a,", 4222, True]),
    "host_id": st.sampled_from(["", "a.b", "x" * 33, "*", ">", "ä", 7]),
    "seed": st.sampled_from(["", "x" * 2000, 1]),
    "account": st.sampled_from([-1, 2**32, 1.5, "1", True]),
    "region": st.sampled_from(["", "a b", "x" * 33, 0]),
    "address": st.sampled_from(["", "home.example.org", "2001:db8::1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "1.2.3", 1]),
    "port": st.sampled_from([-1, 65536, "6121", 0.5, False]),
    "simulate": st.sampled_from([0, 1, "true"]),
}


def written(values: dict[str, object]) -> str:
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


def file_with(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_file(tmp_path: Path):
    path = file_with(tmp_path, WHOLE)

    found = running.parse(["--config", str(path)])

    assert found == AgentSettings(
        url="nats://play.example.org:4222",
        host_id="my_pc",
        account_id=2_000_001,
        region="eu",
        seed=tmp_path / "my_pc.seed",
        address="203.0.113.7",
        port=6121,
        simulate=False,
    )


def test_a_flag_wins_over_the_file(tmp_path: Path):
    path = file_with(tmp_path, WHOLE)

    found = running.parse(["--config", str(path), "--host-id", "other", "--port", "1", "--seed", "here.seed", "--simulate"])

    assert (found.host_id, found.port, found.seed, found.simulate) == ("other", 1, Path("here.seed"), True)
    assert found.region == "eu", "what no flag names is the file's"


def test_the_flags_of_ever_are_enough():
    found = running.parse(["--nats", "nats://a:1", "--host-id", "h", "--seed", "f", "--account", "5", "--region", "eu"])

    assert found == AgentSettings("nats://a:1", "h", 5, "eu", Path("f"))


def test_the_file_of_its_place_is_read_without_being_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "kafra").mkdir()
    default_file({"XDG_CONFIG_HOME": str(tmp_path)}).write_text('host_id = "from_file"\n')

    assert running.parse([]).host_id == "from_file"


@given(st.fixed_dictionaries({}, optional=VALID))
@MANY
def test_whatever_is_allowed_is_read(tmp_path: Path, values: dict[str, object]):
    found = read_file(file_with(tmp_path, written(values)))

    assert set(found) == {BY_NAME[name].field for name in values}
    for name, value in values.items():
        assert found[BY_NAME[name].field] == (tmp_path / str(value) if name in ("seed", "maps_dir") else value)


@given(st.data(), st.lists(st.sampled_from(sorted(INVALID)), min_size=1, unique=True))
@MANY
def test_every_mistake_is_said_with_its_line(tmp_path: Path, data: st.DataObject, names: list[str]):
    values: dict[str, object] = {name: data.draw(strategy) for name, strategy in VALID.items()}
    values |= {name: data.draw(INVALID[name]) for name in names}

    with pytest.raises(ConfigError) as refused:
        read_file(file_with(tmp_path, written(values)))

    said = {finding.key: finding for finding in refused.value.findings}
    assert set(said) == set(names)
    for name, finding in said.items():
        assert finding.line == 1 + list(values).index(name)
        assert finding.allowed == BY_NAME[name].allowed


@given(st.text(max_size=200) | st.text("[]={}\"'\n#.a1", max_size=60))
@MANY
def test_any_text_is_settings_or_an_error_and_nothing_else(tmp_path: Path, text: str):
    path = tmp_path / "agent.toml"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))

    said = ""
    try:
        read_file(path)
    except ConfigError as error:
        said = str(error)

    assert not said or said.startswith(str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'hostid = "a"\n', "agent.toml:1: hostid: no such key; allowed: nats, host_id"),
        (b"\n\nport = 70000\n", "agent.toml:3: port: 70000 is not allowed; allowed: 0 to 65535"),
        (b"port = \n", "it is no TOML"),
        (b"\xff\xfe", "it is no UTF-8 text"),
        (b'[nats]\nurl = "nats://a"\n', "agent.toml:1: nats: a group is not allowed"),
        (b"#" * 70_000, "larger than 65536 bytes"),
        (b"a = " + b"[" * 5_000, "it is no TOML"),
    ],
)
def test_a_wrong_file_ends_with_1_and_says_so(content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "agent.toml"
    path.write_bytes(content)

    for arguments in (["--config", str(path)], ["run", "--config", str(path)], ["doctor", "--config", str(path)]):
        assert command.main(arguments) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("path", ["no/such/agent.toml", "."])
def test_a_file_that_cannot_be_read_is_named(path: str, capsys: pytest.CaptureFixture[str]):
    assert command.main(["--config", path]) == 1
    assert path in capsys.readouterr().err


@pytest.mark.parametrize("key", [key for key in KEYS if key.kind is not bool], ids=lambda key: key.name)
def test_a_wrong_flag_is_a_matter_of_usage_and_says_what_is_allowed(key: Key, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        command.main(["doctor", key.flag, "" if key.kind is str else "-1"])

    assert ended.value.code == 2
    assert f"{key.flag}: {key.allowed}" in capsys.readouterr().err


def test_without_a_name_there_is_no_host(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        command.main([])

    assert ended.value.code == 2
    assert "--host-id" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"]])
def test_help_has_examples(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)

    assert ended.value.code == 0
    assert "Example: kafra agent" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["nats://[::1]:4222", "wss://a.example.org", "127.0.0.1:4222"])
def test_urls_of_a_server(url: str):
    assert is_nats_url(url)


@pytest.mark.parametrize("url", ["nats://[::1", "ftp://a", "nats://a:b", " ", "nats://" + "a" * 2000])
def test_urls_of_none(url: str):
    assert not is_nats_url(url)
