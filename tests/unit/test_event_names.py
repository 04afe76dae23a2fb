"""Subjects, names and schema headers: whatever they are, an event's own or a `MalformedEvent`."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from libs.events import (
    CATALOG,
    Event,
    MalformedEvent,
    MapCensus,
    MapName,
    Region,
    decode,
    encode,
    is_name,
    parse_subject,
    subject_of,
)
from libs.events.names import IS_NAME
from tests.contract.event_examples import EXAMPLES
from tests.unit.malformed import malformed

NAMES = list(CATALOG)


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


def test_the_error_does_not_repeat_a_huge_subject() -> None:
    with pytest.raises(MalformedEvent) as caught:
        decode("x" * 100_000, b"")

    assert len(str(caught.value)) < 400
