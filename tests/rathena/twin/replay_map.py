"""A recorded map-server's inputs fed into the twin: what the char-server said (host/..) and what its clients said (back/..).

What a map-server decides by itself (when to save whom, that a player stands on a portal, SIGTERM) is ordered at the place where
the recording shows it; what it then says, and everything it says to others' words, is the twin's own.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from libs.rathena import client, inter
from libs.rathena.keys import key_of
from libs.rathena.structs import integer, shipped
from libs.rathena.tables import MAP_TO_CHAR, MAP_TO_CLIENT
from libs.rathena.values import cut, ip_bytes
from tests.rathena.twin.effects import CHAR, Cut, Effect, Send, id_of
from tests.rathena.twin.map_core import NEVER_MS, MapConfig, MapCore
from tests.rathena.twin.map_play import go
from tests.rathena.twin.people import STORAGE_TABLE, empty_storage
from tests.rathena.twin.player import Phase, Player
from tests.rathena.twin.replay import LAB, Happening, Said, happenings, in_time

UNMODELLED: Final = frozenset({0x3020, 0x3022, 0x3024, 0x3025, 0x3030, 0x3032, 0x3035, 0x3061, 0x3063, 0x3064})
"""What a map-server says of parties, guilds, quests and achievements, which the twin's game has not."""
TO_CLIENT: Final = frozenset({0x0283, 0x0B18, 0x02EB, 0x0201, 0x0AC7, 0x0081, 0x00B3, 0x018B, 0x0109, 0x009A})
"""What clients are told that is compared: the frame of a session. The rest is the game itself, or, as 007f to a tick said while
the character still loads, depends on which socket the server read first."""
_MAPS: Final = {"A": ("prontera", "izlude", "geffen"), "B": ("prt_fild08",), "F": ("prt_fild08", "moc_fild01", "payon")}
_PORTS: Final = {"A": 18_121, "B": 18_122, "F": 18_123}
_SAVING: Final = frozenset({0x3004, 0x2B1C, 0x2B2E, 0x308B, 0x2B01, 0x3063, 0x3061})
_VALUES_ASIDE: Final = frozenset({0x2B01, 0x308B, 0x3004, 0x2AF8})
"""Of these id, length and owner are compared, of saves also final and table: the values come from another game."""
TIMER_SLIP_MS: Final = 1_000
S5_ENDS: Final = {"back/3.8": 0.1, "back/7.8": 0.2, "back/6.8": 0.3}
"""In which order the resumed server noticed that its clients were gone: its own affair, taken from the recording."""
DEAD_MS: Final = 5
"""A client leg that closes so shortly before its server's end closed because of it."""


@dataclass
class Burst:
    """A save in the recording. kind: autosave, final, portal. registry: with 3004."""

    first: Happening
    account_id: int
    kind: str = "autosave"
    registry: bool = False
    move: inter.ChangeMapServer | None = None


