"""Which accounts are in the game, and whose hosts are thereby judged at once, or count at all (hosts_must_play). Pure.

In: map.enter and map.leave as they happen, and the bridge's own word at the start and every RESYNC_MS (players.online): while
the bus is away from the bridge nobody says who came and went.
"""

from collections.abc import Collection
from typing import Literal

from libs.events import Event, HostId, MapEnter, MapLeave, PlayersOnline, PlayersOnlineReply
from libs.hosting.world import FOREVER_MS

GRACE_MS = 60_000
"""A player whose client crashed, or who changes characters, is back within a minute; moving his maps twice would cost more."""
RESYNC_MS = 30_000
"""Below the grace: who is wrongly taken to have left is found to be there before his maps move."""
RETRY_MS = 1_000
ONLINE_TIMEOUT_MS = 2_000
ACCOUNTS_MAX = 200_000
"""In the game at once; twice what one answer may hold."""
NOBODY: Collection[HostId] = ()

Standing = Literal["in", "away", "gone"]
"""in: in the game. away: left, but not for long; or nobody could say so far. gone: not in the game."""


class Playing:
    """must_play: general.hosts_must_play; without it nobody is asked and nothing is kept but whose host is whose."""

    def __init__(self, must_play: bool) -> None:
        self.must_play = must_play
        self._account_of: dict[HostId, int] = {}
        self._hosts_of: dict[int, set[HostId]] = {}
        self._in_game: set[int] = set()
        self._left_ms: dict[int, int] = {}
        self._changed: dict[int, bool] | None = None
        self._due_ms = 0
        self._live = False
        self._known = False

    def begin(self, now_ms: int) -> None:
        """Movements that follow are news; those before were the log's last words, however old."""
        self._live = True
        self._due_ms = now_ms

    def bind(self, host: HostId, account: int, now_ms: int) -> None:
        """This host is this account's."""
        if self._account_of.get(host) == account:
            return
        self.unbind(host)
        self._account_of[host] = account
        self._hosts_of.setdefault(account, set()).add(host)
        if account not in self._in_game:
            self._left_ms.setdefault(account, now_ms)

    def unbind(self, host: HostId) -> None:
        """It is forgotten."""
        if (account := self._account_of.pop(host, None)) is None:
            return
        self._hosts_of[account].discard(host)
        if not self._hosts_of[account]:
            del self._hosts_of[account]
            self._left_ms.pop(account, None)

    def on_movement(self, event: Event | None, now_ms: int) -> Collection[HostId]:
        """The hosts to judge at once because of it."""
        if not self._live:
            return NOBODY
        if isinstance(event, MapEnter):
            self._set(event.account_id, True, now_ms)
        elif isinstance(event, MapLeave) and event.to_map is None:
            self._set(event.account_id, False, now_ms)
        else:
            return NOBODY
        return self._hosts_of.get(event.account_id, NOBODY)

    def standing(self, host: HostId, now_ms: int) -> Standing:
        """Of the host's account; always `in` where hosts need not play."""
        if not self.must_play or (account := self._account_of.get(host)) in self._in_game:
            return "in"
        if account is None or not self._known or now_ms - self._left_ms.get(account, now_ms) < GRACE_MS:
            return "away"
        return "gone"

    def until_ms(self, host: HostId, now_ms: int) -> int:
        """When its standing changes though nobody says anything: the end of its grace."""
        if self.standing(host, now_ms) != "away" or not self._known or (account := self._account_of.get(host)) is None:
            return FOREVER_MS
        return self._left_ms.get(account, now_ms) + GRACE_MS

    def on_gap(self, now_ms: int) -> None:
        """We, or the bus, were away: ask anew."""
        self._due_ms = now_ms

    def question(self, now_ms: int) -> PlayersOnline | None:
        """What to ask now, one at a time; answered by `on_online`."""
        if not self.must_play or not self._live or self._changed is not None or now_ms < self._due_ms:
            return None
        self._changed = {}
        return PlayersOnline(at_ms=now_ms)

    def on_online(self, reply: PlayersOnlineReply | None, now_ms: int) -> Collection[HostId]:
        """The hosts to judge at once because of it. Who moved since it was asked is where he moved to."""
        changed, self._changed = self._changed or {}, None
        self._due_ms = now_ms + (RESYNC_MS if reply is not None else RETRY_MS)
        if reply is None:
            return NOBODY
        before, self._in_game = self._in_game, set(reply.accounts)
        for account, is_in in changed.items():
            (self._in_game.add if is_in else self._in_game.discard)(account)
        if not self._known:  # whoever is not there may have left just now
            self._left_ms.clear()
            before = set(self._hosts_of) - self._in_game
            self._known = True
        hosts: list[HostId] = []
        for account in self._hosts_of.keys() & (before ^ self._in_game):
            self._note(account, now_ms)
            hosts += self._hosts_of[account]
        return hosts

    def _set(self, account: int, is_in: bool, now_ms: int) -> None:
        if not self.must_play:
            return
        if self._changed is not None and len(self._changed) < ACCOUNTS_MAX:
            self._changed[account] = is_in
        if not is_in:
            self._in_game.discard(account)
        elif len(self._in_game) < ACCOUNTS_MAX:
            self._in_game.add(account)
        if account in self._hosts_of:
            self._note(account, now_ms)

    def _note(self, account: int, now_ms: int) -> None:
        if account in self._in_game:
            self._left_ms.pop(account, None)
        else:
            self._left_ms.setdefault(account, now_ms)
