"""What a process has of the bus: `Publisher` (writes that are neither lost nor doubled) and `Lease`, as libs/bus has them.

They run inside their process: their timers stand still while it is paused and end with it (`Timers`).
"""

import random
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from libs.hosting.effects import Append, Committed, InDoubt, Outcome
from tests.sim.clock import MS, Clock
from tests.sim.network import Network
from tests.sim.server import Client, Server

RETRY_FIRST_US, RETRY_US = 250 * MS, 500 * MS
STEPS_PER_TTL = 6
MARGIN = 0.1
"""As libs/bus/log.py and libs/bus/lease.py."""


class Host(Client, Protocol):
    """The process around: `later` and `handle` run an act only while this life of it lasts, and not while it is paused."""

    def later(self, delay_us: int, act: Callable[..., None], *args: Any) -> None: ...
    def handle(self, act: Callable[..., None], *args: Any) -> None: ...


class _Write:
    __slots__ = ("append", "attempts", "msg_id", "on_settled", "settled")

    def __init__(self, append: Append, msg_id: str, on_settled: Callable[[Append, Outcome], None]) -> None:
        self.append, self.msg_id, self.on_settled = append, msg_id, on_settled
        self.attempts = 0
        self.settled = False


class Publisher:
    """The same Msg-Id and the same expectation at every attempt; gives up after settle_us: InDoubt.

    on_acknowledged: told what the server acknowledged to this client (Msg-Id, write, sequence).
    """

    def __init__(self, process: Host, server: Server, network: Network, settle_us: int) -> None:
        self._process, self._server, self._network, self._settle_us = process, server, network, settle_us
        self._number = 0
        self._open: dict[str, _Write] = {}
        self.on_acknowledged: Callable[[str, Append, int], None] = lambda msg_id, write, seq: None

    def submit(self, append: Append, on_settled: Callable[[Append, Outcome], None]) -> None:
        self._number += 1
        write = _Write(append, f"{self._process.name}.{self._number}", on_settled)
        self._open[write.msg_id] = write
        self._process.later(self._settle_us, self._settle, write, InDoubt("no answer in time"))
        self._send(write)

    def reconnected(self) -> None:
        """All that is open goes out again, in its order."""
        for write in list(self._open.values()):
            self._send(write)

    def _send(self, write: _Write) -> None:
        if write.settled or not self._process.link.up:
            return
        write.attempts += 1
        attempt = write.attempts
        if not self._network.loses(self._network.weather.append_loss):
            process = self._process
            on_answer = partial(process.handle, self._answered, write)
            process.link.send("up", self._server.append, process, write.append, write.msg_id, on_answer)
        self._process.later(RETRY_FIRST_US if attempt == 1 else RETRY_US, self._retry, write, attempt)

    def _retry(self, write: _Write, attempt: int) -> None:
        if write.attempts == attempt:
            self._send(write)

    def _answered(self, write: _Write, outcome: Outcome) -> None:
        if isinstance(outcome, Committed):
            self.on_acknowledged(write.msg_id, write.append, outcome.seq)
        self._settle(write, outcome)

    def _settle(self, write: _Write, outcome: Outcome) -> None:
        if not write.settled:
            write.settled = True
            del self._open[write.msg_id]
            write.on_settled(write.append, outcome)


class Lease:
    """Held for ttl from when its last accepted renewal was *sent*, by its own clock; taken over a ttl and a margin after the
    record was *seen* unchanged. One step at a time; a step without an answer is given up."""

    def __init__(self, process: Host, server: Server, clock: Clock, rng: random.Random, ttl_us: int) -> None:
        self._process, self._server, self._clock, self._rng, self._ttl_us = process, server, clock, rng, ttl_us
        self._number = self._revision = 0
        self._valid_until_us = 0
        self._seen = (0, 0)
        self._turn = 0
        self._compete()

    @property
    def number(self) -> int:
        return self._number if self._clock.now_us < self._valid_until_us else 0

    def _compete(self) -> None:
        self._turn += 1
        step_us = self._ttl_us // STEPS_PER_TTL
        self._process.later(step_us + int(step_us * self._rng.uniform(0.8, 1.0)), self._give_up, self._turn)
        if self.number:
            self._write(self._revision, self._renewed)
        else:
            self._number = 0
            self._ask(self._looked)

    def _give_up(self, turn: int) -> None:
        if turn == self._turn:
            self._compete()

    def _next(self) -> None:
        step_us = self._ttl_us // STEPS_PER_TTL
        self._process.later(int(step_us * self._rng.uniform(0.8, 1.0)), self._give_up, self._turn)

    def _write(self, expected: int, then: Callable[[int, int], None]) -> None:
        turn, sent_us, process = self._turn, self._clock.now_us, self._process

        def answered(seq: int) -> None:
            if turn == self._turn:
                then(seq, sent_us)

        process.link.send("up", self._server.lease_write, process, process.name, expected, partial(process.handle, answered))

    def _ask(self, then: Callable[[int, str], None]) -> None:
        turn, process = self._turn, self._process

        def answered(seq: int, holder: str) -> None:
            if turn == self._turn:
                then(seq, holder)

        process.link.send("up", self._server.lease_look, process, partial(process.handle, answered))

    def _renewed(self, seq: int, sent_us: int) -> None:
        if seq:
            self._revision = seq
            self._valid_until_us = sent_us + self._ttl_us
            self._next()
        else:
            self._ask(self._found_after_refusal)

    def _found_after_refusal(self, seq: int, holder: str) -> None:
        if holder == self._process.name:
            self._revision = seq
        else:
            self._valid_until_us = 0
        self._next()

    def _looked(self, seq: int, holder: str) -> None:
        if holder not in ("", self._process.name):
            if seq != self._seen[0]:
                self._seen = (seq, self._clock.now_us)
            if self._clock.now_us - self._seen[1] < self._ttl_us * (1 + MARGIN):
                self._next()
                return
        self._write(seq, self._acquired)

    def _acquired(self, seq: int, sent_us: int) -> None:
        if seq and self._clock.now_us < sent_us + self._ttl_us:
            self._number = self._revision = seq
            self._valid_until_us = sent_us + self._ttl_us
        self._next()
