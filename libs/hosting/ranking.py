"""The best hosts for a map, exactly those of a brute-force ranking, in microseconds (DESIGN section 6, NATS.md Selection)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.events import Candidate, HostId, MapName, Region, Terms
from libs.hosting.columns import Ints
from libs.hosting.fleet import SHUT, Fleet
from libs.hosting.score import PPM, name_hash, shares
from libs.hosting.shortlist import Shortlist

CANDIDATES = 5
"""Told in a decision; the contract allows eight. Each costs every reader of the log a microsecond."""
AHEAD = 24
"""Rows ranked at once: mostly the backups are among them, and the fleet need not be searched again."""
APART = 10**8
"""Taken from a backup's score for each failure domain (region, network) it shares with the primary: above any score."""


@dataclass(frozen=True, slots=True)
class Choice:
    """hosts: the primary, then the backups. score: the primary's. candidates: best first."""

    hosts: list[HostId]
    score: float
    candidates: list[Candidate]


class Ranking:
    """Reads the rows of `fleet` in a look and changes none."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._version = 0
        self._shortlists: dict[Region, Shortlist | None] = {}

    def choose(
        self,
        name: MapName,
        players: Mapping[Region, int],
        backups: int,
        *,
        cooling: Mapping[HostId, int],
        without: Collection[HostId] = (),
        crowded: Collection[HostId] = (),
    ) -> Choice | None:
        """The best open host and, apart from it, the next best; None when no host is open to this map.

        players: region -> count, the entering one included. without: hosts not to consider. crowded: nor these, which are few
        or no good, so that mostly the choice is the one without them.
        """
        if not self._fleet.any_open:
            return None
        quick = None if cooling or without else self._from_shortlist(name, players, backups)
        if quick is not None and not (crowded and _names(quick, crowded)):
            return quick
        scores = self._scores(name, players, cooling, (*without, *crowded) if crowded else without)
        best = self._top(scores, AHEAD, name)
        if not best:
            return None
        rows = self._first_apart(best, backups)
        if len(rows) < 1 + backups:
            rows = [best[0], *self._apart(scores, best[0], backups, name)]
        return Choice(
            hosts=[self._fleet.hosts[row].id for row in rows],
            score=int(scores[best[0]]) / PPM,
            candidates=self._candidates(best[:CANDIDATES], scores, players),
        )

    def _from_shortlist(self, name: MapName, players: Mapping[Region, int], backups: int) -> Choice | None:
        """The same choice from a list that is kept while scores only fall; None where it does not pay or cannot tell."""
        present = shares(players)
        if len(present) != 1 or self._fleet.world.failing.get(name):
            return None
        (region,) = present
        if self._version != self._fleet.version:
            self._version = self._fleet.version
            self._shortlists = {}
        if (shortlist := self._shortlists.get(region)) is None:
            # The first since a score rose is searched for: mostly it is the only one.
            self._shortlists[region] = Shortlist(self._fleet, region) if region in self._shortlists else None
            if (shortlist := self._shortlists[region]) is None:
                return None
        found = shortlist.choose(CANDIDATES, backups, name)
        if found is None:  # used up
            del self._shortlists[region]
        if not found or not found[0]:
            return None
        best, others = found
        hosts = self._fleet.hosts
        return Choice(
            hosts=[hosts[best[0]].id, *[hosts[row].id for row in others]],
            score=shortlist.score(best[0]) / PPM,
            candidates=shortlist.candidates(best),
        )

    def more_backups(
        self,
        name: MapName,
        players: Mapping[Region, int],
        primary: HostId,
        wanted: int,
        *,
        cooling: Mapping[HostId, int],
        without: Collection[HostId],
    ) -> list[HostId]:
        """The next best backups beside those there are; `without` names the primary and the present backups."""
        if wanted <= 0 or not self._fleet.any_open:
            return []
        scores = self._scores(name, players, cooling, without)
        return [self._fleet.hosts[row].id for row in self._apart(scores, self._fleet.row(primary), wanted, name)]

    def _scores(
        self,
        name: MapName,
        players: Mapping[Region, int],
        cooling: Mapping[HostId, int],
        without: Collection[HostId],
    ) -> Ints:
        """Score of every row, far below zero for those that are not open to this map."""
        scores = self._fleet.scores(players)
        cool = (host for host, until in cooling.items() if self._fleet.now_ms < until)
        for host in (*self._fleet.world.failing.get(name, ()), *without, *cool):
            if (row := self._fleet.row(host)) is not None:
                scores[row] = SHUT
        return scores

    def _first_apart(self, best: list[int], wanted: int) -> list[int]:
        """The best row and, of those after it, the first that share no failure domain with it: nobody below can beat them."""
        regions, networks, first = self._fleet.region, self._fleet.network, best[0]
        region, network = regions[first], networks[first]
        found = [first]
        for row in best[1:]:
            if len(found) > wanted:
                break
            if regions[row] != region and networks[row] != network:
                found.append(row)
        return found

    def _apart(self, scores: Ints, primary: int | None, wanted: int, name: MapName) -> list[int]:
        """Rows of the best backups: those sharing fewest failure domains with the primary first, then by score."""
        if wanted <= 0:
            return []
        if primary is None:
            return self._top(scores, wanted, name)
        region, network = self._fleet.region[: len(scores)], self._fleet.network[: len(scores)]
        shared = (region == region[primary]).astype(np.int64) + (network == network[primary])
        scores = scores - APART * shared
        scores[primary] = SHUT
        return self._top(scores, wanted, name)

    def _top(self, scores: Ints, wanted: int, name: MapName) -> list[int]:
        """The `wanted` best open rows, best first, ties by tie_break."""
        least = SHUT // 2
        if len(scores) > wanted:
            parted = scores.copy()
            parted.partition(len(scores) - wanted)
            least = max(least, int(parted[len(scores) - wanted]))
        rows = (scores >= least).nonzero()[0]
        found = scores[rows]
        order = (-found).argsort()
        if (found[order[1:]] == found[order[:-1]]).any():
            order = np.lexsort((_mixed(self._fleet.tie[rows] ^ np.uint64(name_hash(name))), -found))
        best: list[int] = rows[order][:wanted].tolist()
        return best

    def _candidates(self, rows: list[int], scores: Ints, players: Mapping[Region, int]) -> list[Candidate]:
        fleet = self._fleet
        at = np.array(rows)
        found = []
        columns = zip(rows, scores[at].tolist(), fleet.latencies(at, players), fleet.loads(at), strict=True)
        for row, score, latency, load in columns:
            cpu, ram, network, stability = fleet.shown[row]
            terms = Terms(cpu, ram, network, latency / PPM, stability, load / PPM)
            found.append(Candidate(fleet.hosts[row].id, score / PPM, terms))
        return found


def _names(choice: Choice, hosts: Collection[HostId]) -> bool:
    """Whether it names any of them; if not, it would be the same without them."""
    return any(host in hosts for host in choice.hosts) or any(candidate.host in hosts for candidate in choice.candidates)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 finaliser, as score.tie_break; in place."""
    x ^= x >> _MIX[0]
    x *= _MIX[1]
    x ^= x >> _MIX[2]
    x *= _MIX[3]
    x ^= x >> _MIX[4]
    return x


_MIX = tuple(np.uint64(number) for number in (30, 0xBF58476D1CE4E5B9, 27, 0x94D049BB133111EB, 31))
