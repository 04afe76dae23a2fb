"""Bytes become an event or a `MalformedEvent`, whatever they are; what is encoded is decoded the same."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from libs.events import (
    BODY_BYTES_MAX,
    CATALOG,
    Event,
    MalformedEvent,
    MapCensus,
    MapName,
    Region,
    Reply,
    decode,
    decode_reply,
    encode,
    headers_for,
    is_name,
    parse_subject,
    subject_of,
)
from libs.events.names import IS_NAME
from tests.contract.event_examples import EXAMPLES, FREE_FORM, REPLIES
from tests.unit.event_strategies import an_event, anything, struct_of

NAMES = list(CATALOG)
REPLY_TYPES = [type(reply) for reply in REPLIES]


def subject_for(name: str, token: str = "x") -> str:
    return name if CATALOG[name].declaration.token is None else f"{name}.{token}"


def malformed(subject: str, body: bytes, headers: dict[str, str] | None = None) -> str:
    """The reason. Fails if it is no MalformedEvent."""
    with pytest.raises(MalformedEvent) as caught:
        decode(subject, body, headers)
    assert caught.value.subject == subject
    assert caught.value.reason
    return caught.value.reason


def broken(event: Event | Reply, change: Any) -> Iterator[tuple[str, bytes]]:
    """Bodies with `change(value)` for each value in turn that is no free form; what change returns as None is left alone."""
    body = msgspec.msgpack.decode(msgspec.msgpack.encode(event))

    def walk(place: Any, path: str) -> Iterator[str]:
        for key in list(place) if isinstance(place, dict) else range(len(place)):
            if key in FREE_FORM:
                continue
            kept, changed = place[key], change(place[key])
            if changed is not None:
                place[key] = changed
                yield f"{path}.{key}"
                place[key] = kept
            if isinstance(kept, dict | list):
                yield from walk(kept, f"{path}.{key}")

    for path in walk(body, "$"):
        yield path, msgspec.msgpack.encode(body)


def accepted(event: Event, bodies: list[tuple[str, bytes]]) -> list[str]:
    """Paths whose broken body was taken for an event."""
    taken = []
    for path, body in bodies:
        try:
            decode(subject_of(event), body)
        except MalformedEvent:
            continue
        taken.append(path)
    return taken


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_encoded_is_decoded_the_same(name: str, data: st.DataObject) -> None:
    event = data.draw(an_event(CATALOG[name]))

    assert decode(subject_of(event), encode(event), headers_for(event)) == event


@pytest.mark.parametrize("reply_type", REPLY_TYPES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_reply_is_decoded_the_same(reply_type: type[Reply], data: st.DataObject) -> None:
    reply = data.draw(struct_of(reply_type))

    assert decode_reply(reply_type, encode(reply)) == reply


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200) | anything().map(msgspec.msgpack.encode))
def test_any_bytes_are_malformed_and_nothing_else(name: str, body: bytes) -> None:
    malformed(subject_for(name), body)


@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_body_is_an_event_or_malformed_and_nothing_else(event: Event, data: st.DataObject) -> None:
    body = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for damaged in (bytes(body), bytes(body[:cut]), bytes(body + body[cut:])):
        try:
            decoded = decode(subject_of(event), damaged)
        except MalformedEvent:
            continue
        assert type(decoded) is type(event)
        assert subject_of(decoded) == subject_of(event)


@settings(max_examples=300, deadline=None)
@given(subject=st.text(max_size=60) | st.builds("{}.{}".format, st.sampled_from(NAMES), st.text(max_size=40)))
def test_any_subject_is_ours_or_malformed(subject: str) -> None:
    try:
        event_type, token = parse_subject(subject)
    except MalformedEvent:
        return
    name = event_type.declaration.name
    assert subject == (name if token is None else f"{name}.{token}")
    assert token is None or is_name(token)


@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_every_example_passes(event: Event) -> None:
    assert decode(subject_of(event), encode(event), headers_for(event, "00-ab-cd-01")) == event
    assert headers_for(event, "00-ab-cd-01")["traceparent"] == "00-ab-cd-01"
    assert "traceparent" not in headers_for(event)


@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_unknown_keys_are_ignored_at_every_depth_of_ours(event: Event) -> None:
    body = {**msgspec.msgpack.decode(encode(event)), "new": {"deep": [1, None, {"er": b"\x00"}]}}
    for nested in ("spec", "basis", "cause", "link"):
        if isinstance(body.get(nested), dict):
            body[nested]["new"] = 1

    assert decode(subject_of(event), msgspec.msgpack.encode(body)) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_a_missing_key_is_malformed(event: Event) -> None:
    body = msgspec.msgpack.decode(encode(event))
    info = msgspec.inspect.type_info(type(event))
    assert isinstance(info, msgspec.inspect.StructType)
    for key in (field.encode_name for field in info.fields if field.required):
        without = {name: value for name, value in body.items() if name != key}
        assert key in malformed(subject_of(event), msgspec.msgpack.encode(without))


@pytest.mark.parametrize("wrong", [b"bytes", {"no": ["such"]}, [[]], "no such word of ours"], ids=str)
@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_a_wrong_type_anywhere_is_malformed(event: Event, wrong: Any) -> None:
    bodies = list(broken(event, lambda value: None if type(value) in {type(wrong), dict, list} else wrong))

    assert bodies
    assert accepted(event, bodies) == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e30, -1e30, -11, 2**63, -(2**63), True])
@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_an_absurd_number_anywhere_is_malformed(event: Event, number: float) -> None:
    bodies = list(broken(event, lambda value: number if type(value) in {int, float} else None))

    assert accepted(event, bodies) == []


@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_a_huge_text_anywhere_is_malformed(event: Event) -> None:
    bodies = list(broken(event, lambda value: value + "x" * 3000 if type(value) is str else None))

    assert accepted(event, bodies) == []


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_a_broken_reply_is_malformed(reply: Reply) -> None:
    bodies = [b"", b"\xc1", b"\x90", b"\x81\xa1z" + b"\x91" * 100_000, bytes(BODY_BYTES_MAX + 1)]
    bodies += [body for _, body in broken(reply, lambda value: {"no": "such"} if not isinstance(value, dict | list) else None)]
    for body in bodies:
        with pytest.raises(MalformedEvent, match=type(reply).__name__):
            decode_reply(type(reply), body)


def test_a_megabyte_is_malformed_and_not_even_read() -> None:
    census = MapCensus(map=MapName("a"), at_ms=1, players={})
    padded = msgspec.msgpack.encode({**msgspec.msgpack.decode(encode(census)), "padding": b"\x00" * 2**20})

    assert "bytes; allowed are 262144" in malformed("map.census.a", padded)
    assert "bytes; allowed are" in malformed("map.census.a", b"\xc1" * (BODY_BYTES_MAX + 1))
    assert "malformed" in malformed("map.census.a", b"\xc1" * BODY_BYTES_MAX)


@pytest.mark.parametrize("name", ["a.b*", "a.b", "*", ">", "", " ", "a b", "x" * 33, "a\n", "ä", "a/b", "a\x00"])
def test_a_name_that_is_no_token_is_malformed_and_not_encoded(name: str) -> None:
    census = MapCensus(map=MapName(name), at_ms=1, players={})

    with pytest.raises(ValueError, match="no valid name"):
        encode(census)
    body = msgspec.msgpack.encode({"map": name, "at_ms": 1, "players": {}})
    malformed(f"map.census.{name}", body)
    malformed("map.census.a", body)


def test_a_region_is_a_name_as_well() -> None:
    census = MapCensus(map=MapName("a"), at_ms=1, players={Region("e.u"): 1})

    assert "players" in malformed("map.census.a", encode(census))


@pytest.mark.parametrize("event", EXAMPLES, ids=subject_of)
def test_every_name_in_an_event_is_checked(event: Event) -> None:
    body = msgspec.msgpack.decode(encode(event))
    spoilt = list(spoil_names(inspect.type_info(type(event)), body))

    for reason in (malformed(subject_of(event), msgspec.msgpack.encode(each)) for each in spoilt):
        assert "no valid name" in reason or "the body speaks of" in reason, reason
    assert spoilt or event.declaration.token in (None, "hash")


def spoil_names(type_: inspect.Type, value: Any) -> Iterator[Any]:
    """Copies of a decoded body, in each another name with a blank in it."""
    match type_:
        case inspect.Metadata(extra=dict(extra)) if IS_NAME in extra:
            yield "a b"
        case inspect.Metadata(type=inner):
            yield from spoil_names(inner, value)
        case inspect.UnionType(types=types) if value is not None:
            for one in types:
                yield from spoil_names(one, value)
        case inspect.ListType(item_type=item) if isinstance(value, list):
            for number, each in enumerate(value):
                for other in spoil_names(item, each):
                    yield [*value[:number], other, *value[number + 1 :]]
        case inspect.DictType(key_type=key_type, value_type=value_type) if isinstance(value, dict):
            for key, each in value.items():
                rest = {name: kept for name, kept in value.items() if name != key}
                yield from ({**rest, other: each} for other in spoil_names(key_type, key))
                yield from ({**rest, key: other} for other in spoil_names(value_type, each))
        case inspect.StructType(fields=fields) if isinstance(value, dict):
            for field in fields:
                if field.encode_name in value:
                    for other in spoil_names(field.type, value[field.encode_name]):
                        yield {**value, field.encode_name: other}


@pytest.mark.parametrize("event", [event for event in EXAMPLES if event.declaration.token], ids=subject_of)
def test_nobody_speaks_of_another(event: Event) -> None:
    reason = malformed(f"{event.declaration.name}.somebody-else", encode(event))

    assert f"the body speaks of {event.declaration.token}" in reason


def test_the_same_key_twice_does_not_help() -> None:
    twice = b"\x84\xa3map\xa1a\xa5at_ms\x01\xa7players\x80\xa3map\xa1b"

    assert malformed("map.census.a", twice) == "the body speaks of map 'b'"


@pytest.mark.parametrize("deeper", [b"\x91", b"\x81\xa1k"], ids=["lists", "maps"])
@pytest.mark.parametrize("key", ["evidence", "unknown"])
def test_deep_nesting_is_malformed(deeper: bytes, key: str) -> None:
    verdict = next(event for event in EXAMPLES if event.declaration.name == "host.verdict")
    body = encode(verdict)
    nested = bytes([body[0] + 1]) + body[1:] + bytes([0xA0 + len(key)]) + key.encode() + deeper * 50_000 + b"\x01"

    malformed(subject_of(verdict), nested)


NUMBERS = ["", "/", "/0", "/2", "/-1", "/1.0", "/²", "/99999999999", "/1/1"]


@pytest.mark.parametrize(
    "header", ["", "map.enter/1", "MAP.CENSUS/1", "/1", " map.census/1", "x" * 10_000, *(f"map.census{n}" for n in NUMBERS)]
)
def test_an_unknown_schema_is_malformed(header: str) -> None:
    body = encode(MapCensus(map=MapName("a"), at_ms=1, players={}))

    assert "Kafra-Schema" in malformed("map.census.a", body, {"Kafra-Schema": header})


def test_without_a_schema_header_the_newest_is_meant() -> None:
    census = MapCensus(map=MapName("a"), at_ms=1, players={})

    assert decode("map.census.a", encode(census)) == census
    assert decode("map.census.a", encode(census), {"Other": "x"}) == census


@pytest.mark.parametrize(
    "subject", ["", ".", "map", "map.census", "map.census.", "map.census.a.b", "players.online.x", "host.>"]
)
def test_a_subject_of_nobodys_is_malformed(subject: str) -> None:
    malformed(subject, b"\x80")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "vps"},
        {"host": None},
        {"cause": {}},
        {"cause": {"stream": "MAPS"}},
        {"cause": {"seq": 1}},
        {"cause": {"stream": "MAPS", "seq": 1, "tick_ms": 1}},
        {"cause": {"stream": "METRICS", "seq": 1}},
        {"backups": ["h"] * 9},
    ],
    ids=str,
)
def test_an_assignment_that_contradicts_itself_is_malformed(changes: dict[str, Any]) -> None:
    assign = next(event for event in EXAMPLES if event.declaration.name == "map.assign")
    body = {**msgspec.msgpack.decode(encode(assign)), **changes}

    malformed(subject_of(assign), msgspec.msgpack.encode(body))


def test_the_error_does_not_repeat_a_huge_subject() -> None:
    with pytest.raises(MalformedEvent) as caught:
        decode("x" * 100_000, b"")

    assert len(str(caught.value)) < 400
