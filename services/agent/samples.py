"""What hosting costs this machine, sampled: CPU, memory, traffic of the last ten minutes.

In: the machine (psutil), the map-servers' statuses, the players' connections. Out: a `Sample`, and those before. Called by
seen.py every SAMPLE_S.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import psutil

from services.agent.guests import Guests

if TYPE_CHECKING:
    from services.agent.maps.servers import Status as MapStatus

SAMPLE_S: Final = 5.0
KEPT_S: Final = 600.0
MB: Final = 1024 * 1024


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """own_cpu, others_cpu: percent of the whole machine's processor since the sample before, None of the first; own is the
    agent with its map-servers. own_ram_mb: of both, resident. up_bytes, down_bytes: of the map-servers' streams to and from the
    server, since the agent's start, before compression; *_s: a second. game_*: of the players' own connections, up to them and
    down from them. maps_cpu: of each map."""

    own_cpu: float | None
    others_cpu: float | None
    own_ram_mb: float
    maps_ram_mb: float
    free_ram_mb: float
    up_bytes: int
    down_bytes: int
    up_bytes_s: float
    down_bytes_s: float
    game_up_bytes: int
    game_down_bytes: int
    game_up_bytes_s: float
    game_down_bytes_s: float
    maps_cpu: dict[str, float]


class Growth:
    """Of counters that come, grow, begin anew and go."""

    def __init__(self) -> None:
        self._last: dict[Hashable, float] = {}

    def of(self, values: dict[Hashable, float]) -> dict[Hashable, float]:
        """How much each has grown since the last time; one that is new or smaller than before has begun at zero."""
        grown = {key: value - last if value >= (last := self._last.get(key, 0.0)) else value for key, value in values.items()}
        self._last = dict(values)
        return grown


class Sampler:
    """now_s of every call: a clock that only grows."""

    def __init__(self, now_s: float) -> None:
        self.kept: deque[Sample] = deque(maxlen=int(KEPT_S / SAMPLE_S))
        self._process = psutil.Process()
        self._cores = psutil.cpu_count(logical=True) or 1
        self._cpu, self._up, self._down = Growth(), Growth(), Growth()
        self._own, self._game = Growth(), Growth()
        self._own.of({"agent": self._own_cpu_s()})
        self._bytes = [0.0, 0.0]
        self._at_s = now_s
        psutil.cpu_percent()

    def take(self, statuses: "Sequence[MapStatus]", guests: Guests, now_s: float) -> Sample:
        """One more."""
        passed_s, self._at_s = now_s - self._at_s, now_s
        cpu = self._cpu.of({status.map: status.cost.cpu_s for status in statuses if status.cost is not None})
        up = sum(self._up.of({status.map: status.up_bytes for status in statuses}).values())
        down = sum(self._down.of({status.map: status.down_bytes for status in statuses}).values())
        game = self._game.of({"up": guests.up_bytes, "down": guests.down_bytes})
        own_s = sum(cpu.values()) + self._own.of({"agent": self._own_cpu_s()})["agent"]
        self._bytes = [self._bytes[0] + up, self._bytes[1] + down]
        all_cpu, per_cpu = psutil.cpu_percent(), 100 / max(passed_s, 0.001) / self._cores
        per_s = 1 / passed_s if passed_s > 0.5 else 0.0
        own_cpu = min(100.0, own_s * per_cpu) if passed_s > 0.5 else None
        maps_ram_mb = sum(status.cost.ram_mb for status in statuses if status.cost is not None)
        sample = Sample(
            own_cpu=own_cpu,
            others_cpu=max(0.0, all_cpu - own_cpu) if own_cpu is not None else None,
            own_ram_mb=self._process.memory_info().rss / MB + maps_ram_mb,
            maps_ram_mb=maps_ram_mb,
            free_ram_mb=psutil.virtual_memory().available / MB,
            up_bytes=int(self._bytes[0]),
            down_bytes=int(self._bytes[1]),
            up_bytes_s=up * per_s,
            down_bytes_s=down * per_s,
            game_up_bytes=guests.up_bytes,
            game_down_bytes=guests.down_bytes,
            game_up_bytes_s=game["up"] * per_s,
            game_down_bytes_s=game["down"] * per_s,
            maps_cpu={str(name): seconds * per_cpu for name, seconds in cpu.items()},
        )
        self.kept.append(sample)
        return sample

    def _own_cpu_s(self) -> float:
        used = self._process.cpu_times()
        return used.user + used.system
