"""Writes the golden files that are missing, and never touches one that is there: `python -m tests.contract.golden_bodies`.

golden/<event>.<schema>.msgpack is a body as published under that schema number; golden/<event>.<schema>-as-<current>.json what
the code of schema <current> makes of it. Raising a schema number: run this, read the new files, commit them beside the old.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from libs.events import CATALOG, Event, decode, encode, subject_of
from libs.events.codec import SCHEMA_HEADER
from tests.contract.event_examples import EXAMPLES

GOLDEN = Path(__file__).parent / "golden"


def bodies() -> list[tuple[str, int, Path]]:
    """Event name, schema number, file; of every golden body."""
    found = []
    for path in sorted(GOLDEN.glob("*.msgpack")):
        name, _, schema = path.stem.rpartition(".")
        found.append((name, int(schema), path))
    return found


def expected_path(name: str, schema: int) -> Path:
    return GOLDEN / f"{name}.{schema}-as-{CATALOG[name].declaration.schema}.json"


def read_today(name: str, schema: int, body: bytes) -> Event:
    """Decoded as a message of that schema would be."""
    token_field = CATALOG[name].declaration.token
    subject = name if token_field is None else f"{name}.{msgspec.msgpack.decode(body)[token_field]}"
    return decode(subject, body, {SCHEMA_HEADER: f"{name}/{schema}"})


def fields_of(event: Event) -> Any:
    """As JSON would say it; bytes become base64."""
    return json.loads(msgspec.json.encode(event))


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for event in EXAMPLES:
        path = GOLDEN / f"{event.declaration.name}.{event.declaration.schema}.msgpack"
        if not path.exists():
            path.write_bytes(encode(event))
    for name, schema, path in bodies():
        expected = expected_path(name, schema)
        if not expected.exists():
            event = read_today(name, schema, path.read_bytes())
            said = {"subject": subject_of(event), "fields": fields_of(event)}
            expected.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
