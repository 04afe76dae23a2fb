"""Fleet and Ranking choose exactly what a brute-force ranking would, whatever was said before (DESIGN section 6)."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.config import Settings
from libs.events import Fact, HostId, MapAssign, MapName, Region, Stream
from libs.hosting.columns import COLUMNS_MAX
from libs.hosting.fleet import Fleet
from libs.hosting.ranking import AHEAD, CANDIDATES, Choice, Ranking
from libs.hosting.score import PPM
from libs.hosting.world import World
from tests.unit import hosting_oracle as oracle
from tests.unit.builders import (
    EU,
    HOSTS,
    T0,
    US,
    Log,
    assign,
    ban,
    drain,
    histories,
    host_down,
    host_up,
    repeatable,
    rules,
    verdict,
)
from tests.unit.hosting_oracle import Wish

RULES = rules()
NAME = MapName("m1")


class Ranked:
    """A fleet fed with facts, as the deciders feed theirs."""

    def __init__(self, facts: Sequence[Fact] = (), settings: Settings = RULES) -> None:
        self.world, self.settings = World(), settings
        self.fleet = Fleet(self.world, settings)
        self.ranking = Ranking(self.fleet)
        for fact in facts:
            self.on_fact(fact)

    def on_fact(self, fact: Fact) -> None:
        before = self.world.map(fact.event.map).assign if isinstance(fact.event, MapAssign) else None
        self.world.apply(fact)
        if isinstance(fact.event, MapAssign):
            self.fleet.mark_use(before, self.world.map(fact.event.map).assign)
        elif fact.stream is Stream.HOSTS and fact.event is not None:
            self.fleet.mark(fact.event.host)

    def choose(self, wish: Wish, backups: int = 2) -> Choice | None:
        self.fleet.begin(wish.at_ms)
        return self.ranking.choose(wish.name, wish.players, backups, cooling=wish.cooling, without=wish.without)

    def picture(self) -> object:
        """All that a look can see of the rows."""
        fleet, hosts = self.fleet, sorted(host.id for host in self.world.hosts.values() if host.up)
        scores = [dict(zip((host.id for host in fleet.hosts), fleet.scores({r: 1}).tolist(), strict=True)) for r in (EU, US)]
        used = [(host, fleet.used(host), fleet.has_free_slot(host)) for host in hosts]
        open_scores = [{host: value for host, value in column.items() if value > -PPM} for column in scores]
        return used, open_scores, fleet.overfull(), fleet.refused(NAME, {}), fleet.any_open


def assert_exact(ranked: Ranked, wish: Wish, backups: int) -> None:
    chosen, expected = ranked.choose(wish, backups), oracle.choice(ranked.world, ranked.settings, wish, backups)
    assert (chosen is None) == (expected is None)
    if chosen is not None and expected is not None:
        assert (chosen.hosts, round(chosen.score * PPM)) == expected
        scores = oracle.open_scores(ranked.world, ranked.settings, wish)
        assert [round(one.score * PPM) for one in chosen.candidates] == sorted(scores.values(), reverse=True)[:CANDIDATES]
        assert all(round(one.score * PPM) == scores[one.host] for one in chosen.candidates)


_cooling = st.dictionaries(st.sampled_from(HOSTS).map(HostId), st.integers(T0 - 1, T0 + 2), max_size=2)
_wishes = st.builds(
    Wish,
    st.sampled_from(("m1", "m2")).map(MapName),
    st.dictionaries(st.sampled_from((EU, US)), st.integers(0, 3)),
    _cooling,
    st.integers(T0 - 1, T0 + 3001),
    st.lists(st.sampled_from(HOSTS).map(HostId), max_size=2),
)


@repeatable
@given(histories, _wishes, st.integers(0, 4))
def test_the_choice_is_that_of_a_brute_force_ranking(log: Log, wish: Wish, backups: int) -> None:
    assert_exact(Ranked(log.facts), wish, backups)


def large_fleet(seed: int, hosts: int, alike: bool) -> Ranked:
    """alike: scores take few values, so that most rank by tie-break alone."""
    random, log = Random(seed), Log()
    for number in range(hosts):
        speed = random.choice((300.0, 600.0)) if alike else random.uniform(100, 1000)
        rtts = {EU: random.choice((10.0, 20.0)), US: random.uniform(5, 90)}
        flags = {"draining": random.random() < 0.1, "trust": random.choice((0.1, 0.5, 0.9)), "slots": random.randrange(1, 4)}
        place = {"region": random.choice(("eu", "eu", "eu", "us")), "network": f"n{random.randrange(6)}"}
        log.say(host_up(f"h{number}", net_mbps=speed, region_rtt_ms=rtts, **flags, **place))
    for number in range(hosts // 2):
        log.say(assign(f"m{number}", f"h{random.randrange(hosts)}", [f"h{random.randrange(hosts)}"]))
    return Ranked(log.facts)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("hosts", [AHEAD - 1, AHEAD, AHEAD + 1, 300])
def test_large_fleets_are_ranked_exactly_with_all_their_ties(hosts: int, alike: bool) -> None:
    ranked, random = large_fleet(seed=hosts, hosts=hosts, alike=alike), Random(hosts)

    for number in range(12):
        players = {EU: random.randrange(1, 5), US: random.randrange(5)} if number % 2 else {EU: 1}
        cooling = {HostId(f"h{random.randrange(hosts)}"): T0 + 1 for _ in range(5)}
        assert_exact(ranked, Wish(MapName(f"x{number}"), players, cooling, T0), number % 9)


def test_ties_are_broken_by_map_so_that_equal_hosts_share_the_maps() -> None:
    ranked = Ranked(said(*(host_up(f"h{number}", network="n") for number in range(9))))

    chosen = {ranked.choose(Wish(MapName(f"m{n}"), {EU: 1}, {}, T0), 0).hosts[0] for n in range(60)}

    assert len(chosen) == 9


def said(*events: object) -> list[Fact]:
    log = Log()
    log.say(*events)
    return log.facts


def test_backups_are_apart_from_the_primary_before_they_are_good() -> None:
    ranked = Ranked(
        said(
            host_up("best", net_mbps=900, region="eu", network="n1"),
            host_up("same-both", net_mbps=800, region="eu", network="n1"),
            host_up("same-region", net_mbps=700, region="eu", network="n2"),
            host_up("same-network", net_mbps=600, region="us", network="n1"),
            host_up("apart", net_mbps=100, region="us", network="n3"),
        )
    )

    chosen = ranked.choose(Wish(NAME, {EU: 1}, {}, T0), backups=4)

    assert chosen is not None
    assert chosen.hosts == ["best", "apart", "same-region", "same-network", "same-both"]


@repeatable
@given(histories, _wishes, st.sampled_from(HOSTS).map(HostId), st.integers(0, 3))
def test_more_backups_are_the_next_best_apart_from_the_primary(log: Log, wish: Wish, primary: HostId, wanted: int) -> None:
    ranked = Ranked([*log.facts, Fact(Stream.HOSTS, 999, host_up(primary))])
    without = [primary, *wish.without]

    ranked.fleet.begin(wish.at_ms)
    more = ranked.ranking.more_backups(wish.name, wish.players, primary, wanted, cooling=wish.cooling, without=without)

    wish = Wish(wish.name, wish.players, wish.cooling, wish.at_ms, without)
    scores = oracle.open_scores(ranked.world, RULES, wish)
    assert more == oracle.next_best(ranked.world, wish, scores, primary, wanted)


@repeatable
@given(histories, _wishes)
def test_refused_counts_every_host_at_its_gate(log: Log, wish: Wish) -> None:
    ranked = Ranked(log.facts)

    ranked.fleet.begin(wish.at_ms)

    assert ranked.fleet.refused(wish.name, wish.cooling) == oracle.refused(ranked.world, RULES, wish)


@repeatable
@given(histories, st.lists(st.integers(T0 - 1, T0 + 3001), min_size=1, max_size=6), st.data())
def test_rows_kept_up_to_date_equal_rows_made_anew(log: Log, looks_ms: list[int], data: st.DataObject) -> None:
    ranked = Ranked()
    for fact in log.facts:  # looks in between, at times that even go back
        ranked.on_fact(fact)
        ranked.fleet.begin(data.draw(st.sampled_from(looks_ms)))
        ranked.picture()

    fresh = Ranked(log.last_per_subject())
    for one in (ranked, fresh):
        one.fleet.begin(looks_ms[-1])

    assert ranked.picture() == fresh.picture()


@repeatable
@given(histories, st.lists(st.tuples(st.sampled_from(HOSTS).map(HostId), st.sampled_from((1, 1, -1))), max_size=8))
def test_a_draft_is_given_back_exactly(log: Log, takes: list[tuple[HostId, int]]) -> None:
    ranked = Ranked(log.facts)
    ranked.fleet.begin(T0)
    before, used = ranked.picture(), {host: ranked.fleet.used(host) for host in HOSTS}

    for host, slots in takes:
        ranked.fleet.take(host, slots)
    drafted = {host: ranked.fleet.used(host) for host in HOSTS}
    ranked.fleet.end()

    up = {host.id for host in ranked.fleet.hosts}
    assert drafted == {host: used[host] + sum(n for taken, n in takes if taken == host and host in up) for host in HOSTS}
    assert ranked.picture() == before


def test_a_host_is_open_until_its_last_slot_is_drafted() -> None:
    ranked = Ranked(said(host_up("h1", slots=2)))
    wish = Wish(NAME, {EU: 1}, {}, T0)
    assert ranked.choose(wish) is not None

    ranked.fleet.take(HostId("h1"))
    assert ranked.choose(wish) is not None
    ranked.fleet.take(HostId("h1"))

    assert ranked.choose(wish) is None
    assert not ranked.fleet.any_open
    assert ranked.fleet.refused(NAME, {}) == {"full": 1}


def test_an_exclusion_ends_by_time_alone_and_holds_again_for_an_earlier_look() -> None:
    ranked = Ranked(said(host_up("h1"), verdict("h1", T0 + 1000), host_up("h2"), ban("h2", T0 + 2000)))

    def open_at(at_ms: int) -> list[str]:
        chosen = ranked.choose(Wish(NAME, {EU: 1}, {}, at_ms))
        return sorted(chosen.hosts) if chosen else []

    times = [T0, T0 + 999, T0 + 1000, T0 + 1999, T0 + 2000, T0 + 1500, T0]
    assert [open_at(at_ms) for at_ms in times] == [[], [], ["h1"], ["h1"], ["h1", "h2"], ["h1"], []]


def test_a_host_is_closed_by_each_word_said_against_it() -> None:
    for word in (
        host_down("h1"),
        drain("h1"),
        ban("h1"),
        verdict("h1", T0 + 1),
        host_up("h1", trust=0),
        host_up("h1", slots=0),
    ):
        ranked = Ranked(said(host_up("h1")))
        ranked.fleet.begin(T0)
        assert ranked.fleet.any_open

        ranked.on_fact(Fact(Stream.HOSTS, 9, word))

        assert ranked.choose(Wish(NAME, {EU: 1}, {}, T0)) is None, word


def test_a_hosts_own_score_for_a_map_leaves_that_map_out_of_its_load() -> None:
    ranked = Ranked(said(host_up("h1"), assign("m1", "h1"), assign("m2", "h1")))
    ranked.fleet.begin(T0)

    alone = oracle.score_ppm(ranked.world.host(HostId("h1")).up, {EU: 1}, 1, RULES)

    assert ranked.fleet.score_of(HostId("h1"), {EU: 1}) == alone / PPM
    assert ranked.fleet.score_of(HostId("unknown"), {EU: 1}) is None


def test_more_regions_than_are_kept_ready_change_no_choice() -> None:
    ranked = Ranked(said(*(host_up(f"h{n}", region_rtt_ms={Region(f"r{n}"): 1}) for n in range(COLUMNS_MAX + 9))))

    for turn in (1, 2):
        for number in range(COLUMNS_MAX + 9):
            chosen = ranked.choose(Wish(NAME, {Region(f"r{number}"): turn}, {}, T0), 0)
            assert chosen is not None
            assert chosen.hosts == [f"h{number}"]
