"""Scores of all hosts for players of one region, without load and gates: a vector a region, kept while there is room for it.

Read and fed by libs/hosting/fleet.py alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from libs.events import Region
from libs.hosting.rules import Rules
from libs.hosting.score import PPM, Weights, latency_term, static_ppm
from libs.hosting.world import Host

COLUMNS_MAX = 128
"""Regions whose scores are kept ready; twice what can be configured. Beyond it the oldest makes room."""

Ints = NDArray[np.int64]


class Columns:
    """hosts, terms: a host a row, and its static terms, ppm; the fleet's own lists. rows: how many there is room for."""

    def __init__(
        self, hosts: Sequence[Host], terms: Sequence[dict[str, int]], rules: Rules, weights: Weights, rows: int
    ) -> None:
        self._hosts, self._terms, self._rules, self._weights, self._rows = hosts, terms, rules, weights, rows
        self._scores: dict[Region, Ints] = {}
        self._latency: dict[Region, Ints] = {}

    def scores(self, region: Region) -> Ints:
        """Score without load, ppm."""
        if (column := self._scores.get(region)) is None:
            if len(self._scores) >= COLUMNS_MAX:
                oldest = next(iter(self._scores))
                del self._scores[oldest], self._latency[oldest]
            column = self._scores[region] = np.zeros(self._rows, dtype=np.int64)
            self._latency[region] = np.zeros_like(column)
            for row, terms in enumerate(self._terms):
                if terms:  # none for a host that was down when we first read of it
                    self._place(row, static_ppm(terms, self._weights), region)
        return column

    def latencies(self, region: Region) -> Ints:
        """The latency term, ppm."""
        self.scores(region)  # there, or made now
        return self._latency[region]

    def renew(self, row: int) -> None:
        """This host measures otherwise."""
        base = static_ppm(self._terms[row], self._weights)
        for region in self._scores:
            self._place(row, base, region)

    def grow(self, rows: int) -> None:
        """Room for so many more."""
        self._rows += rows
        self._scores = {region: np.pad(column, (0, rows)) for region, column in self._scores.items()}
        self._latency = {region: np.pad(column, (0, rows)) for region, column in self._latency.items()}

    def _place(self, row: int, base: int, region: Region) -> None:
        up = self._hosts[row].up
        assert up is not None
        latency = latency_term(up, region, self._rules)
        self._latency[region][row] = latency
        self._scores[region][row] = base + self._weights.latency * latency // PPM
