"""host.speed answered: what a host may transfer to measure its line. Pure.

A few hosts at a time, each a bounded transfer and then a rest; the others are told to ask later. A replica counts for itself:
the pieces of one host go to several, and each holds it to the same bounds.
"""

from dataclasses import dataclass
from hashlib import shake_256
from typing import Final

from libs.config import Settings
from libs.events import HostId, HostSpeed, HostSpeedReply, Region, SpeedStep
from libs.events.speed import PIECE_BYTES_MAX

AT_ONCE_MAX = 4
"""Hosts that transfer at the same time: 4 lines of 1 Gbit/s for the 2 s a transfer lasts."""
SESSION_MS = 3_000
"""A transfer is 2 s at most by the agent's clock; later pieces are no part of it."""
BYTES_MAX = 2_000_000
"""Of payload in one transfer, both ways together."""
PACKETS_MAX = 512
REST_MS = 20_000
"""From one transfer of a host to its next."""
BUSY_RETRY_MS = 2_000
FILLER: Final = shake_256(b"kafra host.speed").digest(PIECE_BYTES_MAX)
"""Nothing on the way can compress it."""


@dataclass(slots=True)
class Session:
    """One host's transfer, as this replica sees it. began_ms: when. left: payload bytes it may still move."""

    began_ms: int
    left: int = BYTES_MAX
    packets_left: int = PACKETS_MAX


class Speeds:
    """Answers host.speed."""

    def __init__(self, settings: Settings) -> None:
        self._sessions: dict[HostId, Session] = {}
        self._requirements = {name: float(limit) for name, limit in settings.host_requirements.model_dump().items()}
        self._regions = {Region(name): address for name, address in settings.regions.items()}

    def answer(self, request: HostSpeed, now_ms: int) -> HostSpeedReply:
        """At once; a piece beyond what is allowed moves nothing."""
        if request.step is SpeedStep.START:
            retry_ms = self._begin(request.host, now_ms)
            return HostSpeedReply(ok=not retry_ms, retry_ms=retry_ms, requirements=self._requirements, regions=self._regions)
        session = self._sessions.get(request.host)
        if session is None:  # it started at another replica
            if retry_ms := self._begin(request.host, now_ms):
                return HostSpeedReply(ok=False, retry_ms=retry_ms)
            session = self._sessions[request.host]
        moved = request.size + len(request.payload)
        is_packet = request.step is SpeedStep.PACKET
        over = now_ms - session.began_ms > SESSION_MS or moved > session.left or (is_packet and not session.packets_left)
        if over:
            return HostSpeedReply(ok=False, retry_ms=max(1, session.began_ms + REST_MS - now_ms))
        session.left -= moved
        session.packets_left -= is_packet
        return HostSpeedReply(ok=True, payload=FILLER[: request.size])

    def _begin(self, host: HostId, now_ms: int) -> int:
        """0: granted; else how long to wait, ms."""
        for name, old in list(self._sessions.items()):  # few: REST_MS / SESSION_MS * AT_ONCE_MAX
            if now_ms - old.began_ms >= REST_MS:
                del self._sessions[name]
        if (session := self._sessions.get(host)) is not None:
            return max(1, session.began_ms + REST_MS - now_ms)
        if sum(now_ms - other.began_ms <= SESSION_MS for other in self._sessions.values()) >= AT_ONCE_MAX:
            return BUSY_RETRY_MS
        self._sessions[host] = Session(now_ms)
        return 0
