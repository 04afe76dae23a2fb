"""A lease: mutual exclusion with a time limit, without trusting any clock but one's own (DESIGN D2).

In: a name and a time to live. Out: `held`, `number`, on_change. Called by libs.bus.nats. The record is the last message of
one subject; every step is a compare-and-set on its sequence:
- the holder renews; it holds for ttl from when its last *accepted* renewal was *sent*, by its own clock, asked at each look;
- a contender takes over when the record has not changed for ttl and a margin, by its own clock, since the contender saw it.
  It saw it after it was written, and that was after it was sent: so the holder stopped believing before. No server's expiry,
  no wall clock takes part. Source: the same argument as Gray and Cheriton 1989, Leases.
- a holder that leaves says so, and the next contender does not wait.
The number is the sequence at which the holder took it: it grows with every holder.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from secrets import token_hex

import msgspec

from libs.bus.clock import now_s
from libs.bus.connection import Connection
from libs.bus.errors import BusUnavailable
from libs.bus.guard import end, guarded
from libs.bus.port import Subscription
from libs.bus.stored import get_message
from libs.bus.streams import LEASE_PREFIX, LEASES

STEPS_PER_TTL = 6
"""Renewals and looks per time to live: four may fail one after the other and the lease is still held."""
MARGIN = 0.1
"""Of ttl: more than two clocks drift apart within one."""
RELEASE_TIMEOUT_S = 0.5
_LOG = logging.getLogger(__name__)


class _Record(msgspec.Struct):
    """holder: one process's one attempt to hold; empty: released. by: its name, for operators."""

    holder: str
    by: str
    ttl_s: float


class _Ack(msgspec.Struct):
    seq: int = 0
    error: dict[str, object] | None = None


class NatsLease:
    """Implements `Lease`."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        ttl_s: float,
        by: str,
        on_change: Callable[[bool], None] | None,
        forget: Callable[[Subscription], None],
    ) -> None:
        self._connection = connection
        self._subject = f"{LEASE_PREFIX}.{name}"
        self._ttl_s = ttl_s
        self._record = _Record(token_hex(8), by, ttl_s)
        self._on_change = on_change
        self._forget = forget
        self._number = 0
        self._revision = 0
        self._valid_until_s = 0.0
        self._seen: tuple[int, float] = (0, 0.0)
        self._told = False
        self._expiry: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._compete(), name=f"lease {name}")

    @property
    def held(self) -> bool:
        return now_s() < self._valid_until_s

    @property
    def number(self) -> int:
        return self._number if self.held else 0

    async def close(self) -> None:
        """Stops; what was held is released, if the server can be told in time."""
        await end([self._task])
        was_held = self.held
        self._drop()
        self._forget(self)
        if was_held:
            try:
                await self._write(msgspec.structs.replace(self._record, holder=""), self._revision, RELEASE_TIMEOUT_S)
            except BusUnavailable as error:
                _LOG.info("%s: not released: %s", self._subject, error)

    async def _compete(self) -> None:
        step_s = self._ttl_s / STEPS_PER_TTL
        while True:
            try:
                if self._number and self.held:
                    await self._renew(step_s)
                else:
                    self._drop()
                    await self._try_acquire(step_s)
            except BusUnavailable as error:
                _LOG.debug("%s: %s", self._subject, error)
            await asyncio.sleep(step_s * random.uniform(0.8, 1.0))

    async def _renew(self, timeout_s: float) -> None:
        sent_s = now_s()
        seq = await self._write(self._record, self._revision, timeout_s)
        if seq:
            self._revision = seq
            self._extend(sent_s)
            return
        current = await self._look(timeout_s)
        if current is not None and current[1].holder == self._record.holder:
            self._revision = current[0]  # an earlier renewal did arrive; when it was sent is not known: renew again
        else:
            _LOG.warning("%s: lost to another", self._subject)
            self._drop()

    async def _try_acquire(self, timeout_s: float) -> None:
        current = await self._look(timeout_s)
        if current is not None and current[1].holder not in ("", self._record.holder):
            seq, record = current
            if seq != self._seen[0]:
                self._seen = (seq, now_s())
                return
            if now_s() - self._seen[1] < record.ttl_s * (1 + MARGIN):
                return
        sent_s = now_s()
        seq = await self._write(self._record, current[0] if current else 0, timeout_s)
        if seq and now_s() < sent_s + self._ttl_s:
            self._number = self._revision = seq
            _LOG.info("%s: held, number %d", self._subject, seq)
            self._extend(sent_s)
            self._tell(True)

    async def _look(self, timeout_s: float) -> tuple[int, _Record] | None:
        message = await get_message(self._connection, LEASES, {"last_by_subj": self._subject}, timeout_s)
        if message is None:
            return None
        try:
            return message.seq, msgspec.json.decode(message.body, type=_Record)
        except msgspec.DecodeError:
            return message.seq, _Record("", "", self._ttl_s)  # a key-value tool wrote or deleted it: nobody's

    async def _write(self, record: _Record, expected: int, timeout_s: float) -> int:
        """The new sequence; 0: refused.

        Raises:
            BusUnavailable: no answer; the write may stand or not.
        """
        headers = b"Nats-Expected-Last-Subject-Sequence: %d\r\n" % expected
        _, body = await self._connection.call(self._subject, msgspec.json.encode(record), timeout_s, headers)
        ack = msgspec.json.decode(body, type=_Ack)
        return 0 if ack.error is not None else ack.seq

    def _extend(self, sent_s: float) -> None:
        self._valid_until_s = sent_s + self._ttl_s
        if self._expiry is not None:
            self._expiry.cancel()
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(max(0.0, self._valid_until_s - now_s()), self._on_expiry)

    def _on_expiry(self) -> None:
        if not self.held:
            self._drop()
        else:
            self._extend(self._valid_until_s - self._ttl_s)

    def _drop(self) -> None:
        self._valid_until_s = 0.0
        self._number = 0
        if self._expiry is not None:
            self._expiry.cancel()
        self._tell(False)

    def _tell(self, held: bool) -> None:
        if held != self._told:
            self._told = held
            if self._on_change is not None:
                guarded(self._on_change, held)
