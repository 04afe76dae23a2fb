"""What the `MemoryBus`es of one test share: the log, who listens, leases, and whether it is up. Called by libs.bus.memory."""

import asyncio
import itertools
from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING

from libs.bus.clock import now_s, unix_ms
from libs.bus.memory_log import MemoryLog, matches
from libs.bus.port import Connection

if TYPE_CHECKING:
    from libs.bus.memory import MemoryBus
    from libs.bus.memory_parts import MemoryFollower, MemoryHeard, MemoryLease, MemoryWatching


class Server:
    """clock_s: monotonic seconds, of leases and rate limits. clock_ms: Unix ms, stamped on what is stored."""

    def __init__(
        self,
        log: MemoryLog | None = None,
        *,
        clock_s: Callable[[], float] = now_s,
        clock_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self.log = log or MemoryLog()
        self.clock_s, self.clock_ms = clock_s, clock_ms
        self.up = True
        self.breaks = 0
        self.heard: list[MemoryHeard] = []
        self.followers: list[MemoryFollower] = []
        self.watching: list[MemoryWatching] = []
        self.leases: dict[str, tuple[MemoryLease, float]] = {}
        self.lease_number = 0
        self._replies: dict[str, asyncio.Future[bytes]] = {}
        self._waiting: list[Callable[[], None]] = []
        self._turn = itertools.count()
        self.ids = itertools.count(1)

    def tell_connection(self, bus: "MemoryBus", *, connected: bool, reason: str = "") -> None:
        said = Connection(connected, bus.user, bus.name, bus.id, "memory", "127.0.0.1", self.clock_ms(), reason)
        for watching in self.watching:
            asyncio.get_running_loop().call_soon(watching.receive, said)

    def stop(self) -> None:
        self.up = False
        self.breaks += 1

    def start(self) -> None:
        self.up = True
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            act()
        for follower in self.followers:
            follower.wake()

    def when_up(self, act: Callable[[], None]) -> None:
        if self.up:
            act()
        else:
            self._waiting.append(act)

    def publish(self, subject: str, body: bytes, headers: bytes = b"") -> bool:
        """Core publish of any bytes; a stream that keeps the subject keeps it. False: nobody listens."""
        if not self.up:
            return False
        if self.log.keeps(subject) is not None:
            self.log.publish(subject, body, now_ms=self.clock_ms(), headers=headers)
            self.stored()
        return self.tell(subject, body, headers)

    def tell(self, subject: str, body: bytes, headers: bytes, reply: str = "") -> bool:
        """To core subscribers; of a queue group to one."""
        loop = asyncio.get_running_loop()
        groups: dict[tuple[str, str], list[MemoryHeard]] = {}
        for heard in [each for each in self.heard if matches(each.pattern, subject)]:
            if heard.queue is None:
                groups[heard.pattern, str(id(heard))] = [heard]
            else:
                groups.setdefault((heard.pattern, heard.queue), []).append(heard)
        for members in groups.values():
            loop.call_soon(members[next(self._turn) % len(members)].receive, subject, body, headers, reply)
        return bool(groups)

    def stored(self) -> None:
        for follower in self.followers:
            follower.wake()

    def expect_reply(self) -> tuple[str, asyncio.Future[bytes]]:
        inbox = token_hex(8)
        future = self._replies[inbox] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._replies.pop(inbox, None))
        return inbox, future

    def reply(self, inbox: str, body: bytes) -> None:
        future = self._replies.get(inbox)
        if future is not None and not future.done():
            future.set_result(body)