@dataclass
class MapReplay:
    """recorded, produced: what was said to the char-server; clients: (recorded, produced) by client leg."""

    scenario: str
    node: str
    recorded: list[bytes] = field(default_factory=list)
    produced: list[bytes] = field(default_factory=list)
    clients: dict[str, tuple[list[bytes], list[bytes]]] = field(default_factory=dict)

    def run(self) -> "MapReplay":
        host = f"host/{self.node}"
        self.legs = _legs(self.scenario, self.node)
        self.links = {leg: n for n, leg in enumerate(self.legs, 1)}
        self.clients = {leg: ([], []) for leg in self.legs}
        told = [h for h in happenings(self.scenario, "host/") if h.leg == host]
        told += [h for h in happenings(self.scenario, "back/") if h.leg in self.legs]
        told = sorted((self._when(h) for h in told), key=in_time)
        self.bursts = {id(burst.first): burst for burst in _bursts([h for h in told if h.dir == "map>gw"])}
        self.core = MapCore(MapConfig(maps=_MAPS[self.node], port=_PORTS[self.node], warps={}))
        self.core.start(0)
        self.core.timers.pop("autosave")
        if told[0].event == "already_open" or any(h.event == "already_open" and h.leg == host for h in told):
            self._seed(told)
        end_ms = next((h.t_ms for h in told if h.leg == host and h.event == "eof"), math.inf)
        for happening in told:
            if happening.t_ms < end_ms - DEAD_MS or (happening.t_ms < end_ms and happening.packet):
                self._feed(happening)
        return self

    def _when(self, happening: Happening) -> Happening:
        """s5: B was stopped at 6.1 s and read again from 21.6 s on: the first part of what the char-server had said, then
        that its clients were gone, then the rest."""
        t_ms = happening.t_ms
        if (self.scenario, self.node) != ("s5_zombie", "B") or not 6_145 < t_ms < 21_602:
            return happening
        if happening.leg.startswith("back/"):
            return happening._replace(t_ms=21_625 + t_ms / 1e6 + S5_ENDS.get(happening.leg, 0))
        return happening._replace(t_ms=(21_603 if t_ms < 9_437 else 21_632) + t_ms / 1e6)

    def _feed(self, happening: Happening) -> None:
        t_ms, leg = int(happening.t_ms), happening.leg
        link = CHAR if leg.startswith("host/") else self.links[leg]
        self._order(happening)
        if happening.dir == "map>gw":
            self.recorded.append(happening.packet)
        elif happening.dir == "map>relay":
            self.clients[leg][0].append(happening.packet)
        else:
            self._advance(t_ms)
            if happening.dir:
                self._keep(self.core.received(link, happening.packet, t_ms))
            elif happening.event == "open":
                self._keep(self.core.opened(link, t_ms))
            elif happening.event == "close" and not self.core.ended:
                self._keep(self.core.closed(link, t_ms))

    def _order(self, happening: Happening) -> None:
        """What the map-server decided by itself at this place of the recording."""
        t_ms = int(happening.t_ms)
        packet_id = id_of(happening.packet) if happening.packet else 0
        if happening.dir == "map>relay" and happening.packet == client.DisconnectReason(code=15).pack():
            self._keep(self.core.terminate(t_ms))
        elif happening.dir != "map>gw":
            self._dirty_before(happening)
            if happening.event == "eof":
                self._timer("stall", t_ms)
        elif burst := self.bursts.get(id(happening)):
            self._burst(burst, t_ms)
        elif packet_id in {0x2AFE, 0x2B23}:
            self._timer("users" if packet_id == 0x2AFE else "stall", t_ms)

    def _burst(self, burst: Burst, t_ms: int) -> None:
        player = self.core.players.get(burst.account_id)
        if player is None or burst.kind == "final":
            return
        player.dirty = burst.registry
        if burst.move is None:
            self._keep(self.core.save(burst.account_id, t_ms))
        else:
            move = burst.move
            self.core.now_ms = t_ms
            go(self.core, player, (cut(move.map).decode(), move.x, move.y))
            self._keep(self.core.out.take())

    def _dirty_before(self, happening: Happening) -> None:
        """A client's end brings a final save: with variables where the recorded one had them."""
        finals = [b for b in self.bursts.values() if b.kind == "final" and 0 <= b.first.t_ms - happening.t_ms < TIMER_SLIP_MS]
        for burst in finals:
            if player := self.core.players.get(burst.account_id):
                player.dirty = burst.registry

    def _timer(self, name: str, t_ms: int) -> None:
        """A timer that is due about now is due now."""
        if abs(self.core.timers.get(name, 0) - t_ms) < TIMER_SLIP_MS:
            self.core.timers[name] = t_ms
            self._advance(t_ms)

    def _advance(self, t_ms: int) -> None:
        """Every timer at its own time."""
        while (due_ms := self.core.due_ms()) <= t_ms:
            self._keep(self.core.advance(due_ms))

    def _keep(self, effects: list[Effect]) -> None:
        legs = {link: leg for leg, link in self.links.items()}
        for effect in effects:
            if isinstance(effect, Cut) and effect.to in legs and not self.core.ended:
                self._keep(self.core.closed(effect.to, self.core.now_ms))
            elif isinstance(effect, Send):
                (self.produced if effect.to == CHAR else self.clients[legs[effect.to]][1]).append(effect.data)

    def _seed(self, told: list[Happening]) -> None:
        """A server that was running: linked, told of the others, its players as their first save shows them."""
        core = self.core
        core.linked = core.ready = core.asked_once = True
        core.others = 2
        first_users = next((h.t_ms for h in told if h.dir == "map>gw" and id_of(h.packet) == 0x2AFE), NEVER_MS)
        core.timers["users"] = int(first_users)
        for name, maps in _MAPS.items():
            if name not in {self.node, "F"}:
                core.remote |= {m: (ip_bytes("127.0.0.1"), _PORTS[name]) for m in maps if m not in core.maps}
        legs = [h.leg for h in told if h.event == "already_open" and h.leg in self.links]
        owners = {leg: _account_of(self.scenario, told, leg) for leg in legs}
        saved = {key_of(MAP_TO_CHAR, h.packet).account_id for h in told if h.dir == "map>gw" and id_of(h.packet) == 0x2B01}
        for leg in legs:
            account_id = owners[leg] or next(iter(saved - set(owners.values())))
            assert account_id, leg
            own = [h.packet for h in told if h.dir == "map>gw" and key_of(MAP_TO_CHAR, h.packet).account_id == account_id]
            player = _player(account_id, own, self.links[leg])
            core.players[account_id] = core.clients[self.links[leg]] = player


