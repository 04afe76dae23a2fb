"""Tickets that were used, over restarts of the bridge too. Bounded: a nonce is forgotten when its ticket has expired.

A file of its own beside what the bridge remembers (memory.py), a record a ticket, appended before the ticket counts. It is
written without waiting for the disk: a killed process loses nothing of it, and a machine that lost its power is back only
when every ticket of before has expired.
"""

import contextlib
import logging
import os
from pathlib import Path
from struct import Struct
from typing import Final

from libs.link.tickets import LIFE_MS, NONCE_BYTES, SKEW_MS

NAME: Final = "spent_tickets"
KEEP_MS: Final = LIFE_MS + 2 * SKEW_MS
NONCES_MAX: Final = 100_000
"""Ten times the largest fleet, each linking anew within a ticket's life; then nobody is let in before some are forgotten."""
_RECORD: Final = Struct(f">{NONCE_BYTES}sQ")
_FORGET_AT: Final = 4_096
"""Tickets used before it is looked at whether some can be forgotten."""
_LOG = logging.getLogger(__name__)


class Nonces:
    """directory: the bridge's store; None: remembered until this process ends."""

    def __init__(self, directory: Path | None, now_ms: int) -> None:
        self._path = directory / NAME if directory is not None else None
        self._spent: dict[bytes, int] = {}
        self._file: int | None = None
        self._since_forgot, self._forget_at = 0, _FORGET_AT
        if self._path is not None:
            try:
                self._read(self._path)
            except OSError as error:  # what was used is not known, so nothing may be: it is not written anew
                _say(error)
            else:
                self._forget(now_ms)

    def __len__(self) -> int:
        return len(self._spent)

    def spend(self, nonce: bytes, now_ms: int) -> bool:
        """False: it was spent before.

        Raises:
            OSError: it cannot be remembered, so the ticket must not count.
        """
        if nonce in self._spent:
            return False
        if len(self._spent) >= NONCES_MAX or self._since_forgot >= self._forget_at:
            self._forget(now_ms)
        if len(self._spent) >= NONCES_MAX:
            raise OSError(f"{NONCES_MAX} tickets were used in the last {KEEP_MS // 1000} s")
        until_ms = now_ms + KEEP_MS
        self._append(_RECORD.pack(nonce, until_ms))
        self._spent[nonce] = until_ms
        self._since_forgot += 1
        return True

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _forget(self, now_ms: int) -> None:
        """Those of expired tickets; the next time when there are twice as many as now, so that it costs little."""
        self._spent = {nonce: until_ms for nonce, until_ms in self._spent.items() if until_ms > now_ms}
        self._since_forgot, self._forget_at = 0, max(_FORGET_AT, len(self._spent))
        self._write_anew()

    def _read(self, path: Path) -> None:
        """A record cut short by the end of the process is of a ticket that never counted."""
        with contextlib.suppress(FileNotFoundError):
            data = path.read_bytes()
            self._spent = dict(_RECORD.iter_unpack(data[: len(data) - len(data) % _RECORD.size]))

    def _append(self, record: bytes) -> None:
        if self._path is None:
            return
        if self._file is None:
            raise OSError("the file of used tickets could not be written")
        if os.write(self._file, record) != len(record):
            self.close()  # half a record: what follows it could not be read
            raise OSError("the disk is full")

    def _write_anew(self) -> None:
        if self._path is None:
            return
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_name(self._path.name + ".new")
            new.write_bytes(b"".join(_RECORD.pack(*entry) for entry in self._spent.items()))
            new.replace(self._path)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            _say(error)


def _say(error: OSError) -> None:
    _LOG.error("used tickets cannot be remembered, so no host can link: %s", error.strerror or error)
