"""The best rows for players of one region, kept in order while slot after slot is taken.

A burst of enters asks the same question a hundred times, and each answer changes two rows. Exact: scores only fall while a list
is in use, so a row outside it never rises above its floor; where the list cannot tell, it says so and the fleet is searched.
"""

from bisect import insort
from collections.abc import Callable

from libs.events import Candidate, MapName, Region, Terms
from libs.hosting.fleet import SHUT, Fleet
from libs.hosting.score import PPM, tie_break

LENGTH = 128
"""Rows kept: a look's slots are taken from the best, and what falls out is not missed for long."""


class Shortlist:
    """Valid as long as `Fleet.version` stays. The primary is asked of all rows; its backups of those outside its region."""

    def __init__(self, fleet: Fleet, region: Region) -> None:
        self._fleet, self._region = fleet, region
        self._all = _Kept(fleet, region, None)
        self._outside: dict[int, _Kept] = {}
        self._candidates: dict[int, tuple[int, Candidate]] = {}

    def best(self, wanted: int, name: MapName) -> list[int] | None:
        """The `wanted` best open rows, best first, ties by tie_break; fewer where fewer are open; None: cannot tell."""
        return self._all.take(wanted, name, lambda _: True)

    def apart(self, first: int, wanted: int, name: MapName) -> list[int] | None:
        """The best open rows that share no failure domain with `first`; None: there are too few, or it cannot tell."""
        fleet = self._fleet
        region, networks, network = fleet.regions[first], fleet.networks, fleet.networks[first]
        if (kept := self._outside.get(region)) is None:
            kept = self._outside[region] = _Kept(fleet, self._region, region)
        found = kept.take(wanted, name, lambda row: networks[row] != network)
        if found is None:  # used up
            del self._outside[region]
        return found if found is not None and len(found) == wanted else None

    def score(self, row: int) -> int:
        """Of a row just returned by `best`, ppm."""
        return self._all.score(row)

    def candidate(self, row: int) -> Candidate:
        """A row just returned by `best`, as it is told."""
        fleet, adjust = self._fleet, self._fleet.adjust[row]
        known = self._candidates.get(row)
        if known is None or known[0] != adjust:
            base, latency = self._all.base[row]
            cpu, ram, network, stability = fleet.shown[row]
            terms = Terms(cpu, ram, network, latency / PPM, stability, -adjust / PPM)
            known = self._candidates[row] = (adjust, Candidate(fleet.hosts[row].id, (base + adjust) / PPM, terms))
        return known[1]


class _Kept:
    """Some of the best rows in order, and the best score of those left out. outside: a region (its number) whose hosts do not
    count, None for none."""

    def __init__(self, fleet: Fleet, region: Region, outside: int | None) -> None:
        self._fleet = fleet
        scores = fleet.scores({region: 1})
        if outside is not None:
            scores[fleet.region[: len(scores)] == outside] = SHUT
        kept = min(LENGTH, len(scores))
        order = scores.argpartition(len(scores) - kept)[::-1]
        rows = order[:kept].tolist()
        self._floor = int(scores[order[kept:]].max()) if kept < len(scores) else SHUT // 2
        self.base: dict[int, tuple[int, int]] = dict(zip(rows, fleet.columns(region, rows), strict=True))
        self._order = sorted((-score, row) for row, score in zip(rows, scores[rows].tolist(), strict=True) if score > SHUT // 2)

    def score(self, row: int) -> int:
        score: int = self.base[row][0] + self._fleet.adjust[row]
        return score

    def take(self, wanted: int, name: MapName, fits: Callable[[int], bool]) -> list[int] | None:
        """The `wanted` best rows that fit, ties by tie_break; fewer where there are fewer; None: cannot tell."""
        if wanted <= 0:
            return []
        order, at = self._order, 0
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
        order, base, adjust = self._order, self.base, self._fleet.adjust
        while at < len(order):
            negative, row = order[at]
            score = base[row][0] + adjust[row]
            if -negative == score:
                return True
            del order[at]
            if score > self._floor:
                insort(order, (-score, row))
        return False