def told_char(packet: bytes) -> Said:
    packet_id = id_of(packet)
    detail: object = packet
    if packet_id in _VALUES_ASIDE:
        detail = {0x2B01: packet[12:13], 0x308B: packet[4:5]}.get(packet_id)
    return Said(f"{packet_id:04x}", len(packet), key_of(MAP_TO_CHAR, packet), detail)


def told_client(packet: bytes) -> Said:
    packet_id = id_of(packet)
    detail: object = packet
    if packet_id == 0x02EB:
        detail = client.AcceptEnter.unpack(packet).pos[:2]
    if packet_id == 0x0AC7:
        detail = packet[:28]
    return Said(f"{packet_id:04x}", len(packet), key_of(MAP_TO_CLIENT, packet), detail)


@cache
def _legs(scenario: str, node: str) -> list[str]:
    """Client legs that end at this node; those that were open before are at the node that saves first."""
    legs = []
    saves = [h for h in happenings(scenario, "host/") if h.dir == "map>gw" and id_of(h.packet) == 0x2B01]
    home = saves[0].leg.partition("/")[2] if saves else ""
    opened = _opened(scenario)
    for leg in sorted({h.leg for h in happenings(scenario, "back/")}):
        if opened.get(leg, home) == node:
            legs.append(leg)
    return legs


def _opened(scenario: str) -> dict[str, str]:
    return {h.leg: h.node for h in happenings(scenario, "back/") if h.event == "open"}


def _account_of(scenario: str, told: list[Happening], leg: str) -> int:
    """Of a leg that was open before: another leg of the same client says it when it opens, or a packet to the player; 0
    where nothing does."""
    same = leg.partition(".")[0] + "."
    for happening in happenings(scenario, "back/"):
        if happening.leg.startswith(same) and happening.account_id:
            return happening.account_id
    named = {name: who.account_id for who in LAB for name in [who.name + b" :"]}
    known = {who.account_id for who in LAB}
    for happening in told:
        if happening.leg == leg and happening.dir == "relay>map":
            found = next((account for name, account in named.items() if name in happening.packet), None)
            if found is not None:
                return found
    for happening in told:
        if happening.leg == leg and happening.dir == "map>relay" and id_of(happening.packet) in {0x0088, 0x0ACC, 0x08C8}:
            number = int.from_bytes(happening.packet[2:6], "little")
            if number in known:
                return number
    return 0


def _player(account_id: int, said: list[bytes], link: int) -> Player:
    saves = [inter.SaveChar.unpack(p) for p in said if id_of(p) == 0x2B01]
    stored = [inter.StorageSave.unpack(p) for p in said if id_of(p) == 0x308B]
    moves = [inter.ChangeMapServer.unpack(p) for p in said if id_of(p) == 0x2B05]
    status, char_id = saves[0].status, saves[0].char_id
    player = Player(account_id, char_id, 0, 1, link, phase=Phase.PLAYING, status=status, asked_storages=True, entered=True)
    answer = inter.AuthOk(
        account_id=account_id, login_id1=0, login_id2=0, expiration=0, group_id=0, changing_map_servers=0, status=status
    )
    player.admit(answer)
    selects = [inter.CharSelectRequest.unpack(p) for p in said if id_of(p) == 0x2B02]
    if selects:
        player.login_id1, player.login_id2 = selects[0].login_id1, selects[0].login_id2
    if moves:
        player.login_id1, player.login_id2, player.group_id = moves[0].login_id1, moves[0].login_id2, moves[0].group_id
    player.storages = {s.table: s.storage for s in reversed(stored)} | {STORAGE_TABLE: empty_storage(STORAGE_TABLE, account_id)}
    assert integer(shipped(), "mmo_charstatus", status, "char_id") == char_id
    return player


def _bursts(said: list[Happening]) -> list[Burst]:
    bursts: list[Burst] = []
    current: dict[int, Burst] = {}
    for happening in said:
        packet_id = id_of(happening.packet)
        char_id = key_of(MAP_TO_CHAR, happening.packet).char_id or 0
        if packet_id == 0x2B05 and bursts:
            burst = next(b for b in reversed(bursts) if b.account_id == char_id - 150_000 + 2_000_000)
            burst.kind, burst.move = "portal", inter.ChangeMapServer.unpack(happening.packet)
        elif packet_id in _SAVING - {0x3063, 0x3061}:
            burst = current.setdefault(char_id, Burst(happening, char_id - 150_000 + 2_000_000))
            burst.registry |= packet_id == 0x3004
            if packet_id == 0x2B01:
                burst.kind = "final" if happening.packet[12] else "autosave"
                bursts.append(current.pop(char_id))
    return bursts
