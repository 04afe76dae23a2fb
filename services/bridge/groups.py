"""Who is in which party, guild and clan, as far as players in the game go. Hosts hear and say only what their own members may.

Learned from what the char-server says alone: the character's struct in 2afd, the members in 3821 and 3831, then every change.
VPS servers hear everything.
"""

from typing import Final

from libs.rathena.layout import CHARACTER, Layout
from libs.rathena.structs import BadStruct, integer, read
from services.bridge.nodes import Node
from services.bridge.players import Players

PARTY: Final = "party_id"
GUILD: Final = "guild_id"
CLAN: Final = "clan_id"
KINDS: Final = (PARTY, GUILD, CLAN)
"""Named as the fields of a character's struct."""
_LISTS: Final = {PARTY: "party", GUILD: "mmo_guild"}
"""Structs that list all members."""


class Groups:
    """layout: of the servers' build; what is of another teaches nothing."""

    def __init__(self, players: Players, layout: Layout) -> None:
        self._players = players
        self._layout = layout
        self._of: dict[int, dict[str, int]] = {}
        self._members: dict[tuple[str, int], set[int]] = {}

    def learn(self, status: bytes) -> None:
        """status: mmo_charstatus of a 2afd."""
        try:
            char_id = integer(self._layout, CHARACTER, status, "char_id")
            groups = {kind: integer(self._layout, CHARACTER, status, kind) for kind in KINDS}
        except BadStruct:
            return
        for kind, group_id in groups.items():
            self.join(kind, group_id, char_id)

    def learn_list(self, kind: str, struct: bytes) -> None:
        """struct: party or guild with all its members. Who is not listed is none."""
        try:
            group_id = integer(self._layout, _LISTS[kind], struct, kind)
            listed = {member["char_id"] for member in read(self._layout, _LISTS[kind], struct, "member")}
        except BadStruct:
            return
        for char_id in self._members.get((kind, group_id), set()) - listed:
            self.leave(kind, char_id)
        for char_id in listed:
            if char_id in self._players.by_char:
                self.join(kind, group_id, char_id)

    def forget(self, char_id: int) -> None:
        """He left the game."""
        for kind in KINDS:
            self.leave(kind, char_id)
        self._of.pop(char_id, None)

    def knows(self, kind: str, char_id: int) -> bool:
        """False: he entered before this bridge, and nothing was said of it since."""
        return kind in self._of.get(char_id, {})

    def join(self, kind: str, group_id: int, char_id: int) -> None:
        """One of a kind at a time; 0 is none."""
        self.leave(kind, char_id)
        if group_id > 0:
            self._of[char_id][kind] = group_id
            self._members.setdefault((kind, group_id), set()).add(char_id)

    def leave(self, kind: str, char_id: int) -> None:
        groups = self._of.setdefault(char_id, {})
        group_id = groups.get(kind, 0)
        groups[kind] = 0
        members = self._members.get((kind, group_id), set())
        members.discard(char_id)
        if not members:
            self._members.pop((kind, group_id), None)

    def end(self, kind: str, group_id: int) -> None:
        for char_id in list(self._members.get((kind, group_id), ())):
            self.leave(kind, char_id)

    def of(self, kind: str, char_id: int) -> int:
        """0: none."""
        return self._of.get(char_id, {}).get(kind, 0)

    def count(self, kind: str, group_id: int) -> int:
        """Members in the game."""
        return len(self._members.get((kind, group_id), ()))

    def has(self, node: Node, kind: str, group_id: int) -> bool:
        """Does this node serve a member?"""
        members = (self._players.by_char.get(char_id) for char_id in self._members.get((kind, group_id), ()))
        return any(player is not None and player.owner is node for player in members)
