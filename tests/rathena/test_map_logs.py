"""The logs of a host's map-servers: bounded in size and number, and never a reason to fall."""

import os
from pathlib import Path

import pytest

from services.agent.maps import log as log_room
from services.agent.maps.log import BoundedLog


def test_a_log_is_bounded_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_room, "FILE_BYTES_MAX", 1_000)
    log = BoundedLog(tmp_path / "logs" / "map.log")

    for n in range(100):
        log.write(f"{n:099d}\n".encode())
    log.close()

    sizes = [path.stat().st_size for path in sorted((tmp_path / "logs").iterdir())]
    assert len(sizes) == 2
    assert max(sizes) <= 1_000
    assert log.path.read_text().rstrip().endswith("99")


def test_logs_of_the_maps_that_ran_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_room, "FILES_MAX", 2)
    for n in range(4):
        path = tmp_path / f"map{n}.log"
        path.write_text("x")
        os.utime(path, (n, n))

    log_room.prune(tmp_path)
    log_room.prune(tmp_path / "nothing")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["map2.log", "map3.log"]


def test_where_no_log_can_be_kept_lines_are_lost_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no directory")
    log = BoundedLog(tmp_path / "logs" / "map.log")

    log.write(b"x")
    log.close()

    assert (tmp_path / "logs").read_text() == "no directory"
