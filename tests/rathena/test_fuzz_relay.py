"""A client, a server or a bridge says anything to a relay's session. Ten minutes of it: `python -m tests.rathena.fuzz`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.config import Relay
from services.relay.table import Table
from tests.rathena import fuzz_relay
from tests.rathena.fuzz_relay import Watched
from tests.rathena.relay_words import ENTER, serve, welcome


@pytest.mark.parametrize("seed", range(24))
def test_a_storm_ends_in_order(seed: int) -> None:
    fuzz_relay.run(seed)


@settings(max_examples=100, deadline=None)
@given(chunks=st.lists(st.binary(max_size=80), max_size=8))
def test_no_bytes_of_a_client_are_an_error(chunks: list[bytes]) -> None:
    one = Watched(Table(Relay()))

    for chunk in chunks:
        one.did(one.session.on_client(chunk, 0.0))


@settings(max_examples=100, deadline=None)
@given(chunks=st.lists(st.binary(max_size=80), max_size=8), welcomed=st.booleans())
def test_no_bytes_of_a_server_reach_a_client_in_half_a_packet(chunks: list[bytes], welcomed: bool) -> None:
    one = Watched(Table(Relay()))
    one.did(one.session.on_client(ENTER, 0.0))
    one.did(one.session.on_serve(serve(1), 0.0))

    for chunk in [*([welcome()] if welcomed else []), *chunks]:
        one.did(one.session.on_server(1, chunk, 0.0))
