"""Hypothesis strategies of every event, made from its declared types: whatever a struct allows, the codec must carry."""

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from libs.events import Cause, Event, MapAssign
from libs.events.names import IS_NAME, NAME_PATTERN

TEXT_MAX = 40
SIZE_MAX = 4


def an_event(event_type: type[Event]) -> st.SearchStrategy[Event]:
    return struct_of(event_type)


def struct_of(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any value of the struct's types and bounds; where a struct checks more than types, only what passes."""
    if struct is Cause:
        return st.builds(Cause, stream=st.sampled_from(["HOSTS", "MAPS", "ASSIGNMENTS"]), seq=st.integers(0, 2**63 - 1)) | (
            st.builds(Cause, tick_ms=st.integers(0, 2**53))
        )
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    fields = {field.name: of_type(field.type) for field in info.fields}
    if struct is MapAssign:
        host = fields.pop("host").filter(lambda host: host is not None)
        fields.pop("kind")
        served = st.one_of(
            st.tuples(st.just("p2p"), host),
            st.just(("vps", None)),
        )
        return served.flatmap(lambda pair: st.builds(struct, kind=st.just(pair[0]), host=st.just(pair[1]), **fields))
    return st.builds(struct, **fields)


def anything() -> st.SearchStrategy[Any]:
    """Whatever MessagePack can say."""
    plain = (
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=TEXT_MAX)
    )
    return st.recursive(
        plain | st.binary(max_size=TEXT_MAX),
        lambda inner: st.lists(inner, max_size=SIZE_MAX) | st.dictionaries(st.text(max_size=8), inner, max_size=SIZE_MAX),
        max_leaves=8,
    )


def of_type(type_: inspect.Type) -> st.SearchStrategy[Any]:
    match type_:
        case inspect.Metadata(extra=dict(extra)) if IS_NAME in extra:
            return st.from_regex(NAME_PATTERN, fullmatch=True)
        case inspect.Metadata(type=inner):
            return of_type(inner)
        case inspect.UnionType(types=types):
            return st.one_of([of_type(one) for one in types])
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=least, le=most):
            assert least is not None, "an int without a bound"
            assert most is not None, "an int without a bound"
            return st.integers(least, most)
        case inspect.FloatType(ge=least, le=most):
            return st.floats(least, most, allow_nan=False)
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern, fullmatch=True)
        case inspect.StrType(min_length=least, max_length=most):
            assert most is not None, "a text without an end"
            return st.text(min_size=least or 0, max_size=max(least or 0, min(most, TEXT_MAX)))
        case inspect.BytesType(max_length=most):
            assert most is not None, "bytes without an end"
            return st.binary(max_size=min(most, TEXT_MAX))
        case inspect.LiteralType(values=values):
            return st.sampled_from(sorted(values, key=str))
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.ListType(item_type=item, max_length=most):
            assert most is not None, "a list without an end"
            return st.lists(of_type(item), max_size=min(most, SIZE_MAX))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(of_type(key), of_type(value), max_size=SIZE_MAX)
        case inspect.StructType(cls=cls):
            return struct_of(cls)
    raise NotImplementedError(type_)
