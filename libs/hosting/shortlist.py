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
    """Valid as long as `Fleet.version` stays. The primary is asked of all rows; its backups of those that share no failure
    domain (region, network) with it."""

    def __init__(self, fleet: Fleet, region: Region) -> None:
        self._fleet, self._region = fleet, region
        self._all = _Kept(fleet, region, None)
        self._outside: dict[int, _Kept] = {}
        self._candidates: dict[int, tuple[int, Candidate]] = {}

    def choose(self, told: int, backups: int, name: MapName) -> tuple[list[int], list[int]] | None:
        """The `told` best open rows, and the best `backups` rows apart from the first; best first, ties by tie_break.

        No rows where none is open or too few are apart, fewer than `told` where fewer are; None: it cannot tell.
        """
        found = self._all.take(told, name)
        if not found:
            return None if found is None else ([], [])
        apart = self._among(found, backups) if len(found) > backups else []
        if len(apart) < backups:
            apart = self._apart(found[0], backups, name)
            if len(apart) < backups:
                return [], []
        return found[:told], apart

    def score(self, row: int) -> int:
        """Of a row just returned by `choose`, ppm."""
        score: int = self._all.base[row][0] + self._fleet.adjust[row]
        return score

    def candidates(self, rows: list[int]) -> list[Candidate]:
        """Rows just returned by `choose`, as they are told."""
        known, adjusts = self._candidates, self._fleet.adjust
        told = []
        for row in rows:
            entry = known.get(row)
            if entry is None or entry[0] != adjusts[row]:
                entry = known[row] = (adjusts[row], self._candidate(row, adjusts[row]))
            told.append(entry[1])
        return told

    def _among(self, best: list[int], wanted: int) -> list[int]:
        """Those of the best rows that are apart from the first: nobody below can beat them."""
        regions, networks, first = self._fleet.regions, self._fleet.networks, best[0]
        region, network = regions[first], networks[first]
        return [row for row in best if regions[row] != region and networks[row] != network][:wanted]

    def _apart(self, first: int, wanted: int, name: MapName) -> list[int]:
        """The same from a list of their own; none where it cannot tell."""
        fleet = self._fleet
        region, networks, network = fleet.regions[first], fleet.networks, fleet.networks[first]
        if (kept := self._outside.get(region)) is None:
            kept = self._outside[region] = _Kept(fleet, self._region, region)
        found = kept.take(wanted, name, lambda row: networks[row] != network)
        if found is None:  # used up
            del self._outside[region]
            return []
        return found[:wanted]

    def _candidate(self, row: int, adjust: int) -> Candidate:
        base, latency = self._all.base[row]
        cpu, ram, network, stability = self._fleet.shown[row]
        terms = Terms(cpu, ram, network, latency / PPM, stability, -adjust / PPM)
        return Candidate(self._fleet.hosts[row].id, (base + adjust) / PPM, terms)


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

    def take(self, wanted: int, name: MapName, fits: Callable[[int], bool] | None = None) -> list[int] | None:
        """The best rows that fit, at least `wanted` and all that tie with the last; fewer where there are fewer; None: cannot
        tell. What fell since it was last looked at moves down or out."""
        order, base, adjust, floor = self._order, self.base, self._fleet.adjust, self._floor
        rows: list[int] = []
        at, last, ties = 0, 1, False
        while at < len(order):
            negative, row = order[at]
            score = base[row][0] + adjust[row]
            if score != -negative:
                del order[at]
                if score > floor:
                    insort(order, (-score, row))
                continue
            if negative == last:
                ties = True
            elif len(rows) >= wanted:
                return self._in_order(rows, name) if ties else rows
            at += 1
            if fits is None or fits(row):
                rows.append(row)
                last = negative
        if floor > SHUT // 2:  # those left out may be as good
            return None
        return self._in_order(rows, name) if ties else rows

    def _in_order(self, rows: list[int], name: MapName) -> list[int]:
        hosts, base, adjust = self._fleet.hosts, self.base, self._fleet.adjust
        return sorted(rows, key=lambda row: (-base[row][0] - adjust[row], tie_break(name, hosts[row].id)))
