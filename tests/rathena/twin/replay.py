"""One side of a recording fed into a twin's core, and what both sides say made comparable. For `test_twin_*_proof.py`."""

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, NamedTuple

from libs.rathena import inter
from libs.rathena.keys import key_of
from libs.rathena.structs import items, rows, shipped, zero_holes
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR, Table
from tests.rathena import captured
from tests.rathena.twin.char_core import USERS_CHECK_MS, CharCore, Slot
from tests.rathena.twin.effects import Effect, Send, id_of
from tests.rathena.twin.map_core import NEVER_MS
from tests.rathena.twin.people import Person, saved_of, status_of
from tests.rathena.twin.store import Node, Store

LAB: Final = [
    Person(2_000_000 + n, 150_000 + n, name, 99 if n < 3 else 0)
    for n, name in enumerate((b"LabOne", b"LabTwo", b"LabThree", b"LabFour"), 1)
]
"""LabFour is in no recording but as somebody who is whispered to."""
SIZE_ONLY: Final = frozenset({0x2AFB, 0x388C, 0x3840, 0x38A0, 0x3848})
"""Whole-packet contents that are another world's: names of the server, castles, clans, mails."""
_FIELD, _CITY = ["prt_fild08"], ["prontera", "izlude", "geffen"]
_PORTS: Final = {"mux": 18_120, "A": 18_121, "B": 18_122, "F": 18_123}
_MAPS: Final = {"mux": [*_CITY, *_FIELD], "A": _CITY, "B": _FIELD, "F": []}
TIMER_SLIP_MS: Final = 100
LOCAL: Final = bytes([127, 0, 0, 1])


class Said(NamedTuple):
    """One packet, for comparison: id, bytes, whose it is, and what in it has to be equal."""

    id: str
    size: int
    key: object
    detail: object = None


class Happening(NamedTuple):
    """What a recording tells of one leg: a packet, or without one the leg's opening (to which map-server) or end."""

    t_ms: float
    leg: str
    dir: str
    packet: bytes
    event: str = ""
    node: str = ""
    account_id: int = 0


@cache
def happenings(scenario: str, prefix: str) -> list[Happening]:
    """Of the legs whose name begins so, by time."""
    found = [Happening(p.t_ms, p.leg, p.dir, p.packet) for p in captured.packets(scenario) if p.leg.startswith(prefix)]
    with gzip.open(captured.FOLDER / f"{scenario}.jsonl.gz", "rt") as lines:
        for record in map(json.loads, lines):
            if "ev" in record and record.get("leg", "").startswith(prefix):
                found.append(
                    Happening(
                        record["t_ms"], record["leg"], "", b"", record["ev"], record.get("node", ""), record.get("aid", 0)
                    )
                )
    return sorted(found, key=in_time)


def in_time(happening: Happening) -> tuple[float, int]:
    """A leg is open before and closed after what was said on it at the same moment."""
    return happening.t_ms, {"open": 0, "already_open": 0, "close": 2, "eof": 2}.get(happening.event, 1)


def said(table: Table, packet: bytes) -> Said:
    packet_id = id_of(packet)
    return Said(f"{packet_id:04x}", len(packet), key_of(table, packet), _detail(packet_id, packet))


def _detail(packet_id: int, packet: bytes) -> object:
    if packet_id in SIZE_ONLY:
        return None
    if packet_id == inter.AuthOk.packet_id:
        answer = inter.AuthOk.unpack(packet)
        return answer.login_id1, answer.login_id2, answer.group_id, answer.changing_map_servers, saved_of(answer.status)
    if packet_id == inter.Storage.packet_id:
        storage = inter.Storage.unpack(packet)
        held = items(shipped(), storage.storage, storage.table).values()
        return storage.table, storage.result, sorted((item["nameid"], item["amount"]) for item in held)
    if packet_id == inter.Achievements.packet_id:
        found = rows(shipped(), "achievement", inter.Achievements.unpack(packet).achievements)
        return sorted(zero_holes(shipped(), "achievement", row) for row in found)
    return packet


