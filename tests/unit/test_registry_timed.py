"""services/registry/observed: what relays time of a host counts beside what it claims."""

import pytest

from libs.events import HostId, HostRtt, Region
from services.registry.observed import (
    REGIONS_MAX,
    RTT_KEPT_MS,
)
from tests.unit.builders import EU, T0, US, spec
from tests.unit.registry_bench import met

H1 = HostId("h1")


def rtt(p50_ms: float, region: str = EU, host: str = "h1") -> HostRtt:
    return HostRtt(host=HostId(host), at_ms=T0, region=Region(region), p50_ms=p50_ms, p95_ms=2 * p50_ms)


@pytest.mark.parametrize(("claimed_ms", "timed_ms", "counts_ms"), [(15.0, 40.0, 40.0), (40.0, 15.0, 40.0)])
def test_of_claimed_and_timed_by_the_relay_the_larger_counts(claimed_ms: float, timed_ms: float, counts_ms: float) -> None:
    observed = met()

    assert observed.on_rtt(rtt(timed_ms), T0)

    seen = observed.spec(H1, spec(region_rtt_ms={EU: claimed_ms, US: 9.0}), T0)
    assert seen.region_rtt_ms == {EU: counts_ms, US: 9.0}


def test_a_region_the_host_says_nothing_of_counts_as_timed() -> None:
    observed = met()

    observed.on_rtt(rtt(33.0), T0)

    assert observed.spec(H1, spec(region_rtt_ms={}), T0).region_rtt_ms == {EU: 33.0}


def test_the_relays_newest_word_counts_and_lapses_when_it_says_no_more() -> None:
    observed = met()
    observed.on_rtt(rtt(80.0), T0)
    observed.on_rtt(rtt(60.0), T0 + 1_000)

    during = observed.spec(H1, spec(), T0 + 1_000 + RTT_KEPT_MS)
    after = observed.spec(H1, spec(), T0 + 1_001 + RTT_KEPT_MS)

    assert (during.region_rtt_ms[EU], after.region_rtt_ms[EU]) == (60.0, 15.0)


def test_what_is_timed_of_a_host_that_never_beat_is_not_kept() -> None:
    observed = met()

    assert not observed.on_rtt(rtt(80.0, host="h2"), T0)
    observed.meet(HostId("h2"), T0)

    assert observed.spec(HostId("h2"), spec(), T0).region_rtt_ms[EU] == 15.0


def test_claims_for_made_up_regions_cannot_crowd_out_what_was_timed() -> None:
    observed = met()
    observed.on_rtt(rtt(80.0), T0)

    seen = observed.spec(H1, spec(region_rtt_ms={Region(f"x{n}"): 1.0 for n in range(REGIONS_MAX)}), T0)

    assert len(seen.region_rtt_ms) == REGIONS_MAX
    assert seen.region_rtt_ms[EU] == 80.0
