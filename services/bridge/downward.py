"""Packets of the char-server that the core does not handle itself, to the nodes they are for.

In: a whole packet, as the splitter cut it. Out: effects, at most one to a node. Which way: `services.bridge.routes`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from libs.rathena.keys import key_of
from libs.rathena.packets import BadPacket
from libs.rathena.tables import CHAR_TO_MAP
from libs.rathena.values import NAME_BYTES, cut
from services.bridge.asked import Asked
from services.bridge.chat import Whispers
from services.bridge.effects import Down, Effect, Report
from services.bridge.fence import is_nobody
from services.bridge.groups import GUILD, PARTY, Groups
from services.bridge.nodes import Node, Nodes
from services.bridge.players import Player, Players
from services.bridge.routes import Route, Way, route_of

_VIP_INFO: Final = 0x2B2B
_BAN: Final = 0x2B14
_CHARACTER_IS_BANNED: Final = 2


class Downward:
    """groups, asked, whispers: shared with `Upward` (`services.bridge.mux`)."""

    def __init__(self, nodes: Nodes, players: Players, *, groups: Groups, asked: Asked, whispers: Whispers) -> None:
        self._nodes = nodes
        self._players = players
        self._groups = groups
        self._asked = asked
        self._whispers = whispers

    def take(self, packet: bytes, now_ms: int) -> Iterator[Effect]:
        """Everything but what the core has handled. Who joined a group hears of it, who left hears that too: a new member's
        server is told of the whole group (3821, 3831) before it is told that he joined (3822, 3832), as recorded."""
        packet_id = int.from_bytes(packet[:2], "little")
        route = route_of(packet_id)
        if route.way is Way.WHISPER:
            yield from self._whispers.ask(packet, now_ms)
            return
        try:
            self._learn(packet, packet_id)
            links = [node.link for node in self._targets(route, packet, packet_id)]
            downs = [Down(link, self._for(link, packet, packet_id)) for link in dict.fromkeys(links)]
            self._unlearn(packet, packet_id)
        except BadPacket as bad:
            yield Report("dropped", "char-server", packet_id, bad.reason)
            return
        yield from downs

    def _targets(self, route: Route, packet: bytes, packet_id: int) -> Iterable[Node]:
        match route.way:
            case Way.HANDLED:
                return self._vps() if is_nobody(self._players, CHAR_TO_MAP, packet) else ()
            case Way.ONE_OWNER | Way.OWNER_ON_VPS:
                return self._owner(packet, route.way is Way.OWNER_ON_VPS)
            case Way.REQUESTER:
                return self._asker(packet)
            case Way.ALL:
                return self._nodes.ready()
            case Way.VPS:
                return self._vps()
            case Way.CONCERNED:
                players = self._named(route, packet, packet_id)
                return [*self._vps(), *_homes(players)]
            case Way.MEMBERS:
                return [*self._vps(), *self._of_members(route, packet), *self._keyed(packet)]
        return ()

    def _owner(self, packet: bytes, vps_only: bool) -> list[Node]:
        """Of a character nobody here knows, all of the VPS: one of them brought it in itself."""
        key = key_of(CHAR_TO_MAP, packet)
        player = (
            self._players.by_name.get(key.name)
            if key.name is not None
            else self._players.of_char_or_account(key.account_id, key.char_id)
        )
        if player is None:
            return list(self._vps()) if is_nobody(self._players, CHAR_TO_MAP, packet) else []
        node = player.owner or player.bound
        return [node] if node is not None and (node.is_vps or not vps_only) else []

    def _keyed(self, packet: bytes) -> list[Node]:
        """A group's packet also names one of it, or who asked."""
        key = key_of(CHAR_TO_MAP, packet)
        return _homes([self._players.of_char_or_account(key.account_id, key.char_id)])

    def _asker(self, packet: bytes) -> list[Node]:
        found = [node for link in self._asked.who(packet) if (node := self._nodes.get(link)) is not None]
        return found or list(self._vps())

    def _vps(self) -> Iterator[Node]:
        return (node for node in self._nodes.ready() if node.is_vps)

    def _named(self, route: Route, packet: bytes, packet_id: int) -> list[Player | None]:
        if packet_id == _BAN:
            who = self._players.by_char if packet[6] == _CHARACTER_IS_BANNED else self._players.by_account
            return [who.get(_number(packet, 2))]
        return [self._players.by_char.get(_number(packet, at)) for at in route.chars]

    def _of_members(self, route: Route, packet: bytes) -> Iterator[Node]:
        groups = [(at.kind, _number(packet, at.offset)) for at in route.groups]
        return (
            node
            for node in self._nodes.ready()
            if not node.is_vps and any(self._groups.has(node, kind, group_id) for kind, group_id in groups)
        )

    def _for(self, link: int, packet: bytes, packet_id: int) -> bytes:
        if packet_id != _VIP_INFO or (node := self._nodes.get(link)) is None or node.is_vps:
            return packet
        return packet[:10] + bytes(4) + packet[14:]

    def _learn(self, packet: bytes, packet_id: int) -> None:
        match packet_id:
            case 0x2B09 if (player := self._players.by_char.get(_number(packet, 2))) is not None and not player.name:
                self._players.rename(player, cut(packet[6 : 6 + NAME_BYTES]))
            case 0x3821:
                self._groups.learn_list(PARTY, packet[8:])
            case 0x3831:
                self._groups.learn_list(GUILD, packet[4:])

    def _unlearn(self, packet: bytes, packet_id: int) -> None:
        match packet_id:
            case 0x3824 if (char_id := _number(packet, 10)) in self._players.by_char:
                self._groups.leave(PARTY, char_id)
            case 0x3834 if (char_id := _number(packet, 10)) in self._players.by_char:
                self._groups.leave(GUILD, char_id)
            case 0x3826:
                self._groups.end(PARTY, _number(packet, 2))
            case 0x3836:
                self._groups.end(GUILD, _number(packet, 2))


def _homes(players: Iterable[Player | None]) -> list[Node]:
    """Where each is served, or is being taken in."""
    found = [player.owner or player.bound for player in players if player is not None]
    return [node for node in found if node is not None]


def _number(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 4], "little")
