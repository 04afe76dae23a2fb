"""One neighbour of the bridge says anything; the others go on playing. Ten minutes of it: `python -m tests.rathena.fuzz`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena.framing import MAP_TO_CHAR, BadStream, Splitter
from tests.rathena import fuzz_bridge
from tests.rathena.fuzz_bridge import EVIL, STORMS, VICTIMS, Town

SEEDS = 8


@pytest.mark.parametrize("number", range(SEEDS))
@pytest.mark.parametrize("storm", range(len(STORMS)), ids=[storm.__name__ for storm in STORMS])
def test_a_storm_harms_nobody_else(storm: int, number: int) -> None:
    fuzz_bridge.run(storm + len(STORMS) * number)


PACKETS = st.lists(
    st.builds(
        lambda packet_id, body: packet_id.to_bytes(2, "little") + body,
        st.sampled_from(sorted(MAP_TO_CHAR.kinds)),
        st.binary(max_size=40),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(packets=PACKETS, noise=st.binary(max_size=60))
def test_no_bytes_of_a_host_leave_the_core_as_an_error_or_pass_the_fence(packets: list[bytes], noise: bytes) -> None:
    town = Town(1)
    for number in VICTIMS:
        town.enter(number, number + 1, EVIL)

    link = town.links[EVIL]
    for packet in packets:
        town.do("node_packet", link, packet)
    try:
        for packet in Splitter(MAP_TO_CHAR).feed(b"".join(packets) + noise):
            town.do("node_packet", link, packet)
    except BadStream:
        town.do("node_lost", link)

    town.bounded()
    town.others_play()
