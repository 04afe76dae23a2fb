"""Saves pass the fence, then the validator (DESIGN section 7). In: saves of characters by the node that owns them. Out: `Up`
when they may pass, `Ask` for the validator.

A host's character and storage saves are compared with the last accepted ones and offered to save.check; whatever follows of the
same character waits behind them, so that the char-server sees them in order. Bounded: of whole structs that wait only the
newest is kept, WAITING_MAX packets of a character, and ASKS_MAX questions are out at once. The VPS's own saves pass.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from libs.events import HostId, Reply, SaveCheck, SaveVerdict
from libs.hosting.effects import Ask
from libs.rathena.carried import mismatch
from libs.rathena.inter_saves import SaveChar, Storage, StorageSave
from libs.rathena.structs import CHARACTER, BadStruct, amounts, integers, last_point, patched
from services.bridge.fence import settle
from services.bridge.nodes import Node
from services.bridge.players import Player
from services.bridge.state import State, wire_name

ASKS_MAX = 128
WAITING_MAX = 256
"""Of one character; a final save has six parts, and what carries changes is not replaced by the next."""
READ_MAX = 4
"""Storages read a tick: 200 a second."""
ASK_MS = 1_000
RETRY_MS = 200
SAVE_CHAR, STORAGE_SAVE = SaveChar.packet_id, StorageSave.packet_id
CHECKED_FIELDS = ("base_level", "job_level", "base_exp", "job_exp", "zeny", "hp", "sp", "status_point", "skill_point")
TABLES = {1: "inventory", 2: "cart", 3: "storage"}


@dataclass(slots=True)
class Waiting:
    """What one character's saves wait for. asked: the question that is out. due_ms: when to ask again, 0 for at once."""

    player: Player
    node: Node
    packets: deque[bytes] = field(default_factory=deque)
    asked: SaveCheck | None = None
    due_ms: int = 0


@dataclass(slots=True)
class Accepted:
    """The last accepted of one character. status: mmo_charstatus. loaded: kind -> what is not read yet. states: kind ->
    its checked fields. at_ms: kind -> when."""

    status: bytes = b""
    loaded: dict[str, Storage] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    at_ms: dict[str, int] = field(default_factory=dict)


