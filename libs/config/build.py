"""Plain values -> Settings, or every finding at once.

In: a tree of values and where each came from. Out: Settings. Called by loading and Settings.from_public.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from libs.config.checks import conflicts
from libs.config.fields import Group
from libs.config.findings import ConfigError, Finding, shown
from libs.config.model import LOCAL, Settings
from libs.config.schema import nearest, spot
from libs.config.text import Path, dotted

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Origin:
    """Where the values came from. file: its name; lines: of its keys; variables: the keys set by the environment."""

    file: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    variables: Mapping[Path, str] = field(default_factory=dict)

    def place(self, paths: Sequence[Path]) -> tuple[str, int | None]:
        """The name and line to blame for paths: what the environment set goes before the file, a key before the
        group around it, and a path before those after it."""
        around = [path[:depth] for path in paths for depth in range(len(path), 0, -1)]
        for path in around:
            if path in self.variables:
                return self.variables[path], None
        for path in (*paths, *around):
            if path in self.lines:
                return self.file, self.lines[path]
        return self.file, None


def build(cls: type[S], values: dict[str, Any], origin: Origin, found: Iterable[Finding] = ()) -> S:
    """found: what is already known to be wrong.

    Raises: ConfigError, with all of found and all that is wrong here.
    """
    findings = list(found)
    refused: set[Path] = set()
    try:
        settings = cls(**values)
    except ValidationError as error:
        for mistake in error.errors(include_url=False, include_context=False):
            refused.add(spot(_path(mistake)).path)
            findings.append(_finding(mistake, origin))
        settings = cls(**_without(values, refused))
    for conflict in conflicts(settings):
        if not any(path[: len(bad)] == bad for path in conflict.paths for bad in refused):
            name, line = origin.place(conflict.paths)
            findings.append(Finding(name, line, dotted(conflict.paths[0]), conflict.message, conflict.allowed))
    if findings:
        raise ConfigError(findings)
    return settings


def from_public(cls: type[S], public: Mapping[str, Any]) -> S:
    """See Settings.from_public."""
    known = {name: value for name, value in public.items() if name not in LOCAL}
    return build(cls, _known_only(cls, known), Origin("config.applied"))


def _known_only(model: type[Group] | type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in values.items():
        inner = model.model_fields[name].annotation if name in model.model_fields else None
        if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, Group):
            kept[name] = _known_only(inner, value)
        elif name in model.model_fields:
            kept[name] = value
    return kept


def _path(mistake: ErrorDetails) -> Path:
    return tuple(part for part in mistake["loc"] if part != "[key]")


def _finding(mistake: ErrorDetails, origin: Origin) -> Finding:
    path = _path(mistake)
    place = spot(path)
    name, line = origin.place([path])
    if place.field is None:
        like = nearest(path)
        message = f'unknown key; did you mean "{like}"?' if like else "unknown key"
    elif path[0] in LOCAL:
        message = "this value is not allowed"  # it may hold a secret, so it is not shown
    elif mistake["type"] == "too_long":
        message = "too many"
    else:
        message = f"{shown(mistake['input'])} is not allowed"
    return Finding(name, line, dotted(path), message, place.allowed)


def _without(values: Mapping[str, Any], refused: set[Path], above: Path = ()) -> dict[str, Any]:
    """values less the refused paths, so that the rest can still be checked."""
    return {
        name: _without(value, refused, (*above, name)) if isinstance(value, dict) else value
        for name, value in values.items()
        if (*above, name) not in refused
    }
