"""Which connections stand between this relay and hosts that may have to take its players over (docs/adr/0025). Pure.

In: the bridge's wish, what came of opening, players who need one. Out: what to open now and what to close. Bounded by the
wish, whatever hosts do. What was used is made up for when the switch is over; what is too much is closed after a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from libs.link.messages import STANDING_MAX, STANDING_PER_HOST, Wished

OPENING_MAX: Final = 8
"""At once: a handshake costs either end half a millisecond, and players who play meanwhile are not to notice it."""
CALM_MS: Final = 2_000
"""After one was used none is made: more players move, and they go first."""
CALM_MAX_MS: Final = 6_000
"""From the first that was used: where players walk through portals all the time one is used every moment."""
SURPLUS_MS: Final = 30_000
"""Players come and go, and a bridge that has just begun knows few hosts."""
BACK_OFF_MS: Final = (5_000, 300_000)
"""After a refusal, no answer or an end; doubling. A host that is older than standing connections refuses each."""
T = TypeVar("T")


@dataclass(slots=True)
class Towards(Generic[T]):
    """One host, as one process of its agent. count: how many are wished. idle: those that stand, oldest first. surplus_ms:
    since when that is more."""

    wished: Wished
    count: int = 0
    idle: list[T] = field(default_factory=list)
    opening: int = 0
    not_before_ms: int = 0
    back_off_ms: int = 0
    surplus_ms: int | None = None

    @property
    def total(self) -> int:
        return len(self.idle) + self.opening


class Standing(Generic[T]):
    """T: a connection. Times are ms of one clock. Use: `wish`, then now and then `to_open` and `to_close`."""

    def __init__(self) -> None:
        self._hosts: dict[str, Towards[T]] = {}
        self._opening = 0
        self._calm_ms = 0
        self._used_ms: int | None = None
        self._gone: list[T] = []

    def __len__(self) -> int:
        """How many stand now."""
        return sum(len(towards.idle) for towards in self._hosts.values())

    def wish(self, hosts: Sequence[Wished]) -> None:
        """All of it. A host of another key than before is another: nothing that stands towards the old one is good."""
        left = STANDING_MAX
        named: set[str] = set()
        for wished in hosts:
            named.add(wished.host)
            towards = self._hosts.get(wished.host)
            if towards is None or towards.wished.key != wished.key:
                self._forget(wished.host)
                towards = self._hosts[wished.host] = Towards(wished)
            self._hosts[wished.host] = self._hosts.pop(wished.host)  # in the wish's order
            towards.wished, towards.count = wished, min(wished.count, STANDING_PER_HOST, left)
            left -= towards.count
        for host, towards in self._hosts.items():
            if host not in named:
                towards.count = 0

    def to_open(self, now_ms: int) -> list[Towards[T]]:
        """A host for each connection to be made now, most needed first; each is answered by `opened` or `failed`."""
        if now_ms < self._calm_ms:
            return []
        found: list[Towards[T]] = []
        room = min(OPENING_MAX, STANDING_MAX - len(self)) - self._opening
        for towards in self._hosts.values():
            if now_ms < towards.not_before_ms:
                continue
            missing = towards.count - towards.total
            if towards.back_off_ms:  # one, to see whether it is worth while
                missing = min(missing, 1 - towards.opening)
            now = max(0, min(missing, room))
            towards.opening += now
            self._opening += now
            room -= now
            found += [towards] * now
        if not self._opening:  # all is made up for
            self._used_ms = None
        return found

    def opened(self, towards: Towards[T], connection: T) -> None:
        """It stands; unless that process of the host is nobody's business any more: then `to_close` has it."""
        self._answered(towards)
        towards.back_off_ms = 0
        if self._hosts.get(towards.wished.host) is towards:
            towards.idle.append(connection)
        else:
            self._gone.append(connection)

    def failed(self, towards: Towards[T], now_ms: int) -> None:
        """The host refused, or did not answer. Several at once are one failure."""
        self._answered(towards)
        _leave_alone(towards, now_ms)

    def take(self, host: str, key: str, now_ms: int) -> T | None:
        """One of this very process, for a player: the newest, its way is the surest. None: none stands."""
        towards = self._hosts.get(host)
        if towards is None or towards.wished.key != key or not towards.idle:
            return None
        if self._used_ms is None:
            self._used_ms = now_ms
        self._calm_ms = min(now_ms + CALM_MS, self._used_ms + CALM_MAX_MS)
        return towards.idle.pop()

    def lost(self, connection: T, now_ms: int) -> None:
        """It ended by itself: a host that takes them and ends them does not keep us busy."""
        for towards in self._hosts.values():
            if connection in towards.idle:
                towards.idle.remove(connection)
                _leave_alone(towards, now_ms)

    def doubt(self, host: str) -> None:
        """One of this host did not answer: the others came the same way, `to_close` has them."""
        if (towards := self._hosts.get(host)) is not None:
            self._gone += towards.idle
            towards.idle.clear()

    def to_close(self, now_ms: int) -> list[T]:
        """What is not wanted; it does not stand any more."""
        for host, towards in list(self._hosts.items()):
            if towards.total <= towards.count:
                towards.surplus_ms = None
            elif towards.surplus_ms is None:
                towards.surplus_ms = now_ms
            elif now_ms - towards.surplus_ms >= SURPLUS_MS:
                too_many = min(towards.total - towards.count, len(towards.idle))
                self._gone += towards.idle[:too_many]
                del towards.idle[:too_many]
            if not (towards.count or towards.total):
                del self._hosts[host]
        gone, self._gone = self._gone, []
        return gone

    def _answered(self, towards: Towards[T]) -> None:
        towards.opening -= 1
        self._opening -= 1

    def _forget(self, host: str) -> None:
        if (towards := self._hosts.pop(host, None)) is not None:
            self._gone += towards.idle


def _leave_alone(towards: Towards[T], now_ms: int) -> None:
    if now_ms >= towards.not_before_ms:
        first, most = BACK_OFF_MS
        towards.back_off_ms = min(2 * towards.back_off_ms, most) or first
        towards.not_before_ms = now_ms + towards.back_off_ms
