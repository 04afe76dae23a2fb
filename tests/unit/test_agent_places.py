"""Where an agent is found by its player's commands: files for him alone, and none of an agent that is no more."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from libs.events import HostId
from services.agent.pausing import Word
from services.agent.places import Place, Running, began_s, hosts_here

ME = HostId("my_pc")


def running(pid: int | None = None, earlier_s: float = 0.0, host: HostId = ME) -> Running:
    process = psutil.Process(pid or os.getpid())
    return Running(host=host, pid=process.pid, began_s=began_s(process) - earlier_s, port=1234, token="secret")


@pytest.mark.skipif(sys.platform == "win32", reason="there the directory is the user's own")
def test_only_its_user_may_read_it(tmp_path: Path):
    place = Place(ME, tmp_path)

    place.set_running(running())
    place.set_word(Word(1))

    files = list(place.directory.iterdir())
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert place.directory.stat().st_mode & 0o777 == 0o700


def test_a_running_agent_is_found_and_cleared_by_itself_alone(tmp_path: Path):
    place = Place(ME, tmp_path)
    place.set_running(running())

    assert place.running() == running()
    assert list(hosts_here(tmp_path)) == [running()]
    place.clear_running(os.getpid() + 1)
    assert place.running() is not None
    place.clear_running(os.getpid())
    assert place.running() is None
    place.clear_running(os.getpid())


def test_one_that_is_no_more_is_not_found(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    place = Place(ME, tmp_path)
    place.set_running(running(process.pid))
    assert place.running() is not None

    process.communicate()

    assert place.running() is None
    assert list(hosts_here(tmp_path)) == []


def test_another_process_with_its_number_is_not_it(tmp_path: Path):
    place = Place(ME, tmp_path)

    place.set_running(running(earlier_s=3_600))

    assert place.running() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "my_pc"}', b"\xff" * 10_000])
def test_what_cannot_be_read_is_not_there(tmp_path: Path, content: bytes):
    place = Place(ME, tmp_path)
    place.directory.mkdir(parents=True)
    for name in ("running.json", "paused.json"):
        (place.directory / name).write_bytes(content)

    assert place.running() is None
    assert place.word() is None
    assert list(hosts_here(tmp_path)) == []


def test_a_file_of_another_host_is_not_ours(tmp_path: Path):
    """Where the disk does not tell A from a."""
    place = Place(ME, tmp_path)

    place.set_running(running(host=HostId("MY_PC")))

    assert place.running() is None


def test_the_players_word_is_kept_until_he_takes_it_back(tmp_path: Path):
    place = Place(ME, tmp_path)
    for word in (Word(5, 9), Word(5), None):
        place.set_word(word)
        assert Place(ME, tmp_path).word() == word
    place.set_word(None)
