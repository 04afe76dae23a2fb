"""How fast the line is: at most 2 MB and 2 s of host.speed, both ways, beside the heartbeats on the same connection.

What is shown and what is not: docs/adr/0014. Called by machine and doctor; off while players are served (theirs is the line).
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from libs.events import HostId, HostSpeed, HostSpeedReply, Region, SpeedStep
from libs.events.speed import PIECE_BYTES_MAX
from libs.runtime.clock import Clock

TOTAL_S = 2.0
WAY_S = 0.8
"""Of which one direction takes at most this, and the packets PACKETS_S."""
PACKETS_S = 0.4
ALIVE_S = 5.0
"""For a line too slow for its pieces: whether the server's side is there at all, is it asked once more."""
PIECES = 13
"""Of 64 KiB, each way: 1.70 MB together; the packets with their headers are 0.2 MB."""
IN_FLIGHT = 8
"""512 KiB: a line of 100 Mbit/s with a round trip of 40 ms is filled."""
IN_FLIGHT_SLOW = 2
SLOW_PIECE_S = 0.13
"""A first piece that takes longer than this shows a slow line: no half megabyte of it waits before a heartbeat."""
STARTS = (PIECES // 2 - 1, PIECES // 2, PIECES // 2 + 1)
PACKETS = 256
PACKET_BYTES = 64
PACKETS_IN_FLIGHT = 64
SHORTEST_S = 0.002
"""What came within that came in one or two wake-ups of ours, or ticks of the loop's clock (uvloop: 1 ms): how fast the line is
cannot be said, only how fast at least."""
SPREAD_S_MAX = 0.05
"""Over which the first packets are spread: a round trip, as far as it is not longer than this."""
Ask = Callable[[HostSpeed, float], Awaitable[HostSpeedReply | None]]
FILLER: Final = os.urandom(PIECE_BYTES_MAX)
"""Nothing on the way can compress it."""


@dataclass(frozen=True)
class Speed:
    """net_mbps, packet_rate: None where nothing was shown, and `note` says why. retry_s: when to ask again, where the server
    was busy. answered: somebody did. requirements, regions: as told, also by a busy server."""

    net_mbps: float | None = None
    packet_rate: float | None = None
    note: str = ""
    retry_s: float | None = None
    answered: bool = False
    requirements: dict[str, float] = field(default_factory=dict)
    regions: dict[Region, str] = field(default_factory=dict)


class Refused(Exception):
    """The server's side takes no more of this transfer."""


async def measure(ask: Ask, host: HostId, clock: Clock) -> Speed:
    """One transfer. ask(request, timeout_s): the reply, None for none in time."""
    transfer = Transfer(ask, host, clock)
    try:
        start = await transfer.start()
    except TimeoutError:
        return Speed(note="nobody answers host.speed")
    told = {"answered": True, "requirements": dict(start.requirements), "regions": dict(start.regions)}
    if not start.ok:
        note = f"the server's side is busy; again in {start.retry_ms / 1000:g} s"
        return Speed(note=note, retry_s=start.retry_ms / 1000, **told)  # type: ignore[arg-type]
    try:
        packet_rate = await transfer.packets()
        ways = [await transfer.one_way(SpeedStep.DOWN), await transfer.one_way(SpeedStep.UP)]
    except Refused:
        return Speed(note="the server's side ended the transfer", **told)  # type: ignore[arg-type]
    if not all(way.whole for way in ways) and not await transfer.is_alive():
        return Speed(note="the server's side went silent", **told)  # type: ignore[arg-type]
    down, up = ways
    if (down_mbps := down.mbps) is None or (up_mbps := up.mbps) is None:
        return Speed(None, packet_rate, "the answers took too long", **told)  # type: ignore[arg-type]
    note = f"{down} down, {up} up"
    return Speed(min(down_mbps, up_mbps), packet_rate, note, **told)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Way:
    """One direction. mbps: None where no time was left for it. whole: every piece came in time; else the line is slow, or the
    other side went away meanwhile. at_least: it is faster, too fast to say how much."""

    mbps: float | None
    whole: bool
    at_least: bool = False

    def __str__(self) -> str:
        if self.mbps is None:
            return "unknown"
        return f"more than {self.mbps:.0f}" if self.at_least else f"{self.mbps:.1f}"


class Transfer:
    """The pieces of one transfer, each a request; all of it within TOTAL_S."""

    def __init__(self, ask: Ask, host: HostId, clock: Clock) -> None:
        self._ask, self._host, self._clock = ask, host, clock
        self._loop = asyncio.get_running_loop()
        self._end_s = self._loop.time() + TOTAL_S
        self._round_trip_s = 0.0

    async def start(self) -> HostSpeedReply:
        """
        Raises:
            TimeoutError: nobody answers.
        """
        started_s = self._loop.time()
        reply = await self._ask(self._request(SpeedStep.START), TOTAL_S / 2)
        if reply is None:
            raise TimeoutError
        self._round_trip_s = self._loop.time() - started_s
        return reply

    async def is_alive(self) -> bool:
        """The server's side still answers."""
        return await self._ask(self._request(SpeedStep.START), ALIVE_S) is not None

    async def packets(self) -> float | None:
        """Small messages answered a second, PACKETS_IN_FLIGHT on the way at a time; None if none was."""
        started_s = self._loop.time()
        spread_s = min(self._round_trip_s, SPREAD_S_MAX)
        done_s = await self._stream(SpeedStep.PACKET, PACKETS, PACKETS_IN_FLIGHT, PACKETS_S, spread_s)
        took_s = (done_s[-1] if len(done_s) == PACKETS else self._loop.time()) - started_s
        return len(done_s) / max(took_s, SHORTEST_S) if done_s else None

    async def one_way(self, step: SpeedStep) -> Way:
        """Of the second half of the pieces, when the way is filled; the least of three halves that begin a piece apart, so that
        one late wake-up of ours makes no line faster than it is. Where not all came, the time until now counts."""
        started_s = self._loop.time()
        done_s = await self._stream(step, 1, 1, WAY_S)
        if done_s:
            took_s = done_s[0] - started_s
            in_flight = IN_FLIGHT if took_s < SLOW_PIECE_S else IN_FLIGHT_SLOW
            done_s += await self._stream(step, PIECES - 1, in_flight, WAY_S - took_s)
        if len(done_s) == PIECES:
            halves = [(PIECES - 1 - begin, done_s[-1] - done_s[begin]) for begin in STARTS]
            mbps, took_s = min((_mbps(*half), half[1]) for half in halves)
            return Way(mbps, whole=True, at_least=took_s <= SHORTEST_S)
        spent_s = self._loop.time() - started_s
        if not done_s and spent_s < WAY_S / 2:
            return Way(None, whole=False)
        return Way(_mbps(max(1, len(done_s)), spent_s), whole=False)

    async def _stream(self, step: SpeedStep, count: int, in_flight: int, seconds: float, spread_s: float = 0.0) -> list[float]:
        """When each of at most `count` pieces was answered, loop time; ends after `seconds`. spread_s: over which the first
        ones are sent.

        Raises:
            Refused: a piece was not taken.
        """
        end_s = min(self._loop.time() + seconds, self._end_s)
        left, refused = iter(range(count)), False
        done_s: list[float] = []

        async def sender(number: int) -> None:
            nonlocal refused
            if spread_s:
                await asyncio.sleep(spread_s * number / in_flight)
            for _ in left:
                if refused or (wait_s := end_s - self._loop.time()) <= 0:
                    return
                reply = await self._ask(self._request(step), wait_s)
                if reply is None:
                    return
                if not reply.ok:
                    refused = True
                    return
                done_s.append(self._loop.time())

        await asyncio.gather(*map(sender, range(in_flight)))
        if refused:
            raise Refused
        return done_s

    def _request(self, step: SpeedStep) -> HostSpeed:
        size = {SpeedStep.DOWN: PIECE_BYTES_MAX, SpeedStep.PACKET: PACKET_BYTES}.get(step, 0)
        payload = {SpeedStep.UP: FILLER, SpeedStep.PACKET: FILLER[:PACKET_BYTES]}.get(step, b"")
        return HostSpeed(host=self._host, at_ms=self._clock.now_ms(), step=step, size=size, payload=payload)


def _mbps(pieces: int, seconds: float) -> float:
    return pieces * PIECE_BYTES_MAX * 8 / 1e6 / max(seconds, SHORTEST_S)
