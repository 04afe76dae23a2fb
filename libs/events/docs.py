"""docs/events.md, made from the declarations: `python -m libs.events.docs [--check]`."""

import sys
from pathlib import Path
from typing import get_type_hints

import libs.events
from libs.events.base import CATALOG, Event, Reply

PAGE = Path(__file__).resolve().parents[2] / "docs" / "events.md"
HEAD = """# What is said

Generated from `libs/events` by `make format`; `make check` fails when it is stale. Bodies are MessagePack maps; times are Unix
milliseconds; unknown keys are ignored; a missing or ill-typed key makes a message a dead letter.
"""


def page() -> str:
    """The whole page, Markdown."""
    rows = [
        f"| [`{name}{_token(event)}`](#{name.replace('.', '')}) | {event.declaration.said_by} | {event.declaration.heard_by} "
        f"| {event.declaration.stream or '–'} | {event.declaration.schema} |"
        for name, event in CATALOG.items()
    ]
    table = ["| subject | who says it | who listens | kept in | schema |", "|---|---|---|---|---|", *rows]
    return "\n".join([HEAD, *table, "", *(_section(name, event) for name, event in CATALOG.items())])


def field_notes(struct: type[Event | Reply]) -> dict[str, str]:
    """Field -> its line in the docstring; a field's line starts with `<wire name>: `."""
    notes: dict[str, str] = {}
    wire_names = set(struct.__struct_encode_fields__)
    for line in (struct.__doc__ or "").splitlines():
        name, colon, text = line.strip().partition(": ")
        if colon and name in wire_names:
            notes[name] = text
    return notes


def _token(event: type[Event]) -> str:
    return f".<{event.declaration.token}>" if event.declaration.token else ""


def _section(name: str, event: type[Event]) -> str:
    lines = [f"## {name}", "", (event.__doc__ or "").strip().partition("\n")[0], ""]
    notes = field_notes(event)
    hints = get_type_hints(event, vars(libs.events))
    lines += ["| key | type | what |", "|---|---|---|"]
    for attribute, wire_name in zip(event.__struct_fields__, event.__struct_encode_fields__, strict=True):
        lines.append(f"| `{wire_name}` | {_type_name(hints[attribute])} | {notes.get(wire_name, '')} |")
    if event.declaration.reply is not None:
        reply = event.declaration.reply
        lines += ["", f"Reply: {', '.join(f'`{field}`' for field in reply.__struct_encode_fields__)}. {_said_of(reply)}"]
    return "\n".join([*lines, ""])


def _said_of(reply: type[Reply]) -> str:
    """Its docstring as one paragraph."""
    return " ".join((reply.__doc__ or "").split())


def _type_name(hint: object) -> str:
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        return hint.__name__
    text = str(hint).replace("typing.", "").replace("NoneType", "None")
    for prefix in ("libs.events.names.", "libs.events.hosts.", "libs.events.maps.", "libs.events.orders.", "libs.events."):
        text = text.replace(prefix, "")
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    fresh = page()
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == fresh:
            return 0
        sys.stderr.write("docs/events.md is stale: make format\n")
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
