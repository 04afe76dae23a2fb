"""kafra agent enroll: a host's key is made once, kept from others, and said to the operator."""

import json
from pathlib import Path

import pytest

from libs.identity import tokens
from libs.identity.authority import issue, make_authority
from libs.identity.keys import BadKey, Kind, check_host_key, make_seed, public_key_of, read_seed, write_secret
from services.agent.__main__ import main


def enroll(*arguments: object) -> int:
    return main(["enroll", *map(str, arguments)])


def test_it_makes_a_key_and_says_the_operators_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seed = tmp_path / "new" / "my_pc.seed"

    code = enroll("--host-id", "my_pc", "--account", 2000001, "--seed", seed)

    said = capsys.readouterr().out
    key = public_key_of(read_seed(seed))
    assert code == 0
    assert f"kafra hosts add my_pc --key {key} --account 2000001" in said
    assert check_host_key(key) == key
    assert seed.stat().st_mode & 0o777 == 0o600
    assert read_seed(seed) not in said


def test_a_second_time_the_key_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seed = tmp_path / "my_pc.seed"
    enroll("--host-id", "my_pc", "--seed", seed, "--json")
    first = json.loads(capsys.readouterr().out)
    before = seed.read_bytes()

    assert enroll("--host-id", "my_pc", "--seed", seed, "--json") == 0

    second = json.loads(capsys.readouterr().out)
    assert seed.read_bytes() == before
    assert (first["new"], second["new"]) == (True, False)
    assert first["key"] == second["key"]


def test_without_a_path_the_seed_is_beside_agent_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")

    assert enroll("--host-id", "my_pc") == 0

    assert public_key_of(read_seed(tmp_path / "kafra" / "my_pc.seed")) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("", 0o600, "holds no nkey seed"),
        ("something else\n", 0o600, "no nkey seed"),
        ("SUnotaseedatall\n", 0o600, "no nkey seed"),
        (make_seed(Kind.USER), 0o644, "chmod 600"),
        (make_seed(Kind.USER), 0o620, "chmod 600"),
    ],
)
def test_a_file_that_is_there_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, mode: int, said: str
):
    seed = tmp_path / "my_pc.seed"
    seed.write_text(content)
    seed.chmod(mode)

    assert enroll("--host-id", "my_pc", "--seed", seed) == 1

    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not content.strip() or content.strip() not in error
    assert seed.read_text() == content


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")

    assert enroll("--host-id", "my_pc", "--seed", tmp_path / "file" / "my_pc.seed") == 1

    assert len(capsys.readouterr().err.splitlines()) == 1


def test_without_a_host_id_it_says_so():
    with pytest.raises(SystemExit) as ended:
        enroll()

    assert ended.value.code == 2


def test_the_operators_token_becomes_credentials(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    make_authority(tmp_path / "authority", 1_800_000_000)
    enroll("--host-id", "my_pc", "--seed", tmp_path / "my_pc.seed", "--json")
    key = json.loads(capsys.readouterr().out)["key"]
    token = tmp_path / "token"
    token.write_text(issue(tmp_path / "authority", "my_pc", key, 1_800_000_000) + "\n")

    assert [enroll("--host-id", "my_pc", "--seed", tmp_path / "my_pc.seed", "--token", token) for _ in range(2)] == [0, 0]

    made = tmp_path / "my_pc.creds"
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.read_text() == tokens.credentials(token.read_text().strip(), read_seed(tmp_path / "my_pc.seed"))


@pytest.mark.parametrize(("host", "own_key"), [("other", True), ("my_pc", False)])
def test_a_token_for_another_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, own_key: bool):
    make_authority(tmp_path / "authority", 1_800_000_000)
    seed = make_seed(Kind.USER)
    write_secret(tmp_path / "my_pc.seed", seed)
    key = public_key_of(seed if own_key else make_seed(Kind.USER))
    (tmp_path / "token").write_text(issue(tmp_path / "authority", host, key, 1_800_000_000))

    assert enroll("--host-id", "my_pc", "--seed", tmp_path / "my_pc.seed", "--token", tmp_path / "token") == 1

    assert "is not for my_pc" in capsys.readouterr().err
    assert not (tmp_path / "my_pc.creds").exists()


@pytest.mark.parametrize(
    "text", ["", "x", "a.b", "a.b.c", "\x00.\x00.\x00", "e30.e30.e30", "e30.W10.e30", "e30.eyJuYXRzIjpbXX0.x"]
)
def test_what_is_no_token_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str):
    (tmp_path / "token").write_text(text)

    assert enroll("--host-id", "my_pc", "--seed", tmp_path / "my_pc.seed", "--token", tmp_path / "token") == 1

    assert "no NATS token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda key: key[:-1], "56 characters"),
        (lambda key: key + "A", "56 characters"),
        (lambda key: key.lower(), "56 characters"),
        (lambda key: "A" + key[1:], "of a user"),
        (lambda key: key[:10] + ("A" if key[10] != "A" else "B") + key[11:], "checksum"),
        (lambda _: "", "of a user"),
        (lambda _: "ünïcödé", "56 characters"),
        (lambda _: make_seed(Kind.USER), "secret half"),
        (lambda _: public_key_of(make_seed(Kind.ACCOUNT)), "of a user"),
    ],
)
def test_what_is_no_public_key_is_refused_and_why(change, said: str):
    with pytest.raises(BadKey, match=said) as caught:
        check_host_key(change(public_key_of(make_seed(Kind.USER))))

    assert "SU" not in str(caught.value)
