"""Events with sensible defaults, a log that numbers them, settings, and plausible random histories (Hypothesis).

For the tests of libs/hosting and of the deciders. Keyword arguments go into the event as they are; names are plain strings.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from libs.config import Settings
from libs.events import (
    Basis,
    Cause,
    Event,
    Fact,
    HostDown,
    HostId,
    HostSpec,
    HostUp,
    HostVerdict,
    MapAssign,
    MapCensus,
    MapEnter,
    MapLeave,
    MapMoved,
    MapName,
    NodeName,
    OpsBan,
    OpsDrain,
    Region,
    Stream,
    subject_of,
)

T0 = 1_700_000_000_000
"""Unix ms; every clock of the tests begins here."""
EU, US = Region("eu"), Region("us")

repeatable = hypothesis_settings(derandomize=True, deadline=None, database=None)
"""Above every @given of the domain's tests: the same examples at every run and on every machine."""


def rules(**groups: dict[str, Any]) -> Settings:
    """Settings in which maps m* may be hosted, but for mvp*, with relays in eu and us; groups: key -> value over that."""
    public = Settings().public()
    public["maps"] = {"eligible": {"field": ["m*"]}, "never": ["mvp*"]}
    public["regions"] = {"eu": "127.0.0.1:5200", "us": "127.0.0.1:5300"}
    for group, values in groups.items():
        public[group] = {**public[group], **values} if group != "regions" else values
    return Settings.from_public(public)


def spec(**values: Any) -> HostSpec:
    fields = {
        "cpu_ghz": 4.0,
        "cpu_cores": 4,
        "free_ram_mb": 8192.0,
        "net_mbps": 500.0,
        "latency_ms": 15.0,
        "jitter_ms": 2.0,
        "packet_rate": 500.0,
        "region_rtt_ms": {EU: 15.0, US: 15.0},
    }
    return HostSpec(**{**fields, **values})


def host_up(host: str = "h1", **values: Any) -> HostUp:
    """A fit host in a network of its own. Values of the spec may be given beside the event's own: host_up(net_mbps=100)."""
    measured = {name: values.pop(name) for name in list(values) if name in HostSpec.__struct_fields__}
    fields = {
        "account_id": 1,
        "at_ms": T0,
        "spec": spec(**measured),
        "region": EU,
        "network": f"net-{host}",
        "reach": "direct",
        "disconnects_ms": [],
        "slots": 4,
        "draining": False,
        "trust": 0.8,
        "ready_maps": [],
        "failed_maps": [],
    }
    return HostUp(host=HostId(host), **{**fields, **values})


def host_down(host: str = "h1", reason: str = "silent", **values: Any) -> HostDown:
    fields = {"at_ms": T0, "reason": reason, "detail": "", "disconnects_ms": []}
    return HostDown(host=HostId(host), **{**fields, **values})


def verdict(host: str = "h1", blacklisted_until_ms: int | None = None, **values: Any) -> HostVerdict:
    fields = {
        "at_ms": T0,
        "kind": "presence",
        "verdict": "pass" if blacklisted_until_ms is None else "blacklist",
        "strikes": 0,
        "blacklisted_until_ms": blacklisted_until_ms,
        "trust": 0.8,
        "checks": {},
        "evidence": {},
    }
    return HostVerdict(host=HostId(host), **{**fields, **values})


def drain(host: str = "h1", draining: bool = True) -> OpsDrain:
    return OpsDrain(host=HostId(host), at_ms=T0, draining=draining, by="ops")


def ban(host: str = "h1", until_ms: int | None = None) -> OpsBan:
    return OpsBan(host=HostId(host), at_ms=T0, until_ms=until_ms, reason="cheats", by="ops")


def enter(name: str = "m1", region: str = EU, **values: Any) -> MapEnter:
    fields = {"account_id": 1, "char_id": 1, "at_ms": T0, "from_map": None, "x": 50, "y": 50}
    return MapEnter(map=MapName(name), region=Region(region), **{**fields, **values})


def leave(name: str = "m1") -> MapLeave:
    return MapLeave(map=MapName(name), account_id=1, char_id=1, at_ms=T0, to_map=None)


def census(name: str = "m1", at_ms: int = T0, **players: int) -> MapCensus:
    """players: region=count."""
    return MapCensus(map=MapName(name), at_ms=at_ms, players={Region(region): count for region, count in players.items()})


def moved(name: str = "m1", tenure: int = 1, outcome: str = "moved", to: str | None = None, **values: Any) -> MapMoved:
    fields: dict[str, Any] = {"at_ms": T0, "from_": None, "kind": "orderly", "players": 0, "ms": 20.0}
    host = None if to is None else HostId(to)
    return MapMoved(map=MapName(name), tenure=tenure, to=host, outcome=outcome, **{**fields, **values})


def assign(name: str = "m1", host: str | None = "h1", backups: Sequence[str] = (), **values: Any) -> MapAssign:
    """An assignment as it might stand in the log; host None for the VPS."""
    fields: dict[str, Any] = {
        "reason": "enter",
        "tenure": None,
        "since_ms": values.get("at_ms", T0),
        "cause": Cause(tick_ms=T0),
        "basis": Basis(0, 0, 0),
        "decider": NodeName("scorer-1"),
        "look": "scorer-1.0",
        "config": "0" * 16,
        "score": None,
        "candidates": [],
        "refused": {},
        "at_ms": T0,
    }
    kind = "vps" if host is None else "p2p"
    served_by = None if host is None else HostId(host)
    return MapAssign(map=MapName(name), kind=kind, host=served_by, backups=list(map(HostId, backups)), **{**fields, **values})


