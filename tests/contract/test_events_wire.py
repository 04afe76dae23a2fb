"""The wire is what the design says: subjects, streams, speakers, keys. The tables are the design's, as data."""

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

import libs.events
from libs.events import CATALOG, Event, Stream, encode, subject_of
from libs.events.docs import field_notes, main
from tests.contract.event_examples import EXAMPLES, REPLIES

SUBJECTS: dict[str, tuple[str | None, Stream | None, tuple[str, ...]]] = {
    # event: last token, stream, who says it
    "host.metrics": ("host", Stream.METRICS, ("agent",)),
    "map.enter": ("map", Stream.MAPS, ("bridge",)),
    "map.leave": ("map", Stream.MAPS, ("bridge",)),
    "map.census": ("map", Stream.MAPS, ("bridge",)),
    "map.moved": ("map", Stream.MAPS, ("bridge",)),
    "host.up": ("host", Stream.HOSTS, ("registry",)),
    "host.down": ("host", Stream.HOSTS, ("registry",)),
    "host.verdict": ("host", Stream.HOSTS, ("validator",)),
    "ops.drain": ("host", Stream.HOSTS, ("ops",)),
    "ops.ban": ("host", Stream.HOSTS, ("ops",)),
    "ops.enroll": ("host", Stream.HOSTS, ("ops",)),
    "ops.alert": ("about", None, ("any service",)),
    "config.applied": ("hash", Stream.HOSTS, ("any service",)),
    "map.assign": ("map", Stream.ASSIGNMENTS, ("scorer", "failover")),
    "host.order": ("host", None, ("registry",)),
    "host.lost": ("host", None, ("bridge",)),
    "host.rtt": ("host", None, ("relay",)),
    "host.check": ("host", None, ("validator",)),
    "host.dial": ("host", None, ("relay",)),
    "host.speed": ("host", None, ("agent",)),
    "players.online": (None, None, ("registry",)),
    "save.check": ("host", None, ("bridge",)),
    "dead.letter": ("by", Stream.DEAD, ("any service",)),
}

KEYS = {
    "host.metrics": "host account_id at_ms seq address port region cpu_ghz cpu_cores free_ram_mb net_mbps latency_ms jitter_ms "
    "packet_rate region_rtt_ms maps bundle leaving",
    "map.enter": "map account_id char_id at_ms region from_map x y",
    "map.leave": "map account_id char_id at_ms to_map",
    "map.census": "map at_ms players",
    "map.moved": "map at_ms tenure from to kind outcome players ms",
    "host.up": "host account_id at_ms spec region network reach disconnects_ms slots draining trust ready_maps failed_maps",
    "host.down": "host at_ms reason detail disconnects_ms",
    "host.verdict": "host at_ms kind verdict strikes blacklisted_until_ms trust checks evidence",
    "ops.drain": "host at_ms draining by",
    "ops.ban": "host at_ms until_ms reason by",
    "ops.enroll": "host at_ms key account_id by",
    "config.applied": "hash at_ms settings",
    "map.assign": "map kind host backups reason tenure since_ms cause basis decider look config score candidates refused at_ms",
    "host.order": "host at_ms as_of lease interval_ms maps link score notes",
    "host.lost": "host at_ms link",
    "host.rtt": "host at_ms region p50_ms p95_ms",
    "save.check": "host map account_id char_id tenure at_ms elapsed_ms kind before after",
    "host.check": "kind nonce",
    "host.dial": "relay address port ticket",
}
"""Bodies of the design, section 4."""
GROWN = {
    "host.metrics": "link run bundle_refused dials players_max",
    "host.up": "players_max",
    "map.assign": "cooling",
    "host.check": "host at_ms rounds",
    "host.dial": "host map certificate",
    "host.order": "regions heard slots",
    "host.speed": "host at_ms step size payload",
    "players.online": "at_ms",
    "ops.alert": "about at_ms what detail by",
    "dead.letter": "by at_ms subject reason hash head size",
}
"""What bodies say beyond the design's list (`all may grow`), and events it names without listing their keys."""
OPTIONAL = {
    "host.metrics": "cpu_ghz cpu_cores free_ram_mb net_mbps latency_ms jitter_ms packet_rate region_rtt_ms bundle link "
    "run bundle_refused dials players_max",
    "host.up": "players_max",
    "map.assign": "cooling",
    "host.order": "link score notes regions heard slots",
    "host.check": "rounds",
    "host.speed": "size payload",
    "host.dial": "map certificate",
}
"""Keys whose absence is no fault: the unmeasured (D8), and what came later."""
NESTED = {
    ("host.metrics", "maps"): "tenure state players",
    ("host.metrics", "link"): "key linked",
    ("host.up", "spec"): "cpu_ghz cpu_cores free_ram_mb net_mbps latency_ms jitter_ms packet_rate region_rtt_ms",
    ("map.assign", "basis"): "hosts maps assignments",
    ("map.assign", "cause"): "stream seq tick_ms",
    ("map.assign", "candidates"): "host score terms",
    ("host.order", "maps"): "tenure role",
    ("host.order", "link"): "address port ticket certificate",
    ("host.order", "heard"): "seq at_ms",
}
CHOICES = {
    ("host.up", "reach"): "direct dialback none",
    ("host.down", "reason"): "silent lost left unfit blacklisted drained",
    ("host.verdict", "verdict"): "pass strike blacklist",
    ("map.assign", "kind"): "p2p vps",
    ("map.assign", "reason"): "enter promote failover drain rebalance refill idle operator",
    ("map.moved", "kind"): "orderly death",
    ("map.moved", "outcome"): "moved rolled_back vps",
}
REPLY_KEYS = {
    "host.check": "proof",
    "host.dial": "ok reason",
    "host.speed": "ok retry_ms payload requirements regions",
    "players.online": "at_ms accounts",
    "save.check": "verdict reason corrected",
}


