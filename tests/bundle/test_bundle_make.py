"""An operator makes a bundle: what lies in its directory, what a second run changes, and the key."""

import json
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundle_maker import FILES, KEY, NOW_MS, OTHER_KEY, PUBLIC, entry, manifest, manifest_of, object_of, publish, tree_of

from libs.bundle.manifest import MANIFEST_NAME, public_text, sealed
from libs.bundle.refusal import Refused
from services.agent.bundle_lock import held
from services.ops.__main__ import main
from services.ops.bundle.contents import CannotBundle
from services.ops.bundle.keys import BadKeyFile, make_key, read_key
from services.ops.bundle.making import KEPT, LOCK, objects_missing

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes of files")


def test_the_same_files_make_the_same_version_and_nothing_is_written_again(out):
    first = publish(out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    second = publish(out, now_ms=NOW_MS + 60_000)

    assert (first.is_new, second.is_new) == (True, False)
    assert second.manifest == first.manifest
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_another_content_has_another_version_and_a_later_sequence(out):
    first = publish(out).manifest
    same_second = publish(out, {**FILES, "npc/fields.txt": b""}).manifest
    clock_set_back = publish(out, now_ms=1_000).manifest

    assert first.version == clock_set_back.version != same_second.version
    assert first.sequence < same_second.sequence < clock_set_back.sequence


def test_a_sequence_grows_though_the_directory_got_lost(out, tmp_path):
    first = publish(out).manifest
    second = publish(tmp_path / "elsewhere", {"map-server": b"x"}, now_ms=NOW_MS + 1000).manifest

    assert second.sequence > first.sequence


def test_only_what_is_new_is_packed_and_what_no_manifest_names_goes(out):
    sizes = []
    for number in range(KEPT + 2):
        made = publish(out, {**FILES, "npc/fields.txt": b"%d" % number}, now_ms=NOW_MS + number * 1000)
        sizes.append(made.objects_written)

    contents = len(set(FILES.values()))
    assert sizes == [contents] + [1] * (KEPT + 1)
    assert len(list(out.glob("objects/*/*"))) == contents - 1 + KEPT
    assert len(list(out.glob("before/*"))) == KEPT - 1


@POSIX
def test_what_is_handed_out_can_be_read_by_a_web_server(out):
    publish(out)

    files = [path for path in out.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.name != LOCK} == {0o644}


def test_what_another_run_left_half_done_is_done_anew(out):
    publish(out)
    lost = out / object_of(out, "map-server")
    lost.write_bytes(b"half")
    (lost.parent / "x.new").write_bytes(b"rest of a run")

    missing = objects_missing(out, manifest_of(out))
    publish(out)

    assert missing == ["map-server"]
    assert objects_missing(out, manifest_of(out)) == []


def test_another_key_s_bundle_is_not_overwritten(out):
    publish(out)
    before = tree_of(out)

    with pytest.raises(CannotBundle, match="another key"):
        publish(out, {"map-server": b"x"}, key=OTHER_KEY)

    assert tree_of(out) == before


def test_two_runs_do_not_make_one_bundle_at_once(out):
    with held(out / LOCK) as is_ours:
        assert is_ours
        with pytest.raises(CannotBundle, match="another run"):
            publish(out)

    assert publish(out).is_new


def test_a_directory_with_something_else_in_it_is_left_alone(out):
    out.mkdir()
    (out / "index.html").write_text("mine")

    with pytest.raises(CannotBundle, match="something else"):
        publish(out)


def test_a_file_that_no_agent_would_take_makes_no_bundle(out):
    with pytest.raises(Refused, match="npc/aux"):
        publish(out, {**FILES, "npc/aux.txt": b""})

    assert not (out / MANIFEST_NAME).exists()


# The key.


@POSIX
def test_a_key_is_its_owner_s_alone_and_made_once(tmp_path):
    path = tmp_path / "keys" / "bundle.key"

    made = make_key(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_text(read_key(path).public_key()) == public_text(made.public_key())
    with pytest.raises(FileExistsError):
        make_key(path)
    assert public_text(read_key(path).public_key()) == public_text(made.public_key())


@POSIX
def test_a_key_that_others_can_read_is_refused(tmp_path):
    make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)

    with pytest.raises(BadKeyFile, match="chmod 600"):
        read_key(tmp_path / "key")


@pytest.mark.parametrize("text", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_said(tmp_path, text):
    (tmp_path / "key").write_bytes(text)
    (tmp_path / "key").chmod(0o600)

    with pytest.raises(BadKeyFile, match="no Ed25519 key"):
        read_key(tmp_path / "key")


# The command.


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def kafra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command, in this process, with a store of the test's own."""
    monkeypatch.setenv("KAFRA_STORE", str(tmp_path))

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["kafra", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_key_says_the_public_half_and_keeps_what_is_there(kafra, tmp_path):
    first = kafra("bundle", "key", "--json")
    second = kafra("bundle", "key", "--json")

    one, two = json.loads(first.out), json.loads(second.out)
    assert (one["new"], two["new"]) == (True, False)
    assert one["public"] == two["public"] == public_text(read_key(tmp_path / "bundle.key").public_key())


def test_show_says_what_is_in_it_whose_it_is_and_whether_all_is_there(kafra, out):
    publish(out)

    shown = kafra("bundle", "show", out, "--public", PUBLIC, "--json")
    (out / object_of(out, "db/mob_db.yml")).unlink()
    lacking = kafra("bundle", "show", out, "--public", PUBLIC)
    of_another = kafra("bundle", "show", out, "--public", public_text(OTHER_KEY.public_key()))

    value = json.loads(shown.out)
    assert (shown.code, value["signed"], value["missing"]) == (0, True, [])
    assert {file["path"]: file["size"] for file in value["files"]} == {path: len(data) for path, data in FILES.items()}
    assert (lacking.code, "db/mob_db.yml" in lacking.out) == (1, True)
    assert (of_another.code, "NOT signed" in of_another.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["make", "nowhere", "--out", "x"], 1, "bundle key"),
        (["show", "nowhere"], 1, "No such file"),
        (["show", "nowhere", "--public", "x"], 1, "No such file"),
        (["serve", "nowhere"], 1, "no bundle"),
        (["make"], 2, "RATHENA_DIR"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(kafra, arguments, code, said):
    ended = kafra("bundle", *arguments)

    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_manifest_of_the_longest_names_is_shown(kafra, tmp_path):
    (tmp_path / "m").write_bytes(sealed(manifest(entry("n/" * 15 + "x")), KEY))

    assert kafra("bundle", "show", tmp_path / "m", "--files").code == 0
