"""Players in the game: who is who, who serves him. The only place that knows real session ids (DESIGN section 7).

A player is owned by one node, or by none while he is between two. What a node says about him counts only while it owns him.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from libs.rathena.inter_chars import AuthOk, ChangeMapServer
from libs.rathena.structs import Point
from services.bridge.nodes import Node

K = TypeVar("K")


class Phase(StrEnum):
    """ARRIVING: the char-server is asked whether he may. PLACING: a node was named to the relay and has not taken him in yet.
    PLAYING: it has. HOLDING: the relay was told to take him from his node; its final save is awaited. HELD: nobody serves him,
    the relay keeps his client. CHANGING: the char-server is asked to let him change map-servers (2b05). LEAVING: his client is
    gone; the final save is awaited."""

    ARRIVING = "arriving"
    PLACING = "placing"
    PLAYING = "playing"
    HOLDING = "holding"
    HELD = "held"
    CHANGING = "changing"
    LEAVING = "leaving"


@dataclass(slots=True, eq=False)
class Player:
    """One player.

    peer, conn: the connection of his relay, and the relay's number for his client; relay: its name. login_id1, login_id2:
    the real ones; shown: those made for the node that serves him, None where the bridge before this one made them. owner:
    the node whose word about him counts. bound: the node he is being placed on. expected: server that owned him before this
    bridge, or that server's link, began anew. auth: the char-server's 2afd, kept for one use. name: of the character,
    unpadded. map, x, y: where the client last was. kept: x, y as the char-server has them written, None: not known.
    entrance: where he was before he entered an instance. asker, asked: the node that asked for a change of servers, and its
    words. since_ms: since when in this phase. saved: his final save was acknowledged; saver: the node that made it, while it
    waits for that. dismissed: his server told him to go with this code of 0081, as it tells everybody when it ends. whole:
    his server has read his inventory and reckoned with it; before that its saves have neither HP nor SP. deferred: the
    char-server is asked when his saves have passed. attempts: placements that failed in a row. base_level, job_level, zeny:
    as last loaded. told_map: the map he was last said to be on. fresh: `Placed.fresh`. successor: who waits for him to be gone.
    """

    account_id: int
    char_id: int
    peer: int = 0
    conn: int = 0
    relay: str = ""
    switch: int = 0
    login_id1: int = 0
    login_id2: int = 0
    shown: tuple[int, int] | None = None
    sex: int = 0
    client_ip: bytes = b"\0\0\0\0"
    group_id: int = 0
    name: bytes = b""
    region: str = ""
    phase: Phase = Phase.ARRIVING
    owner: Node | None = None
    bound: Node | None = None
    expected: str | None = None
    auth: AuthOk | None = None
    tenure: int = 0
    map: bytes = b""
    x: int = 0
    y: int = 0
    kept: tuple[int, int] | None = None
    entrance: tuple[bytes, int, int] | None = None
    asker: Node | None = None
    asked: ChangeMapServer | None = None
    since_ms: int = 0
    saved: bool = False
    saver: Node | None = None
    dismissed: int | None = None
    whole: bool = True
    deferred: bool = False
    attempts: int = 0
    base_level: int | None = None
    job_level: int | None = None
    zeny: int | None = None
    told_map: bytes | None = None
    fresh: bool = False
    successor: "Player | None" = None

    def keep(self, point: Point) -> None:
        """So the char-server has him. Some builds save signed numbers, and 2b05 carries none."""
        self.kept = max(0, point.x), max(0, point.y)

    def leave_instance(self) -> None:
        """It is there in the process alone that made it: who leaves that goes back to where he entered it."""
        if is_instance(self.map) and self.entrance is not None:
            self.map, self.x, self.y = self.entrance


@dataclass(slots=True)
class Players:
    """By character, account, name, client connection. An account is in the game with one character at a time."""

    by_char: dict[int, Player] = field(default_factory=dict)
    by_account: dict[int, Player] = field(default_factory=dict)
    by_name: dict[bytes, Player] = field(default_factory=dict)
    by_conn: dict[tuple[int, int], Player] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Player]:
        return iter(self.by_char.values())

    def __len__(self) -> int:
        return len(self.by_char)

    def add(self, player: Player) -> None:
        """Takes the place of whoever had this account, character or connection; `remove` him first to tell his relay."""
        for old in (self.by_account.get(player.account_id), self.by_char.get(player.char_id)):
            if old is not None:
                self.remove(old)
        self.by_char[player.char_id] = player
        self.by_account[player.account_id] = player
        self.by_conn[player.peer, player.conn] = player
        if player.name:
            self.by_name[player.name] = player

    def rivals(self, account_id: int, char_id: int, conn: tuple[int, int]) -> list[Player]:
        """Whoever has this account, character or connection, each once."""
        found = (self.by_account.get(account_id), self.by_char.get(char_id), self.by_conn.get(conn))
        return list(dict.fromkeys(player for player in found if player is not None))

    def remove(self, player: Player) -> None:
        _forget(self.by_char, player.char_id, player)
        _forget(self.by_account, player.account_id, player)
        _forget(self.by_name, player.name, player)
        _forget(self.by_conn, (player.peer, player.conn), player)

    def rename(self, player: Player, name: bytes) -> None:
        _forget(self.by_name, player.name, player)
        player.name = name
        self.by_name[name] = player

    def of_char_or_account(self, account_id: int | None, char_id: int | None) -> Player | None:
        """Whom a packet's key names. Both given and contradicting each other: nobody."""
        by_char = self.by_char.get(char_id) if char_id else None
        by_account = self.by_account.get(account_id) if account_id else None
        if account_id and char_id and by_char is not by_account:
            return None
        return by_char or by_account

    def owned_by(self, node: Node) -> list[Player]:
        return [player for player in self.by_char.values() if player.owner is node]


def _forget(index: dict[K, Player], key: K, player: Player) -> None:
    if index.get(key) is player:
        del index[key]


def is_instance(name: bytes) -> bool:
    """Maps made at run time have an @ in their names."""
    return b"@" in name
