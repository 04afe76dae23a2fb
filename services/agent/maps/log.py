"""A log file that does not grow beyond its bound: when it is full it becomes NAME.1, and begins anew."""

import os
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 1 << 20
"""A start says 5 KB to 1 MB, by how many scripts it has."""


class BoundedLog:
    """At most two files of FILE_BYTES_MAX. A disk that is full loses lines, and nothing else."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, data: bytes) -> None:
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
        self._file.close()
