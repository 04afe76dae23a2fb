"""The best rows for players of one region, kept in order while slot after slot is taken.

A burst of enters asks the same question a hundred times, and each answer changes two rows. Exact: scores only fall while it is
in use, so a row outside the list never rises above `_floor`; where the list cannot tell, it says so and the fleet is searched.
"""

from bisect import insort
from collections.abc import Callable

from libs.events import Candidate, MapName, Region, Terms
from libs.hosting.fleet import SHUT, Fleet
from libs.hosting.score import PPM, tie_break

LENGTH = 160
"""Rows kept: a look's slots are taken from the best, and what falls out is not missed for long."""


class Shortlist:
    """Valid as long as `Fleet.version` stays."""

    def __init__(self, fleet: Fleet, region: Region) -> None:
        self._fleet = fleet
        scores = fleet.scores({region: 1})
        kept = min(LENGTH, len(scores))
        order = scores.argpartition(len(scores) - kept)[::-1]
        rows = order[:kept].tolist()
        self._floor = int(scores[order[kept:]].max()) if kept < len(scores) else SHUT // 2
        self._base: dict[int, tuple[int, int]] = dict(zip(rows, fleet.columns(region, rows), strict=True))
        self._order = sorted((-score, row) for row, score in zip(rows, scores[rows].tolist(), strict=True) if score > SHUT // 2)
        self._candidates: dict[int, Candidate] = {}

    def best(self, wanted: int, name: MapName) -> list[int] | None:
        """The `wanted` best open rows, best first, ties by tie_break; fewer where fewer are open; None: cannot tell."""
        return self._take(0, wanted, name, lambda _: True)

    def apart(self, first: int, wanted: int, name: MapName) -> list[int] | None:
        """The best open rows that share no failure domain with `first`; None: the list is too short to tell."""
        regions, networks = self._fleet.regions, self._fleet.networks
        region, network = regions[first], networks[first]
        found = self._take(0, wanted, name, lambda row: regions[row] != region and networks[row] != network)
        return found if found is not None and len(found) == wanted else None

    def _take(self, at: int, wanted: int, name: MapName, fits: Callable[[int], bool]) -> list[int] | None:
        if wanted <= 0:
            return []
        order = self._order
        found: list[tuple[int, int]] = []
        while self._fresh(at):
            entry = order[at]
            if len(found) >= wanted and entry[0] > found[-1][0]:
                break
            if fits(entry[1]):
                found.append(entry)
            at += 1
        else:
            if self._floor > SHUT // 2:
                return None
        if found and -found[-1][0] <= self._floor:
            return None
        if any(found[i][0] == found[i + 1][0] for i in range(len(found) - 1)):
            hosts = self._fleet.hosts
            found.sort(key=lambda entry: (entry[0], tie_break(name, hosts[entry[1]].id)))
        return [row for _, row in found[:wanted]]

    def _fresh(self, at: int) -> bool:
        """Brings the entry at this place up to date: what fell moves down or out. False where the list ends."""
        order, base, adjust = self._order, self._base, self._fleet.adjust
        while at < len(order):
            negative, row = order[at]
            score = base[row][0] + adjust[row]
            if -negative == score:
                return True
            del order[at]
            self._candidates.pop(row, None)
            if score > self._floor:
                insort(order, (-score, row))
        return False

    def score(self, row: int) -> int:
        """Of a row just returned by `best`, ppm."""
        score: int = self._base[row][0] + self._fleet.adjust[row]
        return score

    def candidate(self, row: int) -> Candidate:
        """A row just returned by `best`, as it is told."""
        if (known := self._candidates.get(row)) is None:
            fleet = self._fleet
            base, latency = self._base[row]
            adjust = fleet.adjust[row]
            cpu, ram, network, stability = fleet.shown[row]
            terms = Terms(cpu, ram, network, latency / PPM, stability, -adjust / PPM)
            known = self._candidates[row] = Candidate(fleet.hosts[row].id, (base + adjust) / PPM, terms)
        return known