class SaveGate:
    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[int, Waiting] = {}
        self._accepted: dict[int, Accepted] = {}
        self._unread: dict[tuple[int, str], None] = {}
        self._asks = 0
        self.drained: list[Player] = []
        """Players none of whose saves waits any more; taken by the core."""
        self._away_since_ms: int | None = None
        """Since when no validator answered what was asked."""
        self.bus_up = False
        self.passed_bytes = 0

    def waits(self, player: Player) -> bool:
        return player.char_id in self._waiting

    def learn_status(self, player: Player, status: bytes) -> None:
        """As the char-server sent it (2afd)."""
        accepted = self._accepted.setdefault(player.char_id, Accepted())
        accepted.status = status
        self._accept(accepted, "character", self._fields(status))

    def learn_storage(self, player: Player, loaded: Storage) -> None:
        """388a: what a host's storage saves are compared with. Read by `read_some`: whoever enters is not kept waiting for it,
        nor are those behind him."""
        if (kind := TABLES.get(loaded.table)) is not None:
            accepted = self._accepted.setdefault(player.char_id, Accepted())
            accepted.loaded[kind], accepted.at_ms[kind] = loaded, self._state.now_ms
            self._unread[player.char_id, kind] = None

    def read_some(self, most: int = READ_MAX) -> None:
        """Of what was loaded: so many storages, 0.05 ms each."""
        while self._unread and most > 0:
            char_id, kind = next(iter(self._unread))
            self._read_loaded(char_id, kind)
            most -= 1

    def _read_loaded(self, char_id: int, kind: str) -> None:
        self._unread.pop((char_id, kind), None)
        accepted = self._accepted.get(char_id)
        if accepted is None or (loaded := accepted.loaded.pop(kind, None)) is None:
            return
        with contextlib.suppress(BadStruct):  # of another build: it teaches nothing, as its saves will say
            accepted.states[kind] = self._amounts(loaded.storage, loaded.table)

    def forget(self, player: Player) -> None:
        """He is gone, or another node owns him: what waits is of before."""
        if (waiting := self._waiting.pop(player.char_id, None)) is not None:
            for packet in waiting.packets:
                self._state.report("dropped", waiting.node, _id(packet), "nobody checked it in time")
        self._accepted.pop(player.char_id, None)

    def offer(self, node: Node, player: Player, packet: bytes) -> None:
        """A save of a character by the node that owns it."""
        if wrong := mismatch(self._state.layout, packet):
            self._state.report("refused", node, _id(packet), wrong)
            self._state.cut(node, wrong)
            return
        if is_final(packet):
            player.saver = node
        waiting = self._waiting.get(player.char_id)
        if waiting is None and (node.is_vps or _id(packet) not in (SAVE_CHAR, STORAGE_SAVE)):
            self._pass(player, packet)
            return
        if waiting is None:
            waiting = self._waiting[player.char_id] = Waiting(player, node)
        self._append(waiting, packet)

    def _append(self, waiting: Waiting, packet: bytes) -> None:
        """A whole character or storage takes the place of one that still waits, unless that is a final save or is being asked.
        What carries changes only is kept each."""
        key, first = _kind_key(packet), 0 if waiting.asked is None else 1
        if _id(packet) in (SAVE_CHAR, STORAGE_SAVE):
            for at in range(len(waiting.packets) - 1, first - 1, -1):
                if is_final(waiting.packets[at]):
                    break
                if _kind_key(waiting.packets[at]) == key:
                    del waiting.packets[at]  # the newest goes to the end: a final save comes behind the storages it ends
                    break
        if len(waiting.packets) >= WAITING_MAX:
            self._state.report("dropped", waiting.node, _id(packet), "too many saves of one character wait")
            return
        waiting.packets.append(packet)

    def take(self) -> Iterator[Ask]:
        """Questions that are due; and everything that may pass without one."""
        for waiting in list(self._waiting.values()):
            if self.bus_up and self._asks >= ASKS_MAX:
                return  # reading a save costs more than all else; each answer makes room and calls again
            if waiting.asked is not None or self._state.now_ms < waiting.due_ms:
                continue
            if (question := self._next(waiting)) is None:
                continue
            if self.bus_up:
                self._asks += 1
                waiting.asked = question
                yield Ask(question, ASK_MS)
            else:
                self._away(waiting)

    def _next(self, waiting: Waiting) -> SaveCheck | None:
        """Passes what needs no question; then the question about the first that does, None where nothing is left."""
        while waiting.packets:
            packet = waiting.packets[0]
            question = self._question(waiting, packet)
            if question is not None:
                return question
            waiting.packets.popleft()
            self._pass(waiting.player, packet)
        self._waiting.pop(waiting.player.char_id, None)
        self.drained.append(waiting.player)
        return None

    def _question(self, waiting: Waiting, packet: bytes) -> SaveCheck | None:
        node, player = waiting.node, waiting.player
        name = wire_name(player.map)
        kind, after = self._read(packet) if node.host is not None and name is not None else (None, {})
        if kind is None or node.host is None or name is None:
            return None
        accepted = self._accepted.setdefault(player.char_id, Accepted())
        self._read_loaded(player.char_id, kind)
        now_ms = self._state.now_ms
        return SaveCheck(
            host=HostId(node.host),
            map=name,
            account_id=player.account_id,
            char_id=player.char_id,
            tenure=player.tenure,
            at_ms=now_ms,
            elapsed_ms=float(max(0, now_ms - accepted.at_ms.get(kind, now_ms))),
            kind=kind,
            before=accepted.states.get(kind, {}),
            after=after,
        )

    def on_reply(self, ask: Ask, reply: Reply | None) -> None:
        self._asks -= 1
        assert isinstance(ask.request, SaveCheck)
        waiting = self._waiting.get(ask.request.char_id)
        if waiting is None or waiting.asked is not ask.request:
            return
        waiting.asked = None
        if not isinstance(reply, SaveVerdict):
            self._away(waiting)
            return
        self._away_since_ms = None
        if reply.verdict == "pass":
            self._pass(waiting.player, waiting.packets.popleft(), ask.request)
        elif reply.verdict == "hold":
            waiting.due_ms = self._state.now_ms + RETRY_MS
        else:
            self._reject(waiting, waiting.packets.popleft(), reply)

    def _away(self, waiting: Waiting) -> None:
        """No validator answers: the operator chose what happens. vps: the host's maps leave it, and what it said until then
        passes, or its players would be held until a validator is back. hold: the same after a while, for the same reason."""
        state, chosen = self._state, self._state.rules.when_validator_away
        if self._away_since_ms is None:
            self._away_since_ms = state.now_ms
        if chosen == "hold" and state.now_ms - self._away_since_ms >= state.rules.patience_ms:
            chosen = "vps"
        if chosen == "vps":
            state.leave_out(waiting.node, "no validator checks its saves")
        if chosen in ("pass", "vps"):
            self._pass(waiting.player, waiting.packets.popleft())
        else:
            waiting.due_ms = state.now_ms + RETRY_MS

    def _reject(self, waiting: Waiting, packet: bytes, verdict: SaveVerdict) -> None:
        """The last accepted stays, or what the validator put right; a final save still has to end the character's stay."""
        state, player = self._state, waiting.player
        state.report("rejected", waiting.node, _id(packet), verdict.reason)
        if _id(packet) == STORAGE_SAVE:
            state.out.extend(settle(waiting.node, packet))
            return
        save, accepted = SaveChar.unpack(packet), self._accepted[player.char_id]
        status = accepted.status
        if verdict.corrected:
            numbers = {key: value for key, value in verdict.corrected.items() if isinstance(value, int)}
            status = patched(state.layout, CHARACTER, save.status, dict(numbers))
        if status and (save.final or verdict.corrected):
            kept = SaveChar(account_id=save.account_id, char_id=save.char_id, final=save.final, status=status)
            self._pass(player, kept.pack())

    def _pass(self, player: Player, packet: bytes, checked: SaveCheck | None = None) -> None:
        """checked: the question about this very packet, which has read it already."""
        self._state.up(packet)
        self.passed_bytes += len(packet)
        if _id(packet) == SAVE_CHAR:
            with contextlib.suppress(BadStruct):
                player.keep(last_point(self._state.layout, SaveChar.unpack(packet).status))
        if _id(packet) in (SAVE_CHAR, STORAGE_SAVE) and player.owner is not None and not player.owner.is_vps:
            accepted = self._accepted.setdefault(player.char_id, Accepted())
            kind, after = self._read(packet) if checked is None else (checked.kind, checked.after)
            if kind is not None:
                self._accept(accepted, kind, after)
            if _id(packet) == SAVE_CHAR:
                accepted.status = SaveChar.unpack(packet).status

    def _accept(self, accepted: Accepted, kind: str, fields: dict[str, Any]) -> None:
        accepted.loaded.pop(kind, None)
        accepted.states[kind], accepted.at_ms[kind] = fields, self._state.now_ms

    def _read(self, packet: bytes) -> tuple[str | None, dict[str, Any]]:
        """What is saved and its checked fields; None where nothing of it is checked."""
        try:
            if _id(packet) == SAVE_CHAR:
                return "character", self._fields(SaveChar.unpack(packet).status)
            if _id(packet) == STORAGE_SAVE:
                save = StorageSave.unpack(packet)
                if (kind := TABLES.get(save.table)) is not None:
                    return kind, self._amounts(save.storage, save.table)
        except BadStruct:
            return None, {}
        return None, {}

    def _fields(self, status: bytes) -> dict[str, Any]:
        return {**integers(self._state.layout, CHARACTER, status, CHECKED_FIELDS)}

    def _amounts(self, storage: bytes, table: int) -> dict[str, Any]:
        """Item id -> how many."""
        return {str(item): amount for item, amount in amounts(self._state.layout, storage, table).items()}


def _id(packet: bytes) -> int:
    return packet[0] | packet[1] << 8


def is_final(packet: bytes) -> bool:
    return _id(packet) == SAVE_CHAR and packet[12] == 1


def _kind_key(packet: bytes) -> tuple[int, int]:
    """The id, and of storages the table."""
    return _id(packet), StorageSave.unpack(packet).table if _id(packet) == STORAGE_SAVE else 0
