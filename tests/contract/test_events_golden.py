"""Bodies once published stay readable: golden files of every event and schema number, and upcasts of older ones."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.events import CATALOG, MalformedEvent, MapLeave, decode, encode, headers_for, subject_of
from libs.events.codec import UPCASTS
from tests.contract.event_examples import EXAMPLES
from tests.contract.golden_bodies import GOLDEN, bodies, expected_path, fields_of, main, read_today

OLD_LEAVE = Path(__file__).parent / "golden_upcast" / "map.leave.1.msgpack"
"""A map.leave as an imagined first schema would have said it: `to` for `to_map`, the account as text."""


def contains(grown: Any, golden: Any) -> bool:
    """Every golden key and value is there; new keys may have come."""
    if isinstance(golden, dict):
        return isinstance(grown, dict) and all(key in grown and contains(grown[key], value) for key, value in golden.items())
    if isinstance(golden, list):
        return isinstance(grown, list) and len(grown) == len(golden) and all(map(contains, grown, golden))
    return bool(grown == golden) and type(grown) is type(golden)


@pytest.mark.parametrize(("name", "schema", "path"), bodies(), ids=[path.stem for *_, path in bodies()])
def test_a_golden_body_is_read_as_ever(name: str, schema: int, path: Path) -> None:
    expected = json.loads(expected_path(name, schema).read_text(encoding="utf-8"))

    event = read_today(name, schema, path.read_bytes())

    assert type(event) is CATALOG[name]
    assert subject_of(event) == expected["subject"]
    assert contains(fields_of(event), expected["fields"])


def test_every_event_has_a_golden_body_of_its_schema() -> None:
    have = {(name, schema) for name, schema, _ in bodies()}

    assert have >= {(name, event.declaration.schema) for name, event in CATALOG.items()}


def test_every_older_schema_has_its_upcast_and_its_golden_body() -> None:
    have = {(name, schema) for name, schema, _ in bodies()}
    older = {(name, schema) for name, event in CATALOG.items() for schema in range(1, event.declaration.schema)}

    assert set(UPCASTS) == older
    assert older <= have


def test_every_event_has_an_example() -> None:
    assert {event.declaration.name for event in EXAMPLES} == set(CATALOG)


def test_the_generator_changes_nothing_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.contract.golden_bodies.GOLDEN", tmp_path)
    (tmp_path / "map.leave.1.msgpack").write_bytes((GOLDEN / "map.leave.1.msgpack").read_bytes())
    (tmp_path / "map.leave.1-as-1.json").write_text("mine")

    main()

    assert (tmp_path / "map.leave.1-as-1.json").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} >= {path.name for path in GOLDEN.iterdir() if "-as-1" in path.name}


def grow(old: dict[str, Any]) -> dict[str, Any]:
    new = {**old, "to_map": old["to"], "account_id": int(old["account_id"])}
    del new["to"]
    return new


@pytest.fixture
def second_schema(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that map.leave had reached a later schema; undone after the test."""

    def pretend(schema: int) -> None:
        monkeypatch.setattr(MapLeave, "declaration", replace(MapLeave.declaration, schema=schema))

    monkeypatch.setitem(UPCASTS, ("map.leave", 1), grow)
    pretend(2)
    return pretend


@pytest.mark.usefixtures("second_schema")
def test_an_old_body_is_lifted() -> None:
    event = decode("map.leave.prt_fild08", OLD_LEAVE.read_bytes(), {"Kafra-Schema": "map.leave/1"})

    assert isinstance(event, MapLeave)
    assert (event.to_map, event.account_id, event.map) == ("pay_dun01", 2000001, "prt_fild08")
    assert headers_for(event)["Kafra-Schema"] == "map.leave/2"
    assert decode(subject_of(event), encode(event), headers_for(event)) == event


@pytest.mark.usefixtures("second_schema")
def test_an_old_body_without_its_number_is_taken_for_a_new_one() -> None:
    with pytest.raises(MalformedEvent):
        decode("map.leave.prt_fild08", OLD_LEAVE.read_bytes())


def test_upcasts_follow_one_another(second_schema: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    second_schema(3)
    monkeypatch.setitem(UPCASTS, ("map.leave", 2), lambda old: {**old, "char_id": old["char_id"] + 1})

    event = decode("map.leave.prt_fild08", OLD_LEAVE.read_bytes(), {"Kafra-Schema": "map.leave/1"})

    assert isinstance(event, MapLeave)
    assert event.char_id == 150002


@pytest.mark.usefixtures("second_schema")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\xc1",
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode({}),
        msgspec.msgpack.encode({"to": None, "account_id": []}),
        msgspec.msgpack.encode({"to": None, "account_id": "x"}),
        msgspec.msgpack.encode({1: 2}),
        msgspec.msgpack.encode({"to": "a.b*", "account_id": "1", "map": "prt_fild08", "char_id": 1, "at_ms": 1}),
        msgspec.msgpack.encode({"to": None, "account_id": "1", "map": "elsewhere", "char_id": 1, "at_ms": 1}),
        b"\x81\xa1z" + b"\x91" * 200_000,
    ],
    ids=range(11),
)
def test_a_bad_old_body_is_malformed_and_nothing_else(body: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode("map.leave.prt_fild08", body, {"Kafra-Schema": "map.leave/1"})


def test_nothing_pretended_is_left_behind() -> None:
    assert MapLeave.declaration.schema == 1
    assert ("map.leave", 1) not in UPCASTS
