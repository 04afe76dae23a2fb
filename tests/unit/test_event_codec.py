"""Bytes become an event or a `MalformedEvent`, whatever they are; what is encoded is decoded the same."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import (
    BODY_BYTES_MAX,
    CATALOG,
    Event,
    MalformedEvent,
    MapCensus,
    MapName,
    Reply,
    decode,
    decode_reply,
    encode,
    headers_for,
    subject_of,
)
from tests.contract.event_examples import EXAMPLES, FREE_FORM, REPLIES
from tests.unit.event_strategies import an_event, anything, struct_of
from tests.unit.malformed import malformed

NAMES = list(CATALOG)
REPLY_TYPES = [type(reply) for reply in REPLIES]


def subject_for(name: str, token: str = "x") -> str:
    return name if CATALOG[name].declaration.token is None else f"{name}.{token}"


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


@pytest.mark.parametrize("deeper", [b"\x91", b"\x81\xa1k"], ids=["lists", "maps"])
@pytest.mark.parametrize("key", ["evidence", "unknown"])
def test_deep_nesting_is_malformed(deeper: bytes, key: str) -> None:
    verdict = next(event for event in EXAMPLES if event.declaration.name == "host.verdict")
    body = encode(verdict)
    nested = bytes([body[0] + 1]) + body[1:] + bytes([0xA0 + len(key)]) + key.encode() + deeper * 50_000 + b"\x01"

    malformed(subject_of(verdict), nested)


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
