"""The best hosts for a map, exactly those of a brute-force ranking, in microseconds (DESIGN section 6, NATS.md Selection).

One row a host; a cached vector of scores a region; what a slot's use changes is one number in one row. While one look is
decided, slots are taken in draft and given back at its end: only facts change the rows for good.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.events import Candidate, HostId, MapName, Region
from libs.hosting.eligibility import Gate, standing_gate
from libs.hosting.rules import Rules
from libs.hosting.score import PPM, VPS_REGION, Weights, latency_term, load_ppm, name_hash, shares, static_ppm, static_terms
from libs.hosting.world import Host, World

CANDIDATES = 8
REGIONS_MAX = 64
SHUT = -(10**12)
"""Added to the score of a row that may take nothing."""
APART = 10**8
"""Taken from a backup's score for each failure domain (region, network) it shares with the primary: above any score."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Choice:
    """hosts: the primary, then the backups. score: the primary's. candidates: best first."""

    hosts: list[HostId]
    score: float
    candidates: list[Candidate]


class Ranking:
    """Reads `world`; told by `refresh(host)` when a host or its use changed. Arrays run parallel, one element a host."""

    def __init__(self, world: World, rules: Rules) -> None:
        self._world, self._rules, self._weights = world, rules, Weights.of(rules)
        self._warm = rules.failover.warm_backups
        self._row: dict[HostId, int] = {}
        self._hosts: list[Host] = []
        self._used: list[int] = []
        self._gate: list[Gate | None] = []
        self._adjust_ppm = np.zeros(0, dtype=np.int64)
        self._region = np.zeros(0, dtype=np.int64)
        self._network = np.zeros(0, dtype=np.int64)
        self._tie = np.zeros(0, dtype=np.uint64)
        self._by_region: dict[Region, Ints] = {}
        self._gate_counts: dict[Gate, int] = dict.fromkeys(Gate, 0)
        self._excluded: set[int] = set()
        self._overfull: set[int] = set()
        self._draft: dict[int, int] = {}
        self._now_ms = 0

    def rebuild(self) -> None:
        for host in self._world.hosts:
            self.refresh(host)

    def refresh(self, host_id: HostId) -> None:
        """Take a host's row anew from the world."""
        host = self._world.host(host_id)
        row = self._row.get(host_id)
        if row is None:
            if host.up is None:
                return
            row = self._new_row(host)
        self._used[row] = self._world.used_slots(host_id, self._warm)
        if host.is_up and host.up is not None:
            base = static_ppm(static_terms(host.up, self._rules), self._weights)
            for region, column in self._by_region.items():
                column[row] = self._score_in(host, base, region)
            self._region[row] = _number(host.up.region)
            self._network[row] = _number(host.up.network)
        self._adjust(row)

    def refresh_use(self, hosts: Iterable[HostId]) -> None:
        """Only the slots in use changed."""
        for host_id in hosts:
            if (row := self._row.get(host_id)) is not None:
                self._used[row] = self._world.used_slots(host_id, self._warm)
                self._adjust(row)

    def open_hosts(self, at_ms: int) -> bool:
        """Whether any host could take a map at all."""
        self._pass_time(at_ms)
        return bool((self._adjust_ppm[: len(self._hosts)] > SHUT // 2).any())

    def used(self, host: HostId) -> int:
        """Slots in use, what the draft took included."""
        return self._used[self._row[host]] if host in self._row else self._world.used_slots(host, self._warm)

    def overfull(self) -> list[HostId]:
        """Hosts that are up and hold more than their slots, by name."""
        return sorted(self._hosts[row].id for row in self._overfull)

    def choose(
        self,
        name: MapName,
        players: Mapping[Region, int],
        backups: int,
        *,
        cooling: Mapping[HostId, int],
        at_ms: int,
        without: Collection[HostId] = (),
    ) -> Choice | None:
        """The best open host and, apart from it, the next best; None when no host is open to this map.

        players: region -> count, the entering one included. without: hosts not to consider.
        """
        self._pass_time(at_ms)
        scores = self._scores(players)
        for row in self._kept_out(name, cooling, at_ms, without):
            scores[row] = SHUT
        best = self._top(scores, CANDIDATES, name)
        if not best:
            return None
        primary = best[0]
        hosts = [primary, *self.apart(scores, [primary], backups, name)]
        return Choice(
            hosts=[self._hosts[row].id for row in hosts],
            score=int(scores[primary]) / PPM,
            candidates=[self._candidate(row, int(scores[row]), players) for row in best],
        )

    def more_backups(
        self,
        name: MapName,
        players: Mapping[Region, int],
        primary: HostId,
        wanted: int,
        *,
        cooling: Mapping[HostId, int],
        at_ms: int,
        without: Collection[HostId],
    ) -> list[HostId]:
        """The next best backups beside those there are; `without` names the primary and the present backups."""
        self._pass_time(at_ms)
        scores = self._scores(players)
        for row in self._kept_out(name, cooling, at_ms, without):
            scores[row] = SHUT
        anchor = [self._row[primary]] if primary in self._row else []
        return [self._hosts[row].id for row in self.apart(scores, anchor, wanted, name)]

    def score_of(self, host: HostId, players: Mapping[Region, int]) -> float | None:
        """A host's own score for a map as if it did not hold it: its use less one."""
        row = self._row.get(host)
        up = self._world.host(host).up
        if row is None or up is None:
            return None
        load = load_ppm(max(self._used[row] - 1, 0), up.slots, self._weights)
        return (self._mean(players, row) - load) / PPM

    def refused(self, name: MapName, cooling: Mapping[HostId, int], at_ms: int) -> dict[str, int]:
        """Gate -> how many hosts that are up it keeps from this map."""
        counts = {gate.value: count for gate, count in self._gate_counts.items()}
        for host_id in self._world.failing.get(name, ()):
            counts[Gate.FAILED_MAP.value] = counts.get(Gate.FAILED_MAP.value, 0) + self._world.host(host_id).is_up
        if cool := sum(1 for host, until in cooling.items() if at_ms < until and self._world.host(host).is_up):
            counts[Gate.COOLING.value] = cool
        return {gate: count for gate, count in counts.items() if count}

    def take(self, host: HostId, slots: int = 1) -> None:
        """Draft: use (or with -1 free) slots of a host until `undo`."""
        if (row := self._row.get(host)) is not None:
            self._draft[row] = self._draft.get(row, 0) + slots
            self._used[row] += slots
            self._adjust(row)

    def undo(self) -> None:
        """End of the look: give back what the draft took."""
        for row, slots in self._draft.items():
            self._used[row] -= slots
            self._adjust(row)
        self._draft.clear()

    def apart(self, scores: Ints, anchor: list[int], wanted: int, name: MapName) -> list[int]:
        """Rows of the best backups: those sharing fewest failure domains with the primary first, then by score."""
        if wanted <= 0:
            return []
        scores = scores.copy()
        for row in anchor:
            shared = (self._region[: len(scores)] == self._region[row]).astype(np.int64)
            shared += self._network[: len(scores)] == self._network[row]
            scores[row] = SHUT
            scores -= APART * shared
        return self._top(scores, wanted, name)

    def _scores(self, players: Mapping[Region, int]) -> Ints:
        """Score of every row in ppm, SHUT and below where it is not open; a fresh array."""
        count = len(self._hosts)
        present = shares(players)
        if len(present) == 1:
            mean = self._column(next(iter(present)))[:count]
        else:
            mean = np.zeros(count, dtype=np.int64)
            for region, number in present.items():
                mean += number * self._column(region)[:count]
            mean //= sum(present.values())
        scores: Ints = mean + self._adjust_ppm[:count]
        return scores

    def _mean(self, players: Mapping[Region, int], row: int) -> int:
        present = shares(players)
        return sum(n * int(self._column(r)[row]) for r, n in present.items()) // sum(present.values())

    def _top(self, scores: Ints, wanted: int, name: MapName) -> list[int]:
        """The `wanted` best open rows, best first, ties by tie_break."""
        if len(scores) > wanted:
            threshold = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
            rows = np.nonzero(scores >= max(int(threshold), SHUT // 2))[0]
        else:
            rows = np.nonzero(scores > SHUT // 2)[0]
        if len(rows) > 1:
            rows = rows[np.lexsort((_mix(self._tie[rows] ^ np.uint64(name_hash(name))), -scores[rows]))][:wanted]
        return [int(row) for row in rows]

    def _kept_out(self, name: MapName, cooling: Mapping[HostId, int], at_ms: int, without: Collection[HostId]) -> Iterable[int]:
        for host_id in self._world.failing.get(name, ()):
            if (row := self._row.get(host_id)) is not None:
                yield row
        for host_id in (*without, *(host for host, until in cooling.items() if at_ms < until)):
            if (row := self._row.get(host_id)) is not None:
                yield row

    def _column(self, region: Region) -> Ints:
        if (column := self._by_region.get(region)) is None:
            if len(self._by_region) >= REGIONS_MAX:
                region = VPS_REGION
            column = np.zeros(len(self._adjust_ppm), dtype=np.int64)
            for row, host in enumerate(self._hosts):
                if host.up is not None:
                    base = static_ppm(static_terms(host.up, self._rules), self._weights)
                    column[row] = self._score_in(host, base, region)
            self._by_region[region] = column
        return column

    def _score_in(self, host: Host, base: int, region: Region) -> int:
        assert host.up is not None
        return base + self._weights.latency * latency_term(host.up, region, self._rules) // PPM

    def _adjust(self, row: int) -> None:
        """Open or shut a row, set its load."""
        host, used = self._hosts[row], self._used[row]
        gate: Gate | None = None
        self._overfull.discard(row)
        self._excluded.discard(row)
        if not host.is_up or host.up is None:
            self._adjust_ppm[row] = SHUT
        else:
            gate = standing_gate(host, self._rules, self._now_ms)
            if gate is Gate.EXCLUDED:
                self._excluded.add(row)
            elif gate is None and used >= host.up.slots:
                gate = Gate.FULL
            if used > host.up.slots:
                self._overfull.add(row)
            self._adjust_ppm[row] = -load_ppm(used, host.up.slots, self._weights) if gate is None else SHUT
        if gate is not (before := self._gate[row]):
            self._gate[row] = gate
            if before is not None:
                self._gate_counts[before] -= 1
            if gate is not None:
                self._gate_counts[gate] += 1

    def _pass_time(self, at_ms: int) -> None:
        """Exclusions end by time alone; nothing begins by it."""
        self._now_ms = at_ms
        for row in [row for row in self._excluded if not self._hosts[row].excluded(at_ms)]:
            self._adjust(row)

    def _candidate(self, row: int, score: int, players: Mapping[Region, int]) -> Candidate:
        up = self._hosts[row].up
        assert up is not None
        terms = static_terms(up, self._rules)
        present = shares(players)
        terms["latency"] = sum(n * latency_term(up, r, self._rules) for r, n in present.items()) // sum(present.values())
        terms["load"] = load_ppm(self._used[row], up.slots, self._weights)
        return Candidate(self._hosts[row].id, score / PPM, {name: term / PPM for name, term in terms.items()})

    def _new_row(self, host: Host) -> int:
        row = self._row[host.id] = len(self._hosts)
        self._hosts.append(host)
        self._used.append(0)
        self._gate.append(None)
        if row >= len(self._adjust_ppm):
            more = max(64, row)
            self._adjust_ppm = np.concatenate([self._adjust_ppm, np.full(more, SHUT, dtype=np.int64)])
            self._region = np.concatenate([self._region, np.zeros(more, dtype=np.int64)])
            self._network = np.concatenate([self._network, np.zeros(more, dtype=np.int64)])
            self._tie = np.concatenate([self._tie, np.zeros(more, dtype=np.uint64)])
            for region, column in self._by_region.items():
                self._by_region[region] = np.concatenate([column, np.zeros(more, dtype=np.int64)])
        self._tie[row] = name_hash(host.id)
        return row


def _number(name: str) -> int:
    return name_hash(name) >> 1


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 finaliser, as score.tie_break."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
