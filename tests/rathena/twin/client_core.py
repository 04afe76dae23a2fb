"""The twin game client: what a map-server or a relay says in, what a client answers out. Called by `client.py` and by the
capture replay. It walks the stock path: 0ac7 means another connection and 0436 there."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol

from libs.rathena import client
from libs.rathena.packets import Packet
from libs.rathena.tables import MAP_TO_CLIENT
from libs.rathena.values import Cell, ip_text, map_name
from tests.rathena.twin.effects import CHAR as SERVER
from tests.rathena.twin.effects import Cut, Dial, Effect, Outbox, id_of, sized, u32

NEVER_MS: Final = 1 << 62
TICK_MS: Final = 3_000
HEARD_MAX: Final = 10_000
"""Lines of chat, disconnects and map loads kept of one client."""


class Pass(Protocol):
    """What the char leg left: `char_core.Ticket`."""

    @property
    def account_id(self) -> int: ...
    @property
    def char_id(self) -> int: ...
    @property
    def login_id1(self) -> int: ...
    @property
    def sex(self) -> int: ...
    @property
    def map(self) -> str: ...


@dataclass
class ClientCore:
    """load_ms: what a map takes to load. tick_ms: 0 for a client that says no ticks.

    map, x, y: where the player sees himself. loads: (ms, map) of each 007d said. standing: the server has shown what is around
    on this map; entered: how often it has. reconnects: 0ac7 followed. disconnects: (ms, why): `0081/15`, `006a/..`, `0074/..`,
    or `closed` for an end without a word. got: packets by id. zeny, base_exp, items: as last told. acks: results of one's own
    whispers, 0 delivered, 1 not online.
    """

    who: Pass
    address: tuple[str, int]
    load_ms: int = 0
    tick_ms: int = TICK_MS
    map: str = ""
    x: int = 0
    y: int = 0
    zeny: int = 0
    base_exp: int = 0
    items: int = 0
    connected: bool = False
    welcomed: bool = False
    standing: bool = False
    entered: int = 0
    reconnects: int = 0
    connects: int = 0
    loads: list[tuple[int, str]] = field(default_factory=list)
    disconnects: list[tuple[int, str]] = field(default_factory=list)
    map_moves: list[tuple[int, str, int, int]] = field(default_factory=list)
    chat: list[bytes] = field(default_factory=list)
    whispers: list[tuple[bytes, bytes]] = field(default_factory=list)
    acks: list[int] = field(default_factory=list)
    got: Counter[int] = field(default_factory=Counter)
    got_ms: int = 0
    quit_granted: bool = False
    select_granted: bool = False
    leaving: bool = False
    now_ms: int = 0

    def __post_init__(self) -> None:
        self.out = Outbox()
        self.map = self.map or self.who.map
        self._load_due_ms = self._tick_due_ms = NEVER_MS

    def start(self, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        self.out.add(Dial(SERVER, *self.address))
        return self.out.take()

    def opened(self, link: int, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        self.connected, self.welcomed = True, False
        self.connects += 1
        who = self.who
        self.say(
            client.Enter(
                account_id=who.account_id, char_id=who.char_id, login_id1=who.login_id1, tick2=_tick(now_ms), sex=who.sex
            )
        )
        return self.out.take()

    def closed(self, link: int, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        self._load_due_ms = self._tick_due_ms = NEVER_MS
        if not self.leaving and (self.connected or not self.disconnects):
            self._keep(self.disconnects, (now_ms, "closed"))
        self.connected = self.standing = False
        return self.out.take()

    def received(self, link: int, packet: bytes, now_ms: int) -> list[Effect]:
        self.now_ms = self.got_ms = now_ms
        packet_id = id_of(packet)
        assert packet_id in MAP_TO_CLIENT.kinds, f"{packet_id:04x} exists for no client"
        self.got[packet_id] += 1
        if handler := _HANDLERS.get(packet_id):
            handler(self, packet)
        return self.out.take()

    def due_ms(self) -> int:
        return min(self._load_due_ms, self._tick_due_ms)

    def advance(self, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        if self._load_due_ms <= now_ms:
            self._load_end()
        if self._tick_due_ms <= now_ms:
            self._tick_due_ms = now_ms + self.tick_ms
            self.say(client.Tick(client_tick=_tick(now_ms)))
        return self.out.take()

    def say(self, packet: Packet | bytes) -> None:
        if self.connected:
            self.out.send(SERVER, packet)

    def walk(self, x: int, y: int) -> None:
        self.say(client.Walk(dest=Cell(x, y)))

    def attack(self, target_id: int = 1) -> None:
        self.say(client.Action(target_id=target_id, action=7))

    def take(self, ground_id: int = 1) -> None:
        self.say(b"\x62\x03" + u32(ground_id))

    def chat_line(self, name: bytes, words: bytes) -> None:
        self.say(client.Chat(text=name + b" : " + words + b"\0"))

    def whisper(self, target: bytes, words: bytes) -> None:
        self.say(sized(0x0096, target.ljust(24, b"\0") + words + b"\0"))

    def party(self, line: bytes) -> None:
        self.say(sized(0x0108, line + b"\0"))

    def logout(self) -> None:
        """018a; the end follows 018b."""
        self.say(client.QuitRequest())

    def char_select(self) -> None:
        """00b2; the end follows 00b3."""
        self.say(client.Restart(type=1))

    def leave(self) -> None:
        """Closes, as a player who pulls the plug."""
        self.leaving = True
        self.out.add(Cut(SERVER))

    def _loads(self) -> None:
        """A map is being loaded."""
        self.standing = False
        if self.load_ms:
            self._load_due_ms = self.now_ms + self.load_ms
        else:
            self._load_end()

    def _load_end(self) -> None:
        self._load_due_ms = NEVER_MS
        self._keep(self.loads, (self.now_ms, self.map))
        self.say(client.LoadEndAck())
        if self._tick_due_ms == NEVER_MS and self.tick_ms:
            self._tick_due_ms = self.now_ms + self.tick_ms

    def _keep(self, kept: list[tuple[int, str]], line: tuple[int, str]) -> None:
        assert len(kept) < HEARD_MAX, "a client that is told so much is not in the test's hands"
        kept.append(line)

    def _on_welcome(self, packet: bytes) -> None:
        pos = client.AcceptEnter.unpack(packet).pos
        self.welcomed = True
        self.x, self.y = pos.x, pos.y
        self._loads()

    def _on_map_move(self, packet: bytes) -> None:
        move = client.MapMove.unpack(packet)
        self.map, self.x, self.y = map_name(move.map), move.x, move.y
        self.map_moves.append((self.now_ms, self.map, self.x, self.y))
        self._loads()

    def _on_server_move(self, packet: bytes) -> None:
        move = client.ServerMove.unpack(packet)
        self.map, self.x, self.y = map_name(move.map), move.x, move.y
        self.reconnects += 1
        self.connected = self.standing = False
        self.address = ip_text(move.ip), move.port
        self._load_due_ms = self._tick_due_ms = NEVER_MS
        self.out.add(Cut(SERVER))
        self.out.add(Dial(SERVER, *self.address))

    def _on_walk(self, packet: bytes) -> None:
        step = client.WalkOk.unpack(packet).move
        self.x, self.y = step.x1, step.y1

    def _on_fix(self, packet: bytes) -> None:
        fix = client.FixPos.unpack(packet)
        if fix.id == self.who.account_id:
            self.x, self.y = fix.x, fix.y

    def _on_around(self, packet: bytes) -> None:
        self.entered += 1
        self.standing = True

    def _on_farewell(self, packet: bytes) -> None:
        """0081, 006a, 0074: the client leaves."""
        self._keep(self.disconnects, (self.now_ms, f"{id_of(packet):04x}/{packet[2]}"))
        self.connected = self.standing = False
        self.out.add(Cut(SERVER))

    def _on_quit(self, packet: bytes) -> None:
        if client.QuitAck.unpack(packet).result == 0:
            self.quit_granted = True
            self.leave()

    def _on_select(self, packet: bytes) -> None:
        self.select_granted = True
        self.leave()

    def _on_param(self, packet: bytes) -> None:
        param = client.Param.unpack(packet)
        if param.type == 24:
            self.items = param.value

    def _on_long(self, packet: bytes) -> None:
        param = client.LongParam.unpack(packet)
        if param.type == 20:
            self.zeny = param.value

    def _on_long2(self, packet: bytes) -> None:
        param = client.LongParam2.unpack(packet)
        if param.type == 1:
            self.base_exp = param.value

    def _on_chat(self, packet: bytes) -> None:
        at = {0x008D: 8, 0x008E: 4, 0x009A: 4, 0x0109: 8, 0x017F: 4}[id_of(packet)]
        if len(self.chat) < HEARD_MAX:
            self.chat.append(packet[at:].rstrip(b"\0"))

    def _on_whisper(self, packet: bytes) -> None:
        if len(self.whispers) < HEARD_MAX:
            self.whispers.append((packet[8:32].rstrip(b"\0"), packet[33:].rstrip(b"\0")))

    def _on_whisper_ack(self, packet: bytes) -> None:
        if len(self.acks) < HEARD_MAX:
            self.acks.append(packet[2])


def _tick(now_ms: int) -> int:
    return now_ms & 0xFFFF_FFFF


_HANDLERS: Final = {
    0x02EB: ClientCore._on_welcome,
    0x0091: ClientCore._on_map_move,
    0x0AC7: ClientCore._on_server_move,
    0x0087: ClientCore._on_walk,
    0x0088: ClientCore._on_fix,
    0x0B1B: ClientCore._on_around,
    **dict.fromkeys((0x0081, 0x006A, 0x0074), ClientCore._on_farewell),
    0x018B: ClientCore._on_quit,
    0x00B3: ClientCore._on_select,
    0x00B0: ClientCore._on_param,
    0x00B1: ClientCore._on_long,
    0x0ACB: ClientCore._on_long2,
    **dict.fromkeys((0x008D, 0x008E, 0x009A, 0x0109, 0x017F), ClientCore._on_chat),
    0x09DE: ClientCore._on_whisper,
    0x09DF: ClientCore._on_whisper_ack,
}
