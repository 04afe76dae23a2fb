"""The names within an event, checked after it was decoded. In: a struct type. Out: a function that finds a name that is none.

msgspec would match a regular expression at every one of them, 0.4 us each and most of what decoding a heartbeat took; nearly
every name was seen before.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

from libs.events.names import IS_NAME, is_name

KNOWN_MAX: Final = 65_536
"""Names remembered as good: more than the hosts and maps of any realm; then they are learnt anew."""
Check = Callable[[Any], str | None]
"""A value -> where in it a text should be a name and is none, and the text; None: nowhere."""
_KNOWN: set[str | None] = {None}


def check_of(struct: type[msgspec.Struct], but: str | None = None) -> Check | None:
    """but: a field that is checked otherwise. None: it has no names.

    Raises:
        TypeError: names stand in it where they are not found.
    """
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return _of_struct(info, but)


def _of(type_: inspect.Type) -> Check | None:
    match type_:
        case inspect.Metadata(extra=dict(extra)) if IS_NAME in extra:
            return _of_name
        case inspect.Metadata(type=inner):
            return _of(inner)
        case inspect.UnionType(types=types):
            checks = [check for one in types if (check := _of(one)) is not None]
            if len(checks) > 1 or (checks and len(types) != 2):
                raise TypeError("names in a union of several types are not checked")
            return _unless_none(checks[0]) if checks else None
        case inspect.ListType(item_type=item):
            return _of_all(check) if (check := _of(item)) is not None else None
        case inspect.DictType(key_type=key, value_type=value):
            return _of_mapping(_of(key), _of(value))
        case inspect.StructType():
            return _of_struct(type_, None)
    return None


def _of_name(value: str | None) -> str | None:
    return None if value in _KNOWN else _learn(value)


def _learn(value: str | None) -> str | None:
    assert value is not None
    if not is_name(value):
        return repr(value)
    if len(_KNOWN) >= KNOWN_MAX:
        _KNOWN.clear()
        _KNOWN.add(None)
    _KNOWN.add(value)
    return None


def _unless_none(check: Check) -> Check:
    return check if check in (_of_name, _of_keys) else lambda value: None if value is None else check(value)


def _of_all(check: Check) -> Check:
    return lambda values: next((bad for value in values if (bad := check(value)) is not None), None)


def _of_keys(values: Mapping[Any, Any]) -> str | None:
    return next((bad for key in values if (bad := _of_name(key)) is not None), None)


def _of_mapping(of_key: Check | None, of_value: Check | None) -> Check | None:
    if of_value is None:
        return _of_keys if of_key is _of_name else of_key and _of_all(of_key)

    def each(values: Mapping[Any, Any]) -> Iterator[str | None]:
        for key, value in values.items():
            yield of_key(key) if of_key is not None else None
            yield of_value(value)

    return lambda values: next((bad for bad in each(values) if bad is not None), None)


def _of_struct(info: inspect.StructType, but: str | None) -> Check | None:
    fields = [(field.name, _of(field.type)) for field in info.fields if field.name != but]
    names = [name for name, check in fields if check is _of_name]
    keyed = [name for name, check in fields if check is _of_keys]
    others = [(name, check) for name, check in fields if check is not None and check not in (_of_name, _of_keys)]
    if not names and not keyed and not others:
        return None
    known = _KNOWN  # for every event there is

    def check(value: msgspec.Struct) -> str | None:
        for name in names:
            if (found := getattr(value, name)) not in known and (bad := _learn(found)) is not None:
                return f"{name} {bad}"
        for name in keyed:
            if (found := getattr(value, name)) and not known.issuperset(found) and (bad := _of_keys(found)) is not None:
                return f"{name} {bad}"
        for name, inner in others:
            if (found := getattr(value, name)) and (bad := inner(found)) is not None:
                return f"{name} {bad}"
        return None

    return check
