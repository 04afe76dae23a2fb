"""A log file that does not grow beyond its bound: when it is full it becomes NAME.1, and begins anew."""

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 1 << 20
"""A start says 5 KB to 1 MB, by how many scripts it has."""
FILES_MAX: Final = 64
"""A machine may run every map there is in the course of time; its player wants to see the last ones."""


class BoundedLog:
    """At most two files of FILE_BYTES_MAX. A disk that is full, or that may not be written, loses lines, and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None
        self._size = 0
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            if self._size + len(data) > FILE_BYTES_MAX and self._size:
                self._file.close()
                os.replace(self.path, self.path.with_name(f"{self.path.name}.1"))  # noqa: PTH105
                self._file = self.path.open("wb", buffering=0)
                self._size = 0
            self._file.write(data[-FILE_BYTES_MAX:])
            self._size += len(data)
        except (OSError, ValueError):  # ValueError: it could not be opened anew
            return

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def prune(directory: Path) -> None:
    """Keeps the logs of the maps that ran last."""
    with suppress(OSError):
        logs = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in logs[FILES_MAX:]:
            old.unlink(missing_ok=True)
