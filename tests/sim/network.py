"""Connections to the NATS server: TCP as it behaves, good days and bad.

One `Link` a process. Each direction of each channel keeps its order (TCP, and a consumer's own order); channels overtake one
another. What is under way when a link is cut is lost; what is under way when it is stalled arrives late. A cut link comes back
by itself, a while after the cut ends and the server is there.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.sim.clock import MS, Clock

RECONNECT_US = (5 * MS, 250 * MS)
"""Between the moment a server could be reached and the client's next attempt."""

UP, DOWN = "up", "down"
"""The ways of a link; what a client sends goes through the channel of the same name as the way."""


@dataclass(frozen=True, slots=True)
class Weather:
    """delay_us: least and most of one way, one in twenty up to `slow_us`. loss: of core messages (a slow consumer's are thrown
    away). append_loss: of an append's request, and again of its acknowledgement. lag_us: most that a follower trails."""

    delay_us: tuple[int, int]
    slow_us: int
    loss: float
    append_loss: float
    lag_us: int


class Network:
    """Who can reach the server."""

    def __init__(self, clock: Clock, rng: random.Random, weather: Weather) -> None:
        self.clock, self.rng, self.weather = clock, rng, weather
        self.links: list[Link] = []
        self.server_back_us = 0

    def delay_us(self) -> int:
        low, high = self.weather.delay_us
        if self.rng.random() < 0.05:
            high = max(low, self.weather.slow_us)
        return low + int(self.rng.random() * (high - low))

    def lag_us(self) -> int:
        return int(self.rng.random() * self.weather.lag_us)

    def loses(self, ratio: float) -> bool:
        return ratio > 0 and self.rng.random() < ratio

    def restart_server(self, away_us: int) -> None:
        """Every connection ends; nothing that was stored is lost."""
        self.server_back_us = self.clock.now_us + away_us
        for link in self.links:
            link.cut(away_us)

    def heal(self) -> None:
        """All that was cut or stalled comes back now, and nothing is lost any more; what is slow stays slow."""
        self.weather = replace(self.weather, loss=0.0, append_loss=0.0)
        self.server_back_us = self.clock.now_us
        for link in self.links:
            link.heal()


class Link:
    """on_down: the server learns of a cut. on_up: the client is connected again. up: as the client sees it."""

    def __init__(self, network: Network, on_down: Callable[[], None], on_up: Callable[[], None]) -> None:
        self._network, self._clock, self._on_down, self._on_up = network, network.clock, on_down, on_up
        self.up = True
        self.breaks = 0
        self.epoch = 0
        self._cut_until_us = 0
        self._stalled_us = {UP: 0, DOWN: 0}
        self._held: dict[str, list[tuple[Callable[..., None], tuple[Any, ...]]]] = {UP: [], DOWN: []}
        self._free_us: dict[str, int] = {}
        network.links.append(self)

    def close(self) -> None:
        """The process is gone, and what was under way with it."""
        self.up = False
        self.epoch += 1
        self._held = {UP: [], DOWN: []}
        self._on_down()
        self._network.links.remove(self)

    def send(self, channel: str, act: Callable[..., None], *args: Any, extra_us: int = 0) -> bool:
        """`act` at the other end, after what went this way before; lost if cut meanwhile. False: the link is down."""
        if not self.up:
            return False
        earliest_us = self._clock.now_us + self._network.delay_us() + extra_us
        way = UP if channel == UP else DOWN
        arrives_us = max(earliest_us, self._free_us.get(channel, 0))
        self._free_us[channel] = arrives_us
        self._clock.at(arrives_us, self._arrive, self.epoch, way, act, args)
        return True

    def cut(self, away_us: int) -> None:
        self._cut_until_us = max(self._cut_until_us, self._clock.now_us + away_us)
        self.breaks += 1
        self.epoch += 1
        self._free_us.clear()
        self._held = {UP: [], DOWN: []}
        self.up = False
        self._on_down()
        self._plan_return()

    def stall(self, for_us: int, ways: tuple[str, ...] = (UP, DOWN)) -> None:
        """Nothing passes for a while, and nobody is told; what arrives meanwhile is held and then handed on in its order."""
        for way in ways:
            self._stalled_us[way] = max(self._stalled_us[way], self._clock.now_us + for_us)
            self._clock.at(self._stalled_us[way], self._release, way)

    def heal(self) -> None:
        self._cut_until_us = self._clock.now_us
        for way in (UP, DOWN):
            self._stalled_us[way] = 0
            self._release(way)
        if not self.up:
            self._plan_return()

    def _arrive(self, epoch: int, way: str, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        if epoch != self.epoch:
            return
        if self._clock.now_us < self._stalled_us[way] or self._held[way]:
            self._held[way].append((act, args))
        else:
            act(*args)

    def _release(self, way: str) -> None:
        if self._clock.now_us >= self._stalled_us[way]:
            held, self._held[way], epoch = self._held[way], [], self.epoch
            for act, args in held:
                if epoch == self.epoch:
                    act(*args)

    def _plan_return(self) -> None:
        back_us = max(self._cut_until_us, self._network.server_back_us, self._clock.now_us)
        self._clock.at(back_us + self._network.rng.randint(*RECONNECT_US), self._return, self.epoch)

    def _return(self, epoch: int) -> None:
        if epoch != self.epoch or self.up:
            return
        if self._clock.now_us < max(self._cut_until_us, self._network.server_back_us):
            self._plan_return()
            return
        self.epoch += 1
        self.up = True
        self._on_up()
