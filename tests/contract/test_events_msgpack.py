"""Our wire bytes are plain MessagePack: the reference implementation reads them, and writes what we read."""

import msgpack
import msgspec
import pytest

from libs.events import Event, decode, encode, subject_of
from tests.contract.event_examples import EXAMPLES


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.declaration.name)
def test_another_codec_reads_and_writes_the_same(event: Event) -> None:
    fields = msgpack.unpackb(encode(event))

    assert fields == msgspec.to_builtins(event, builtin_types=(bytes,))
    assert decode(subject_of(event), msgpack.packb(fields)) == event
