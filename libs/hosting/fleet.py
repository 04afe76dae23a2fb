"""All hosts as rows of numbers: score, gate and slots in use of each. Fed with what changed, read by libs/hosting/ranking.py.

One row a host; a vector of scores a region (columns.py); what a slot's use changes is one number in one row. Facts only mark
rows; `begin` takes the marked ones anew for a look. While it is decided, slots are taken in draft and given back by `end`: only
facts change the rows for good.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from libs.events import HostId, MapAssign, MapName, Region
from libs.hosting.columns import Columns, Ints
from libs.hosting.eligibility import Gate, standing_gate
from libs.hosting.rules import Rules
from libs.hosting.score import PPM, Weights, load_ppm, name_hash, name_number, shares, static_terms
from libs.hosting.world import FOREVER_MS, Host, World

SHUT = -(10**12)
"""Added to the score of a row that may take nothing."""
ROWS_AT_FIRST = 64


class Fleet:
    """Reads `world`. Lists and arrays run parallel, one element a host. All but the marks holds between `begin` and `end`.

    hosts: those that were ever up. terms: their static terms, ppm; shown: cpu, ram, network, stability as shares
    of 1. region, network, tie: hashes of the names. adjust: what load and gates take from each score, ppm. version: grows
    when a score may have risen since it was last read; until then scores only fall. now_ms: the look's time.
    """

    def __init__(self, world: World, rules: Rules) -> None:
        self.world, self.rules, self.weights = world, rules, Weights.of(rules)
        self.hosts: list[Host] = []
        self.terms: list[dict[str, int]] = []
        self.shown: list[tuple[float, float, float, float]] = []
        self.region = np.zeros(ROWS_AT_FIRST, dtype=np.int64)
        self.network = np.zeros(ROWS_AT_FIRST, dtype=np.int64)
        self.tie = np.zeros(ROWS_AT_FIRST, dtype=np.uint64)
        self._warm = rules.failover.warm_backups
        self._row: dict[HostId, int] = {}
        self._used: list[int] = []
        self._slots: list[int] = []
        self._gate: list[Gate | None] = []
        self._standing: list[Gate | None] = []
        self._is_open: list[bool] = []
        self._open = 0
        self._adjust_ppm = np.full(ROWS_AT_FIRST, SHUT, dtype=np.int64)
        self.adjust: list[int] = []
        self.regions: list[int] = []
        self.networks: list[int] = []
        self.version = 0
        self._fallen: dict[int, int] = {}
        self._columns = Columns(self.hosts, self.terms, rules, self.weights, ROWS_AT_FIRST)
        self._gate_counts: dict[str, int] = {gate.value: 0 for gate in Gate}
        self._overfull: set[int] = set()
        self._draft: dict[int, int] = {}
        self._new: set[HostId] = set()
        self._new_use: dict[HostId, int] = {}
        self.now_ms = 0
        self._ends_ms: dict[int, int] = {}
        self._same_ms = range(0)

    def mark(self, host: HostId) -> None:
        """Something was said of this host."""
        self._new.add(host)

    def mark_use(self, before: MapAssign | None, after: MapAssign | None) -> None:
        """An assignment took another's place: whose slots it changed."""
        had, has = self._holders(before), self._holders(after)
        for changed, by in ((had - has, -1), (has - had, 1)):
            for host, _ in changed:
                self._new_use[host] = self._new_use.get(host, 0) + by

    def begin(self, at_ms: int) -> None:
        """The rows as of now, for a look at at_ms."""
        self.now_ms = at_ms
        self.version += bool(self._new)
        for host in self._new:
            self._renew(host)
        for host, by in self._new_use.items():
            if host not in self._new:
                self._renew_use(host, by)
        # What a draft had lowered and the facts lowered again has not risen in between.
        self.version += any(self.adjust[row] > low for row, low in self._fallen.items())
        self._fallen.clear()
        self._new.clear()
        self._new_use.clear()
        self._pass_time(at_ms)

    def end(self) -> None:
        """Give back what the draft took."""
        for row, slots in self._draft.items():
            if slots:
                self._fallen[row] = min(self.adjust[row], self._fallen.get(row, 0))
                self._use(row, self._used[row] - slots)
        self._draft.clear()

    def _renew(self, host_id: HostId) -> None:
        host = self.world.host(host_id)
        row = self._row.get(host_id)
        if row is None:
            if host.up is None:
                return
            row = self._new_row(host)
        self._used[row] = self.world.used_slots(host_id, self._warm)
        if host.is_up and host.up is not None:
            terms = self.terms[row] = static_terms(host.up, self.rules)
            cpu, ram, network, stability = (terms[name] / PPM for name in ("cpu", "ram", "network", "stability"))
            self.shown[row] = (cpu, ram, network, stability)
            self._columns.renew(row)
            self.region[row] = self.regions[row] = name_number(host.up.region)
            self.network[row] = self.networks[row] = name_number(host.up.network)
        if (end_ms := host.excluded_until_ms) != self._ends_ms.get(row, 0):
            self._ends_ms[row] = end_ms
            self._same_ms = range(0)
        self._standing[row] = standing_gate(host, self.rules, self.now_ms)
        self._adjust(row)

    def _renew_use(self, host: HostId, by: int) -> None:
        if by and (row := self._row.get(host)) is not None:
            before = self.adjust[row]
            self._use(row, self._used[row] + by)
            self.version += self.adjust[row] > before and row not in self._fallen

    def row(self, host: HostId) -> int | None:
        """None for a host that was never up."""
        return self._row.get(host)

    @property
    def any_open(self) -> bool:
        """Whether any host could take a map at all."""
        return self._open > 0

    def used(self, host: HostId) -> int:
        """Slots in use, what the draft took included."""
        return self._used[self._row[host]] if host in self._row else self.world.used_slots(host, self._warm)

    def has_free_slot(self, host: HostId) -> bool:
        up = self.world.host(host).up
        return up is not None and self.used(host) < up.slots

    def overfull(self) -> list[HostId]:
        """Hosts that are up and hold more than their slots, by name."""
        return sorted(self.hosts[row].id for row in self._overfull)

    def refused(self, name: MapName, cooling: Mapping[HostId, int]) -> dict[str, int]:
        """Gate -> how many hosts that are up it keeps from this map."""
        counts = dict(self._gate_counts)
        if hosts := self.world.failing.get(name):
            counts[Gate.FAILED_MAP.value] = sum(self.world.host(host).is_up for host in hosts)
        if cooling:
            still = (host for host, until in cooling.items() if self.now_ms < until)
            counts[Gate.COOLING.value] = sum(self.world.host(host).is_up for host in still)
        return {gate: count for gate, count in counts.items() if count}

    def take(self, host: HostId, slots: int = 1) -> None:
        """Draft: use (or with -1 free) slots of a host until `end`."""
        if (row := self._row.get(host)) is not None:
            self.version += slots < 0
            self._draft[row] = self._draft.get(row, 0) + slots
            self._use(row, self._used[row] + slots)

    def scores(self, players: Mapping[Region, int]) -> Ints:
        """Score of every row for players (region -> count), ppm, far below zero where it is not open; a fresh array."""
        count = len(self.hosts)
        present = shares(players)
        if len(present) == 1:
            mean = self._columns.scores(next(iter(present)))[:count]
        else:
            mean = np.zeros(count, dtype=np.int64)
            for region, number in present.items():
                mean += number * self._columns.scores(region)[:count]
            mean //= sum(present.values())
        scores: Ints = mean + self._adjust_ppm[:count]
        return scores

    def columns(self, region: Region, rows: list[int]) -> list[tuple[int, int]]:
        """Score without load, and latency term, of these rows for players of one region, ppm."""
        scores = self._columns.scores(region)[rows].tolist()
        return list(zip(scores, self._columns.latencies(region)[rows].tolist(), strict=True))

    def latencies(self, rows: NDArray[np.intp], players: Mapping[Region, int]) -> list[int]:
        """The latency term of these rows for players, ppm."""
        present = shares(players)
        mean = np.zeros(len(rows), dtype=np.int64)
        for region, number in present.items():
            mean += number * self._columns.latencies(region)[rows]
        if (total := sum(present.values())) > 1:
            mean //= total
        found: list[int] = mean.tolist()
        return found

    def loads(self, rows: NDArray[np.intp]) -> list[int]:
        """What these rows, all open, lose of their score by their load, ppm."""
        found: list[int] = (-self._adjust_ppm[rows]).tolist()
        return found

    def score_of(self, host: HostId, players: Mapping[Region, int]) -> float | None:
        """A host's own score for a map as if it did not hold it: its use less one."""
        row = self._row.get(host)
        up = self.world.host(host).up
        if row is None or up is None:
            return None
        present = shares(players)
        mean = sum(n * int(self._columns.scores(r)[row]) for r, n in present.items()) // sum(present.values())
        return (mean - load_ppm(max(self._used[row] - 1, 0), up.slots, self.weights)) / PPM

    def _holders(self, assign: MapAssign | None) -> set[tuple[HostId, bool]]:
        """Who holds a slot by this assignment, and whether as primary."""
        if assign is None:
            return set()
        warm = {(backup, False) for backup in assign.backups[: self._warm]}
        return warm if assign.host is None else {(assign.host, True), *warm}

    def _use(self, row: int, used: int) -> None:
        """Only the slots in use changed: mostly the row stays open."""
        self._used[row] = used
        if self._is_open[row] and used < (slots := self._slots[row]):
            self._adjust_ppm[row] = self.adjust[row] = -load_ppm(used, slots, self.weights)
        else:
            self._adjust(row)

    def _adjust(self, row: int) -> None:
        """Open or shut a row, set its load."""
        host, used = self.hosts[row], self._used[row]
        gate: Gate | None = None
        shift, is_open = SHUT, False
        self._overfull.discard(row)
        if host.up is not None and host.is_up:
            gate = self._standing[row]
            if gate is None and used >= host.up.slots:
                gate = Gate.FULL
            if used > host.up.slots:
                self._overfull.add(row)
            if gate is None:
                shift, is_open = -load_ppm(used, host.up.slots, self.weights), True
                self._slots[row] = host.up.slots
        self._adjust_ppm[row] = self.adjust[row] = shift
        if is_open is not self._is_open[row]:
            self._is_open[row] = is_open
            self._open += 1 if is_open else -1
        if gate is not (before := self._gate[row]):
            self._gate[row] = gate
            if before is not None:
                self._gate_counts[before] -= 1
            if gate is not None:
                self._gate_counts[gate] += 1

    def _pass_time(self, at_ms: int) -> None:
        """Exclusions end by time alone. `_same_ms`: around the last look's time, when none does. Time may go back: replay
        takes the looks of several deciders, each with its own clock."""
        if at_ms in self._same_ms:
            return
        self.version += 1
        ends = self._ends_ms.values()
        self._same_ms = range(
            max((end for end in ends if end <= at_ms), default=0),
            min((end for end in ends if end > at_ms), default=FOREVER_MS),
        )
        for row in self._ends_ms:
            self._standing[row] = standing_gate(self.hosts[row], self.rules, at_ms)
            self._adjust(row)

    def _new_row(self, host: Host) -> int:
        row = self._row[host.id] = len(self.hosts)
        self.hosts.append(host)
        self.terms.append({})
        self.shown.append((0.0, 0.0, 0.0, 0.0))
        self._used.append(0)
        self._slots.append(0)
        self.adjust.append(SHUT)
        self.regions.append(0)
        self.networks.append(0)
        self._gate.append(None)
        self._standing.append(None)
        self._is_open.append(False)
        if row >= len(self._adjust_ppm):
            self._adjust_ppm = np.concatenate([self._adjust_ppm, np.full(row, SHUT, dtype=np.int64)])
            self.region, self.network = np.pad(self.region, (0, row)), np.pad(self.network, (0, row))
            self.tie = np.concatenate([self.tie, np.zeros_like(self.tie)])
            self._columns.grow(row)
        self.tie[row] = name_hash(host.id)
        return row
