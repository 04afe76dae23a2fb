"""Who is in which party, guild and clan, as far as players in the game go. Hosts hear and say only what their own members may.

Learned from what the char-server says alone: 2afd as a player enters, then every change. A VPS hears everything and is not
asked.
"""

from collections.abc import Iterator
from typing import Final

from libs.rathena.layout import CHARACTER, Layout
from libs.rathena.structs import BadStruct, integer
from services.bridge.nodes import Node
from services.bridge.players import Players

PARTY: Final = "party_id"
GUILD: Final = "guild_id"
CLAN: Final = "clan_id"
"""Also the names of the fields in a character's struct."""
_KINDS: Final = (PARTY, GUILD, CLAN)
_STATUS_AT: Final = 25
"""In 2afd."""


class Groups:
    """layout: of the servers' build. Characters that are not in `players` any more are forgotten when met."""

    def __init__(self, players: Players, layout: Layout) -> None:
        self._players = players
        self._layout = layout
        self._of: dict[tuple[str, int], int] = {}
        self._members: dict[tuple[str, int], set[int]] = {}

    def learn(self, auth: bytes) -> None:
        """auth: a 2afd of the char-server. A packet of another build teaches nothing: hosts then hear no group."""
        try:
            status = auth[_STATUS_AT:]
            char_id = integer(self._layout, CHARACTER, status, "char_id")
            groups = [(kind, integer(self._layout, CHARACTER, status, kind)) for kind in _KINDS]
        except BadStruct:
            return
        for kind, group_id in groups:
            self.join(kind, group_id, char_id)

    def join(self, kind: str, group_id: int, char_id: int) -> None:
        """One of a kind at a time. group_id 0: none."""
        self.leave(kind, char_id)
        if group_id > 0:
            self._of[kind, char_id] = group_id
            self._members.setdefault((kind, group_id), set()).add(char_id)

    def leave(self, kind: str, char_id: int) -> None:
        group_id = self._of.pop((kind, char_id), 0)
        members = self._members.get((kind, group_id))
        if members is not None:
            members.discard(char_id)
            if not members:
                del self._members[kind, group_id]

    def forget(self, char_id: int) -> None:
        """He left the game."""
        for kind in _KINDS:
            self.leave(kind, char_id)

    def end(self, kind: str, group_id: int) -> None:
        for char_id in self._members.pop((kind, group_id), ()):
            self._of.pop((kind, char_id), None)

    def of(self, kind: str, char_id: int) -> int:
        """0: none."""
        return self._of.get((kind, char_id), 0)

    def count(self, kind: str, group_id: int) -> int:
        """Members in the game."""
        return sum(1 for _ in self._living(kind, group_id))

    def has(self, node: Node, kind: str, group_id: int) -> bool:
        """Serves this node a member?"""
        return any(self._players.by_char[char_id].owner is node for char_id in self._living(kind, group_id))

    def _living(self, kind: str, group_id: int) -> Iterator[int]:
        members = self._members.get((kind, group_id), ())
        for char_id in [char_id for char_id in members if char_id not in self._players.by_char]:
            self.forget(char_id)
        yield from list(self._members.get((kind, group_id), ()))
