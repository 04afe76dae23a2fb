"""Where a key is in the model, and what it allows, in words.

In: a path of keys. Out: its field, or None. Called by build and overrides.
"""

import typing
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from libs.config.fields import Group
from libs.config.findings import shown
from libs.config.model import Settings
from libs.config.text import Path, dotted


@dataclass(frozen=True)
class Spot:
    """path: as far as the model goes. field: None for an unknown key. siblings: the names known beside it."""

    path: Path
    field: FieldInfo | None
    siblings: tuple[str, ...]

    @property
    def is_group(self) -> bool:
        return self.field is not None and _group(self.field) is not None

    @property
    def allowed(self) -> str:
        """What the operator may write here."""
        return f"one of {', '.join(self.siblings)}" if self.field is None else _allowed(self.field)


def spot(path: Path) -> Spot:
    """The field at path, which may go on into a list or into `regions`; the first unknown key ends it.

    path: not empty.
    """
    model: type[BaseModel] = Settings
    for depth, name in enumerate(path, start=1):
        field = model.model_fields.get(str(name))
        inner = _group(field) if field else None
        if inner is None or depth == len(path):
            return Spot(path[:depth], field, tuple(model.model_fields))
        model = inner
    raise AssertionError("an empty path")


def leaves(model: type[BaseModel] = Settings, above: Path = ()) -> dict[Path, FieldInfo]:
    """Every key that takes a value, by its path."""
    found: dict[Path, FieldInfo] = {}
    for name, field in model.model_fields.items():
        inner = _group(field)
        found |= leaves(inner, (*above, name)) if inner else {(*above, name): field}
    return found


def nearest(path: Path) -> str:
    """The known key most like the unknown one at path, dotted: beside it first, then anywhere; "" when nothing is alike."""
    place = spot(path)
    name, above = str(place.path[-1]).lower(), place.path[:-1]
    if beside := get_close_matches(name, place.siblings, n=1):
        return dotted((*above, beside[0]))
    by_name = {str(leaf[-1]): dotted(leaf) for leaf in leaves()}
    elsewhere = get_close_matches(name, by_name, n=1, cutoff=0.8)
    return by_name[elsewhere[0]] if elsewhere else ""


def _group(field: FieldInfo) -> type[Group] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Group) else None


def _allowed(field: FieldInfo) -> str:
    kind = field.annotation
    if field.description:
        return field.description
    if _group(field):
        return "a group: { key = value; ... }"
    if kind is bool:
        return "true or false (1 or 0)"
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(shown(value) for value in typing.get_args(kind))
    low, high = bounds(field)
    return f"{'an integer' if kind is int else 'a number'} from {low:.15g} to {high:.15g}"


def bounds(field: FieldInfo) -> tuple[float, float]:
    """The least and the largest value of a number's field."""
    low = next(rule.ge for rule in field.metadata if hasattr(rule, "ge"))
    high = next(rule.le for rule in field.metadata if hasattr(rule, "le"))
    return low, high