@dataclass
class CharReplay:
    """The twin char-server in place of the recorded one. recorded, produced: what was said to map-servers, by leg."""

    scenario: str
    store: Store = field(default_factory=Store)
    recorded: dict[str, list[bytes]] = field(default_factory=dict)
    produced: dict[str, list[bytes]] = field(default_factory=dict)

    def run(self) -> "CharReplay":
        told = happenings(self.scenario, "char/")
        self.total_unknown = any(h.event == "already_open" for h in told)
        self.core = CharCore(self.store, started=self.total_unknown)
        self.links = {leg: n for n, leg in enumerate(sorted({h.leg for h in told}))}
        self.produced = {leg: [] for leg in self.links}
        self.recorded = {leg: [] for leg in self.links}
        self._seed(told)
        for happening in told:
            if happening.dir == "char>gw":
                self._sync(happening)
                self.recorded[happening.leg].append(happening.packet)
            else:
                self._feed(told, happening)
        self._keep(self.core.advance(int(told[-1].t_ms)))
        return self

    def _feed(self, told: list[Happening], happening: Happening) -> None:
        t_ms, link = int(happening.t_ms), self.links[happening.leg]
        self._keep(self.core.advance(t_ms))
        if happening.event == "close":
            self._keep(self.core.closed(link, t_ms))
        elif happening.dir:
            if id_of(happening.packet) == inter.AuthRequest.packet_id:
                self._seed_node(told, happening)
            self._keep(self.core.received(link, happening.packet, t_ms))

    def _sync(self, happening: Happening) -> None:
        """The recorded timer of 2b00 is a few ms off its five seconds. The first total of a server that was running before is
        taken over, all others are the twin's."""
        if id_of(happening.packet) != inter.TotalUsers.packet_id:
            return
        if self.total_unknown:
            self.total_unknown = False
            slots = list(self.core.slots.values())
            total = inter.TotalUsers.unpack(happening.packet).users
            slots[-1].users += total - sum(slot.users for slot in slots)
        if abs(self.core.due_ms() - happening.t_ms) < TIMER_SLIP_MS:
            self.core.phase(int(happening.t_ms))
            self._keep(self.core.advance(int(happening.t_ms)))

    def _keep(self, effects: list[Effect]) -> None:
        legs = {link: leg for leg, link in self.links.items()}
        for effect in effects:
            if isinstance(effect, Send):
                self.produced[legs[effect.to]].append(effect.data)

    def _seed(self, told: list[Happening]) -> None:
        """What the char-server knew before the recording: characters as its first answers show them, the slots of legs that
        were open, who was in the game, and where in its five seconds the check of the total was."""
        packets = [h.packet for h in told if h.packet]
        for person in LAB:
            who = replace(person, group_id=next(_groups(packets, person), person.group_id))
            record = self.store.add(who, status_of(who, "prt_fild08", 170, 360))
            record.set(next(_statuses(packets, who), record.status))
            for answer in _first_storages(packets, who):
                record.storages[answer.table] = answer.storage
            record.achievements = next(_achievements(packets, who), b"")
        opened = {h.leg for h in told if h.event == "already_open"}
        for leg in sorted(opened):
            self._seed_slot(leg, told)
        totals = [h for h in told if h.packet and id_of(h.packet) == inter.TotalUsers.packet_id]
        self.core.phase(int(totals[0].t_ms) if totals else NEVER_MS if opened else USERS_CHECK_MS)
        whispers = [inter.WhisperCopy.unpack(p).whisper_id for p in packets if id_of(p) == inter.WhisperCopy.packet_id]
        for _ in range(1, min(whispers, default=1)):
            next(self.core.talk.ids)

    def _seed_slot(self, leg: str, told: list[Happening]) -> None:
        name = leg.partition("/")[2]
        slot = Slot(self.links[leg], self.links[leg], LOCAL, _PORTS[name], [m.encode() for m in _MAPS[name]])
        self.core.slots[slot.link] = slot
        own = [h for h in told if h.leg == leg and h.dir == "gw>char"]
        for who in LAB:
            first = next((h for h in own if key_of(MAP_TO_CHAR, h.packet).char_id == who.char_id), None)
            if first is not None and id_of(first.packet) not in {0x2B26, 0x2B05}:
                self.store.online[who.char_id] = slot.number
                slot.users += 1

    def _seed_node(self, told: list[Happening], asked: Happening) -> None:
        """The login and char legs were not recorded; a node that no 2b05 made is taken from the answer."""
        request = inter.AuthRequest.unpack(asked.packet)
        node = self.store.nodes.get(request.account_id)
        if node is not None and node.char_id:
            return
        for happening in told:
            if happening.dir == "char>gw" and happening.t_ms >= asked.t_ms and id_of(happening.packet) == 0x2AFD:
                answer = inter.AuthOk.unpack(happening.packet)
                if answer.account_id == request.account_id:
                    node = Node(request.account_id, request.char_id, answer.login_id1, answer.login_id2)
                    self.store.nodes[request.account_id] = node
                    return


def split_login_server(packets: Iterable[bytes], *, without: frozenset[int] = frozenset()) -> tuple[list[Said], list[Said]]:
    """(all but, only) the 3804 pair of an account that the char-server had to ask its login-server for: it comes when that
    has answered, somewhere among the others."""
    main: list[Said] = []
    asked: list[Said] = []
    for packet in packets:
        if id_of(packet) in without:
            continue
        token = said(CHAR_TO_MAP, packet)
        if id_of(packet) == inter.RegistryValues.packet_id and packet[12] == 1:
            before = max(n for n, one in enumerate(main) if one.id == "3804" and one.key == token.key)
            asked += [main.pop(before), token]
        else:
            main.append(token)
    return main, asked


def _statuses(packets: list[bytes], who: Person) -> Iterator[bytes]:
    for packet in packets:
        if id_of(packet) == 0x2AFD and int.from_bytes(packet[4:8], "little") == who.account_id:
            yield packet[25:]
        elif id_of(packet) == 0x2B01 and int.from_bytes(packet[4:8], "little") == who.account_id:
            yield packet[13:]


def _groups(packets: list[bytes], who: Person) -> Iterator[int]:
    for packet in packets:
        if id_of(packet) == 0x2AFD and (answer := inter.AuthOk.unpack(packet)).account_id == who.account_id:
            yield answer.group_id


def _first_storages(packets: list[bytes], who: Person) -> Iterator[Any]:
    """Those answered before one was saved."""
    seen: set[int] = set()
    for packet in packets:
        if id_of(packet) == 0x388A and (answer := inter.Storage.unpack(packet)).account_id == who.account_id:
            if answer.table not in seen:
                yield answer
            seen.add(answer.table)
        elif id_of(packet) == 0x308B and (save := inter.StorageSave.unpack(packet)).account_id == who.account_id:
            seen.add(save.table)


def _achievements(packets: list[bytes], who: Person) -> Iterator[bytes]:
    for packet in packets:
        if id_of(packet) == 0x3862 and (answer := inter.Achievements.unpack(packet)).char_id == who.char_id:
            yield answer.achievements
