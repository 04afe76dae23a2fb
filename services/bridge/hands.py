"""Performs the core's effects: packets to map-servers and char-server, messages to relays, words into the log.

What goes to one connection in one turn goes in one write. While the char-server is away, what it has to keep waits for it.
"""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from libs.link.messages import RelaySays
from libs.link.peer import Peer
from libs.rathena.framing import CHAR_TO_MAP, MAP_TO_CHAR
from services.bridge.effects import Cut, Down, Effect, Note, Report, Tell, Up
from services.bridge.links import CharLink, Links

QUEUE_BYTES_MAX: Final = 256 * 1024 * 1024
"""For a char-server that is away: ten minutes of 200 players' saves."""
KEPT_FOR_CHAR: Final = frozenset({0x2B01, 0x2B15, 0x2B17, 0x2B1C, 0x2B2E, 0x3004, 0x3061, 0x3063, 0x308B})
"""What a character is and has."""
_LOG = logging.getLogger(__name__)


class Hands:
    """reports: kind -> how many. peers: relays' connections by number, the shell's own table."""

    def __init__(self, links: Links, char: CharLink, peers: Mapping[int, Peer[RelaySays]]) -> None:
        self._links, self._char, self._peers = links, char, peers
        self.reports: dict[str, int] = {}
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0

    def perform(self, effects: Iterable[Effect]) -> None:
        downs: dict[int, list[bytes]] = {}
        ups: list[bytes] = []
        for effect in effects:
            if isinstance(effect, Down):
                downs.setdefault(effect.link, []).append(effect.packet)
            elif isinstance(effect, Up):
                ups.append(effect.packet)
            elif isinstance(effect, Tell):
                if (peer := self._peers.get(effect.peer)) is not None:
                    peer.say(effect.message)
            elif isinstance(effect, Cut):
                self._links.send(effect.link, b"".join(downs.pop(effect.link, ())))
                self._links.cut(effect.link, effect.reason, orderly=effect.orderly)
            elif isinstance(effect, Report):
                self._report(effect)
            elif isinstance(effect, Note):
                _LOG.info("%s", effect.text)
        for link, packets in downs.items():
            self._links.send(link, b"".join(packets))
        if ups and not self._char.send(b"".join(ups)):
            self._keep(ups)

    def flush(self) -> None:
        """The char-server is here again, and logged in to: what waited goes out behind the login."""
        queue, self._queue, self._queue_bytes = self._queue, deque(), 0
        for packet in queue:
            self._char.send(packet)

    def _keep(self, packets: Iterable[bytes]) -> None:
        """Bounded; then the oldest is lost, and said."""
        for packet in packets:
            if packet[0] | packet[1] << 8 in KEPT_FOR_CHAR:
                self._queue.append(packet)
                self._queue_bytes += len(packet)
        while self._queue_bytes > QUEUE_BYTES_MAX:
            self._queue_bytes -= len(self._queue.popleft())
            self.reports["lost"] = self.reports.get("lost", 0) + 1

    def _report(self, report: Report) -> None:
        self.reports[report.kind] = (count := self.reports.get(report.kind, 0) + 1)
        if count & (count - 1) == 0 or count % 1000 == 0:  # each power of two: a flood fills no disk
            table = CHAR_TO_MAP if report.server == "char-server" else MAP_TO_CHAR
            what = table.title(report.packet_id)
            _LOG.warning("%s of %s: %s: %s (%d so far)", report.kind, report.server, what, report.why, count)
