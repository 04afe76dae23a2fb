"""What a map-server's own link tells of it: that it was taken in, and who plays. Pure.

In: the bytes of its inter-server stream, both ways, in any chunks, from whoever carries it. Out: `linked`, `accounts`. A player
counts from his entry to the acknowledgement of his last save; what the map-server says itself (2afe) is 10 s old.
"""

from typing import Final

from libs.rathena.framing import Scan, Splitter
from libs.rathena.inter_chars import AuthOk, ChangeMapServerAck, CharOffline
from libs.rathena.inter_link import RegisterUsers
from libs.rathena.inter_saves import SaveAck
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR

TAKEN_IN: Final = 0x2AFB
ENTERED: Final = 0x2AFD
SAVED: Final = 0x2B21
MOVED_AWAY: Final = 0x2B06
PLAYERS: Final = 0x2AFF
OFFLINE: Final = 0x2B17


class StreamWatch:
    """Of one connection of a map-server; a further one needs a further watch. linked: the bridge took it in. accounts: whose
    players are on it."""

    def __init__(self) -> None:
        self.linked = False
        self.accounts: set[int] = set()
        self._up, self._down = Splitter(MAP_TO_CHAR), Splitter(CHAR_TO_MAP)

    def up(self, data: bytes) -> None:
        """What the map-server said.

        Raises:
            BadStream: it is no inter-server stream; cut the connection.
        """
        scan = self._up.scan(data)
        for n, packet_id in enumerate(scan.ids):
            if packet_id == PLAYERS:
                self.accounts = {account for account, _ in RegisterUsers.unpack(scan.packet(n)).pairs}
            elif packet_id == OFFLINE:
                self.accounts.discard(CharOffline.unpack(scan.packet(n)).account_id)

    def down(self, data: bytes) -> None:
        """What it was told.

        Raises:
            BadStream: as `up`.
        """
        scan = self._down.scan(data)
        for n, packet_id in enumerate(scan.ids):
            if packet_id == TAKEN_IN:
                self.linked = True
            elif packet_id in (ENTERED, SAVED, MOVED_AWAY):
                self._count(packet_id, scan, n)

    def _count(self, packet_id: int, scan: Scan, n: int) -> None:
        packet = scan.packet(n)
        if packet_id == ENTERED:
            self.accounts.add(AuthOk.unpack(packet).account_id)
        elif packet_id == SAVED:
            self.accounts.discard(SaveAck.unpack(packet).account_id)
        elif (moved := ChangeMapServerAck.unpack(packet)).accepted:
            self.accounts.discard(moved.account_id)