def keys(table: dict[str, str], name: str) -> set[str]:
    return set(table.get(name, "").split())


def structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [struct for part in get_args(hint) for struct in structs_in(part)]


def hint_of(name: str, wire_key: str) -> Any:
    event = CATALOG[name]
    attribute = dict(zip(event.__struct_encode_fields__, event.__struct_fields__, strict=True))[wire_key]
    return get_type_hints(event, vars(libs.events))[attribute]


def test_the_catalogue_is_the_designs() -> None:
    assert {name: (event.declaration.token, event.declaration.stream) for name, event in CATALOG.items()} == {
        name: (token, stream) for name, (token, stream, _) in SUBJECTS.items()
    }


@pytest.mark.parametrize("name", CATALOG)
def test_who_says_it_is_who_the_design_says(name: str) -> None:
    for speaker in SUBJECTS[name][2]:
        assert speaker in CATALOG[name].declaration.said_by


@pytest.mark.parametrize("name", CATALOG)
def test_the_keys_are_the_designs(name: str) -> None:
    assert set(CATALOG[name].__struct_encode_fields__) == keys(KEYS, name) | keys(GROWN, name)


@pytest.mark.parametrize("name", CATALOG)
def test_a_key_may_be_absent_only_where_the_design_lets_it(name: str) -> None:
    info = msgspec.inspect.type_info(CATALOG[name])
    assert isinstance(info, msgspec.inspect.StructType)

    assert {field.encode_name for field in info.fields if not field.required} == keys(OPTIONAL, name)


@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_what_is_published_has_these_keys_and_no_others(event: Event) -> None:
    body = msgspec.msgpack.decode(encode(event))

    assert set(body) == keys(KEYS, event.declaration.name) | keys(GROWN, event.declaration.name)
    assert subject_of(event).startswith(event.declaration.name)


@pytest.mark.parametrize(("name", "key"), NESTED)
def test_the_keys_within_are_the_designs(name: str, key: str) -> None:
    structs = structs_in(hint_of(name, key))

    assert [set(struct.__struct_encode_fields__) for struct in structs] == [set(NESTED[name, key].split())]


@pytest.mark.parametrize(("name", "key"), CHOICES)
def test_the_words_to_choose_from_are_the_designs(name: str, key: str) -> None:
    assert set(get_args(hint_of(name, key))) == set(CHOICES[name, key].split())


@pytest.mark.parametrize("name", CATALOG)
def test_the_replies_are_the_designs(name: str) -> None:
    reply = CATALOG[name].declaration.reply

    assert (set(reply.__struct_encode_fields__) if reply else set()) == keys(REPLY_KEYS, name)


def test_every_reply_has_an_example() -> None:
    declared = {event.declaration.reply for event in CATALOG.values()} - {None}

    assert {type(reply) for reply in REPLIES} == declared


@pytest.mark.parametrize("name", CATALOG)
def test_every_event_and_every_key_has_its_note(name: str) -> None:
    event = CATALOG[name]
    notes = field_notes(event)

    assert (event.__doc__ or "").strip().partition("\n")[0].endswith((".", "?"))
    assert set(notes) == set(event.__struct_encode_fields__)
    assert all(notes.values())


@pytest.mark.parametrize("name", CATALOG)
def test_replies_and_what_is_nested_have_a_docstring(name: str) -> None:
    event = CATALOG[name]
    reply = event.declaration.reply
    structs = [struct for hint in get_type_hints(event, vars(libs.events)).values() for struct in structs_in(hint)]

    for struct in [*structs, *([reply] if reply else [])]:
        own = struct.__dict__.get("__doc__") or ""
        assert own.strip(), f"{struct.__name__} has no docstring"


def test_the_page_of_the_catalogue_is_fresh() -> None:
    assert main(["--check"]) == 0
