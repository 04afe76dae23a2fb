"""The demo's players: the eight recorded accounts played again, and walkers on the real warp graph.

In: the world, a seeded `random.Random`, times. Out: `map.enter`, `map.leave` and `map.census` as the bridge would say them.
The same seed and the same times give the same events. Pure: no clock.
"""

import heapq
import random

from libs.events import MapCensus, MapEnter, MapLeave, MapName, Region
from services.ops.demo.census import Censuses
from services.ops.demo.recording import Movement, recorded_accounts, recording
from services.ops.demo.walker import REGION_WEIGHTS, Habits, Walker
from services.ops.demo.world_map import WorldMap

PlayerEvent = MapEnter | MapLeave | MapCensus

WALKER_ACCOUNT_FIRST = 2_000_101
WALKER_CHAR_FIRST = 150_101
REPLAY_PAUSE_MS = 5_000
"""Between the end of the recording and its next showing, ms of the game."""
STEP_MS_MIN = 50
"""However fast the pace, a player stays this long on a map."""


class Players:
    """pace: how much faster than in the game time runs (dwell times, sessions, the recording). ramp_ms: walkers log in spread
    over this time after start_ms. count: recorded accounts included, which come first."""

    def __init__(
        self,
        world: WorldMap,
        rng: random.Random,
        *,
        start_ms: int,
        count: int = 1000,
        pace: float = 10.0,
        ramp_ms: int = 3000,
        regions: dict[Region, float] | None = None,
    ) -> None:
        assert pace > 0
        assert ramp_ms >= 0
        weights = regions or REGION_WEIGHTS
        self._habits = Habits(world, rng)
        self._pace = pace
        self._advanced_ms = start_ms - 1
        self._censuses = Censuses()
        self._replaying = {account: self._habits.region(weights) for account in recorded_accounts()[:count]}
        self._tape = [movement for movement in recording() if movement.account_id in self._replaying]
        self._tape_start_ms, self._tape_next = start_ms, 0
        self._walkers = [
            Walker(WALKER_ACCOUNT_FIRST + number, WALKER_CHAR_FIRST + number, self._habits.region(weights))
            for number in range(count - len(self._replaying))
        ]
        self._turns = [(start_ms + int(rng.uniform(0, ramp_ms)), number) for number in range(len(self._walkers))]
        heapq.heapify(self._turns)

    def advance(self, now_ms: int) -> list[PlayerEvent]:
        """All that happens up to now_ms, which never runs backwards, in order of time; a census follows the moves of its ms."""
        assert now_ms >= self._advanced_ms, "time ran backwards"
        events: list[PlayerEvent] = []
        while (due_ms := self.next_due_ms()) is not None and due_ms <= now_ms:
            if self._tape_due_ms() == due_ms:
                events.append(self._replay_next())
            elif self._turns and self._turns[0][0] == due_ms:
                events += self._turn(due_ms, self._walkers[heapq.heappop(self._turns)[1]])
            elif (census := self._censuses.say_next()) is not None:
                events.append(census)
        self._advanced_ms = now_ms
        return events

    def restate(self, now_ms: int) -> list[MapCensus]:
        """A census of every map that ever had players, as the bridge says hourly; call it right after `advance(now_ms)`. Left
        out is what was said less than a second ago."""
        assert now_ms == self._advanced_ms, "advance to now_ms first"
        return self._censuses.restate(now_ms)

    def population(self) -> dict[MapName, dict[Region, int]]:
        """Maps with players -> region -> players, as of the last `advance`."""
        return self._censuses.population()

    def next_due_ms(self) -> int | None:
        """When something happens next, Unix ms; None: never (no players)."""
        dues = (self._tape_due_ms(), self._turns[0][0] if self._turns else None, self._censuses.next_due_ms())
        return min((due_ms for due_ms in dues if due_ms is not None), default=None)

    def _tape_due_ms(self) -> int | None:
        return self._tape_start_ms + int(self._tape[self._tape_next].t_ms / self._pace) if self._tape else None

    def _replay_next(self) -> MapEnter | MapLeave:
        movement: Movement = self._tape[self._tape_next]
        at_ms, region = self._tape_due_ms(), self._replaying[movement.account_id]
        assert at_ms is not None
        self._censuses.count(movement.map, region, +1 if movement.enters else -1, at_ms)
        self._tape_next += 1
        if self._tape_next == len(self._tape):
            self._tape_start_ms, self._tape_next = at_ms + self._scaled_ms(REPLAY_PAUSE_MS), 0
        return movement.event(at_ms, region)

    def _turn(self, at_ms: int, walker: Walker) -> list[PlayerEvent]:
        """What a walker does when the stay is over: log in, walk on, or log out."""
        if walker.map is None:
            walker.session_end_ms = at_ms + self._scaled_ms(self._habits.session_s() * 1000)
            warp = self._habits.login_warp(walker.region)
            return [self._enter(at_ms, walker, warp.to_map, warp.to_x, warp.to_y)]
        onward = self._habits.next_warp(walker) if at_ms < walker.session_end_ms else None
        if onward is None:
            return [self._leave(at_ms, walker, None)]
        return [
            self._leave(at_ms, walker, onward.to_map),
            self._enter(at_ms, walker, onward.to_map, onward.to_x, onward.to_y),
        ]

    def _enter(self, at_ms: int, walker: Walker, map_: MapName, x: int, y: int) -> MapEnter:
        self._censuses.count(map_, walker.region, +1, at_ms)
        walker.map = map_
        self._next_turn(walker, at_ms + self._scaled_ms(self._habits.dwell_s(map_) * 1000))
        return MapEnter(
            map=map_,
            account_id=walker.account_id,
            char_id=walker.char_id,
            at_ms=at_ms,
            region=walker.region,
            from_map=walker.before,
            x=x,
            y=y,
        )

    def _leave(self, at_ms: int, walker: Walker, to_map: MapName | None) -> MapLeave:
        assert walker.map is not None
        self._censuses.count(walker.map, walker.region, -1, at_ms)
        left = MapLeave(map=walker.map, account_id=walker.account_id, char_id=walker.char_id, at_ms=at_ms, to_map=to_map)
        if to_map is None:
            walker.map = walker.before = None
            self._next_turn(walker, at_ms + self._scaled_ms(self._habits.offline_s() * 1000))
        else:
            walker.before = walker.map
        return left

    def _next_turn(self, walker: Walker, at_ms: int) -> None:
        heapq.heappush(self._turns, (at_ms, walker.account_id - WALKER_ACCOUNT_FIRST))

    def _scaled_ms(self, game_ms: float) -> int:
        return max(STEP_MS_MIN, int(game_ms / self._pace))
