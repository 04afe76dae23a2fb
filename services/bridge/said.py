"""What the bridge says on the bus: who entered, who left, how many are where, how moves went, which link ended.

A census is absolute, said on change and at most once a second a map, and anew in full when the bus returns. While the bus is
away enters and leaves are dropped: the census makes them good (DESIGN D11). Bounded: QUEUE_MAX waiting, then the same.
"""

from collections import Counter, deque
from collections.abc import Iterator

from libs.events import HostId, HostLost, MapCensus, MapEnter, MapLeave, MapMoved, MapName, OpsAlert, Region
from libs.hosting.effects import Append, Effect, Say
from libs.link.seldom import Seldom
from services.bridge.effects import Report
from services.bridge.players import Phase, Player
from services.bridge.state import State, wire_name

CENSUS_MS = 1_000
RESTATE_MS = 3_600_000
QUEUE_MAX = 10_000
NO_REGION = Region("vps")
"""Of players whose relay has no region configured."""


class Said:
    def __init__(self, state: State) -> None:
        self._state = state
        self._queue: deque[Effect] = deque()
        self._moves: deque[Effect] = deque(maxlen=QUEUE_MAX)
        self._dirty: dict[MapName, int] = {}
        self._said_ms: dict[MapName, int] = {}
        self._population: dict[MapName, Counter[Region]] = {}
        self._alerts = Seldom()
        self.connected = False

    def at(self, player: Player) -> None:
        """The player's client has loaded the map he is on."""
        if player.told_map == player.map:
            return
        before = player.told_map
        self._move_out(player, player.map)
        player.told_map = player.map
        if (name := wire_name(player.map)) is None:
            return
        region = _region(player)
        self._population.setdefault(name, Counter())[region] += 1
        self._touch(name)
        self._queue_up(
            MapEnter(
                map=name,
                account_id=player.account_id,
                char_id=player.char_id,
                at_ms=self._state.now_ms,
                region=region,
                from_map=wire_name(before) if before else None,
                x=player.x,
                y=player.y,
            )
        )

    def gone(self, player: Player) -> None:
        self._move_out(player, None)
        player.told_map = None

    def counted(self, player: Player) -> None:
        """Of a relay's table: he is there, and said to have entered long ago."""
        player.told_map = player.map
        if (name := wire_name(player.map)) is not None:
            self._population.setdefault(name, Counter())[_region(player)] += 1
            self._touch(name)

    def moved(self, event: MapMoved) -> None:
        """Kept while the bus is away: a decider waits for it."""
        self._moves.append(Append(event, None))

    def link_lost(self, host: HostId, link: int) -> None:
        if self.connected:
            self._queue.append(Say(HostLost(host=host, at_ms=self._state.now_ms, link=str(link))))

    def link_refused(self, host: HostId | None, why: str, detail: str, now_ms: int) -> None:
        """Somebody wanted to link and was refused, or broke the link's rules. host: where it is proven to concern him."""
        self._state.now_ms = now_ms
        rules = self._state.rules
        self._state.out.append(Report("ticket", host or "a stranger", 0, f"{why}: {detail}"))
        about = host or rules.name
        if rules.alerts and self.connected and self._alerts.may(about, now_ms):
            words = f"{why}: {detail}"[:1000]
            self._queue.append(Say(OpsAlert(about=about, at_ms=now_ms, what="link_refused", detail=words, by=rules.name)))

    def on_bus(self, connected: bool) -> None:
        """The bus came or went."""
        self.connected = connected
        self._queue.clear()
        if connected:
            for name in self._population:
                self._touch(name)

    def take(self) -> Iterator[Effect]:
        """What is due now."""
        if not self.connected:
            return
        while self._queue:
            yield self._queue.popleft()
        while self._moves:
            yield self._moves.popleft()
        now_ms = self._state.now_ms
        for name, due_ms in list(self._dirty.items()):
            if now_ms >= due_ms:
                del self._dirty[name]
                self._said_ms[name] = now_ms
                players = {region: count for region, count in self._population.get(name, Counter()).items() if count > 0}
                if players:
                    self._dirty[name] = now_ms + RESTATE_MS
                else:
                    self._population.pop(name, None)
                yield Append(MapCensus(map=name, at_ms=now_ms, players=players), None)

    def accounts(self) -> list[int]:
        """Accounts in the game now."""
        return [player.account_id for player in self._state.players if player.phase not in (Phase.ARRIVING, Phase.LEAVING)]

    def _move_out(self, player: Player, to_map: bytes | None) -> None:
        if player.told_map is None or (name := wire_name(player.told_map)) is None:
            return
        self._population.setdefault(name, Counter())[_region(player)] -= 1
        self._touch(name)
        self._queue_up(
            MapLeave(
                map=name,
                account_id=player.account_id,
                char_id=player.char_id,
                at_ms=self._state.now_ms,
                to_map=wire_name(to_map) if to_map else None,
            )
        )

    def _touch(self, name: MapName) -> None:
        soonest = max(self._state.now_ms, self._said_ms.get(name, 0) + CENSUS_MS)
        self._dirty[name] = min(self._dirty.get(name, soonest), soonest)

    def _queue_up(self, event: MapEnter | MapLeave) -> None:
        if self.connected and len(self._queue) < QUEUE_MAX:
            self._queue.append(Append(event, None))


def _region(player: Player) -> Region:
    return Region(player.region) if player.region else NO_REGION
