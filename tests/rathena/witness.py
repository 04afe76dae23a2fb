"""Watches one bridge: after every input, what must hold of its state, and of what it sends, whatever it was told.

The fence is judged by what went over the wire, not by the bridge's own word: who got the last 2afd of a character may save it,
from the 2b26 for the next server on nobody may until that one has its 2afd.
"""

from typing import Any, Final

from libs.hosting.effects import Effect as BusEffect
from libs.rathena.inter_chars import AuthOk, AuthRequest
from libs.rathena.keys import NOBODY, key_of
from libs.rathena.layout import CHARACTER
from libs.rathena.packets import BadPacket
from libs.rathena.structs import BadStruct, integer
from libs.rathena.tables import MAP_TO_CHAR
from services.bridge.core import Bridge
from services.bridge.effects import Down, Effect, Up
from services.bridge.nodes import Node
from services.bridge.players import Phase, Player
from services.bridge.policy import CHECKED, row_of

OWN_WORDS: Final = frozenset({0x2AF8, 0x2AFA, 0x2AFE, 0x2AFF, 0x2B02, 0x2B05, 0x2B08, 0x2B17, 0x2B26, 0x3002})
"""What the bridge says of players by itself."""


class Witness:
    """real_ids: session ids as the char-server knows them; no host may ever see one. Every method but `do` is a check."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.real_ids: set[bytes] = set()
        self.char_is_sane = True
        self._right: dict[int, int | None] = {}
        self._said_by: dict[bytes, set[int]] = {}
        self._names: dict[int, str] = {}

    def do(self, name: str, *given: Any, **named: Any) -> list[Effect]:
        """One input of the core, and its effects. Raises: AssertionError where something does not hold."""
        link, packet = given[:2] if name == "node_packet" else (0, b"")
        before = self._owners(packet)
        if packet and packet[0] | packet[1] << 8 in CHECKED:
            self._said_by.setdefault(packet, set()).add(link)
        getattr(self.bridge, name)(*given, **named)
        return self._took(link, before | self._owners(packet))

    def step(self, now_ms: int) -> tuple[list[BusEffect], list[Effect]]:
        """What is said on the bus, and the effects."""
        said = list(self.bridge.step(now_ms))
        return said, self._took(0, set())

    def _took(self, link: int, owners: set[int]) -> list[Effect]:
        effects = self.bridge.take()
        self._state()
        self._adopted()
        for effect in effects:
            if isinstance(effect, Up):
                self._up(effect.packet, link, owners)
            elif isinstance(effect, Down):
                self._down(effect)
        return effects

    def _adopted(self) -> None:
        """A server that linked anew may get its players back: of its earlier link, or of an earlier bridge."""
        state = self.bridge.state
        self._names |= {node.link: node.server for node in state.nodes}
        for player in state.players:
            if player.owner is None or (right := self._right.get(player.char_id, player.owner.link)) is None:
                continue
            if state.nodes.get(right) is None and self._names.get(right) == player.owner.server:
                right = player.owner.link
            self._right[player.char_id] = right

    # -- what holds of the state ---------------------------------------------------------------------------------------

    def _state(self) -> None:
        state = self.bridge.state
        players = state.players
        for player in players:
            for node in (player.owner, player.bound):
                assert node is None or state.is_linked(node), f"{_of(player)} belongs to {_name(node)}, whose link has ended"
            assert player.phase is not Phase.HELD or player.owner is None, f"{_of(player)} is held and owned"
            assert players.by_account.get(player.account_id) is player, f"{_of(player)} is not under his account"
            assert players.by_conn.get((player.peer, player.conn)) is player, f"{_of(player)} is not under his connection"
            assert (player.phase is not Phase.PLAYING) == (player.char_id in state.busy), f"{_of(player)}: busy or not"
            assert player.phase is not Phase.PLAYING or player.owner, f"{_of(player)} plays on no server"
        assert len(players.by_account) == len(players.by_conn) == len(players), "an index has forgotten, or keeps, somebody"
        assert len(players.by_name) <= len(players), "names of nobody"
        assert all(players.by_char.get(char) is player for char, player in state.busy.items()), "busy, but not in the game"

    # -- what holds of what goes out -----------------------------------------------------------------------------------

    def _owners(self, packet: bytes) -> set[int]:
        """Links of the players a packet names; 0 for one whom nobody owns."""
        try:
            key = key_of(MAP_TO_CHAR, packet) if packet else NOBODY
        except BadPacket:
            return set()
        players = self.bridge.state.players
        named = (
            players.by_char.get(key.char_id or 0),
            players.by_account.get(key.account_id or 0),
            players.by_name.get(key.name or b""),
        )
        return {player.owner.link if player.owner else 0 for player in named if player is not None}

    def _up(self, packet: bytes, link: int, owners: set[int]) -> None:
        packet_id = packet[0] | packet[1] << 8
        if packet_id == AuthRequest.packet_id:
            self._right[AuthRequest.unpack(packet).char_id] = None
        elif packet_id in CHECKED:
            self._save(packet)
        elif link and packet_id not in OWN_WORDS and not row_of(packet_id).others:
            assert owners <= {link}, f"{packet_id:04x} of link {link} passed about a player of {owners}"

    def _save(self, packet: bytes) -> None:
        try:
            char_id = key_of(MAP_TO_CHAR, packet).char_id or 0
        except BadPacket:
            raise AssertionError("a save without a character passed") from None
        if char_id not in self.bridge.state.players.by_char:
            return  # of nobody in the game: a VPS server's, or what a host said before he left
        right, said_by = self._right.get(char_id), self._said_by.get(packet, set())
        if said_by:  # else the bridge made it: what was put right, or the last accepted to end a stay
            assert right in said_by, f"a save of {char_id} by links {said_by} passed; link {right} serves him"

    def _down(self, effect: Down) -> None:
        node = self.bridge.state.nodes.get(effect.link)
        packet = effect.packet
        if packet[:2] == b"\xfd\x2a":
            auth = AuthOk.unpack(packet)
            try:
                self._right[integer(self.bridge.state.layout, CHARACTER, auth.status, "char_id")] = effect.link
            except BadStruct:
                assert not self.char_is_sane
        if node is not None and node.host is not None and self.char_is_sane:
            for real in self.real_ids:
                assert real not in packet, f"{node.server} was told a real session id in {packet[1::-1].hex()}"


def _of(player: Player) -> str:
    return f"player {player.char_id} ({player.phase})"


def _name(node: Node | None) -> str:
    return "nobody" if node is None else f"{node.server} (link {node.link})"
