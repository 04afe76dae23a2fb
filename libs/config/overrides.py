"""The environment's overrides: KAFRA__FAILOVER__BACKUP_HOSTS_COUNT=3 sets failover.backup_hosts_count.

In: a mapping of variables. Out: `Overrides`. Called by loading. Texts become the type of the key's default; one that cannot is
left a text, which the model then refuses by name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.config.findings import Finding
from libs.config.model import Settings
from libs.config.schema import nearest, spot
from libs.config.text import Path, dotted

PREFIX = "KAFRA__"
DELIMITER = "__"


@dataclass(frozen=True)
class Overrides:
    """values and variables: by the path of the key. findings: variables that name no key."""

    values: dict[Path, Any]
    variables: dict[Path, str]
    findings: list[Finding]


def read(environ: Mapping[str, str]) -> Overrides:
    """Every variable that begins with PREFIX; keys are lower-cased."""
    overrides = Overrides({}, {}, [])
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            path = _path(variable)
            if finding := _unknown(variable, path):
                overrides.findings.append(finding)
            else:
                overrides.values[path] = _typed(environ[variable], _default(path))
                overrides.variables[path] = ascii(variable)[1:-1]
    return overrides


def apply(values: dict[str, Any], overrides: Overrides) -> dict[Path, str]:
    """Sets the overrides in values. Returns the variable of each path set: a region keeps the spelling of the file."""
    variables: dict[Path, str] = {}
    for path, value in overrides.values.items():
        at: Any = values
        for name in path[:-1]:
            at = at.setdefault(name, {})
            if not isinstance(at, dict):
                break  # the file has a scalar where a group belongs: a finding of its own
        else:
            same = [name for name in at if path[0] == "regions" and name.lower() == path[-1]]
            key = same[0] if same else path[-1]
            at[key] = value
            variables[(*path[:-1], key)] = overrides.variables[path]
    return variables


def _path(variable: str) -> Path:
    group, *names = variable.removeprefix(PREFIX).lower().split(DELIMITER)
    if group == "regions" and names:
        return group, DELIMITER.join(names)
    return group, *names


def _unknown(variable: str, path: Path) -> Finding | None:
    place = spot(path)
    if place.is_group or path == ("regions",):
        example = f"{PREFIX}{DELIMITER.join(str(name) for name in path).upper()}{DELIMITER}<KEY>"
        message, allowed = "this names a group, not a key", example
    elif place.field is None or (place.path != path and path[0] != "regions"):
        like = nearest(path)
        meant = PREFIX + like.replace(".", DELIMITER).upper()
        message, allowed = f'unknown key; did you mean "{meant}"?' if like else "unknown key", place.allowed
    else:
        return None
    return Finding(ascii(variable)[1:-1], None, ascii(dotted(path))[1:-1], message, allowed)


def _default(path: Path) -> Any:
    value: Any = Settings()
    for name in path:
        value = "" if isinstance(value, Mapping) else getattr(value, str(name))
    return value


def _typed(text: str, default: object) -> Any:
    try:
        match default:
            case bool():
                return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
            case int():
                return int(text)
            case float():
                return float(text)
            case tuple():
                return _list(text)
    except (ValueError, RecursionError):  # RecursionError: JSON nested beyond reason
        pass
    return text


def _list(text: str) -> Any:
    """["a", "b"] as JSON, or a,b."""
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [name.strip() for name in text.split(",") if name.strip()]