class Log:
    """Numbers what is said per stream and remembers it, with its subject. `on_fact`: told of each fact at once."""

    def __init__(self, *on_fact: Callable[[Fact], None]) -> None:
        self.facts: list[Fact] = []
        self._subjects: list[str] = []
        self._seqs = dict.fromkeys(Stream, 0)
        self._on_fact = on_fact

    def say(self, *events: Event, trace: str | None = None) -> Fact:
        """Returns the last one's fact."""
        for event in events:
            assert event.declaration.stream is not None
            self._keep(event.declaration.stream, event, subject_of(event), trace)
        return self.facts[-1]

    def junk(self, stream: Stream) -> Fact:
        """A message that cannot be read."""
        return self._keep(stream, None, "junk", None)

    def last_per_subject(self) -> list[Fact]:
        """What a follower that starts now would be given (DESIGN D11), stream by stream."""
        last: dict[tuple[Stream, str], Fact] = {}
        for fact, subject in zip(self.facts, self._subjects, strict=True):
            last[fact.stream, subject] = fact
        return sorted(last.values(), key=lambda fact: (fact.stream, fact.seq))

    def _keep(self, stream: Stream, event: Event | None, subject: str, trace: str | None) -> Fact:
        self._seqs[stream] += 1
        fact = Fact(stream, self._seqs[stream], event, 0, trace)
        self.facts.append(fact)
        self._subjects.append(subject)
        for told in self._on_fact:
            told(fact)
        return fact


def log_of(events: Iterable[Event | Stream]) -> Log:
    """A log in which these were said in this order; a Stream stands for junk in it."""
    log = Log()
    for event in events:
        if isinstance(event, Stream):
            log.junk(event)
        else:
            log.say(event)
    return log


HOSTS = ("h1", "h2", "h3", "h4")
MAPS = ("m1", "m2", "m3", "m4", "town")
REGIONS = ("eu", "us")

_host, _map, _region = st.sampled_from(HOSTS), st.sampled_from(MAPS), st.sampled_from(REGIONS)
_few_maps = st.lists(st.sampled_from(MAPS), max_size=3, unique=True)
_soon = st.integers(0, 3).map(lambda seconds: T0 + 1000 * seconds)

host_words: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        host_up,
        _host,
        region=_region,
        network=st.sampled_from(("n1", "n2")),
        slots=st.integers(0, 3),
        net_mbps=st.sampled_from((100.0, 500.0, 900.0)),
        trust=st.sampled_from((0.0, 0.1, 0.5, 1.0)),
        reach=st.sampled_from(("direct", "none")),
        draining=st.sampled_from((False, False, True)),
        ready_maps=_few_maps,
        failed_maps=st.one_of(st.just([]), _few_maps),
        players_max=st.sampled_from((None, None, None, 1, 2, 5, 7)),
    ),
    st.builds(host_up, _host, ready_maps=st.just(list(MAPS)), players_max=st.sampled_from((None, 6))),
    st.builds(host_down, _host, st.sampled_from(("silent", "lost", "left", "drained"))),
    st.builds(verdict, _host, st.one_of(st.none(), _soon)),
    st.builds(drain, _host, st.booleans()),
    st.builds(ban, _host, st.one_of(st.none(), _soon)),
)
"""What may be said in HOSTS."""

map_words: st.SearchStrategy[Event] = st.one_of(
    st.builds(enter, _map, _region, at_ms=_soon),
    st.builds(leave, _map),
    st.builds(census, _map, _soon, eu=st.integers(0, 3), us=st.integers(0, 3)),
    st.builds(moved, _map, st.integers(0, 20), st.sampled_from(("moved", "rolled_back", "vps"))),
)
"""What may be said in MAPS."""

assign_words: st.SearchStrategy[Event] = st.builds(
    lambda name, hosts, **values: assign(name, *(hosts[:1] or [None]), hosts[1:], **values),
    _map,
    st.lists(_host, max_size=3, unique=True),
    basis=st.builds(Basis, st.just(0), st.integers(0, 20), st.just(0)),
    reason=st.sampled_from(("enter", "rebalance", "failover", "refill")),
    tenure=st.one_of(st.none(), st.integers(1, 20)),
    since_ms=_soon,
    at_ms=_soon,
    cooling=st.dictionaries(_host, _soon, max_size=2),
)
"""What may be said in ASSIGNMENTS; also what no decider of ours would."""

words = st.one_of(host_words, map_words, assign_words)
junk = st.sampled_from((Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS))
_word = st.one_of(host_words, host_words, map_words, assign_words, assign_words, junk)
histories = st.one_of(st.lists(_word, max_size=8), st.lists(_word, min_size=20, max_size=50)).map(log_of)
"""Logs of a few hosts and maps, the streams interleaved: short ones, and ones in which everything was said more than once."""
