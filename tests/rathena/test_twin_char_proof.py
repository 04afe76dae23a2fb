"""The twin char-server against the recorded one: fed with what map-servers said, it answers what the real one answered.

Compared are, for each map-server's link, all packets in order: ids, lengths, owners, and contents, of characters and storages
by value. Not compared, because not modelled: parties and guilds (UNMODELLED).
"""

from typing import Final

import pytest

from tests.rathena import captured
from tests.rathena.twin.replay import CharReplay, split_login_server

UNMODELLED: Final = frozenset({0x3820, 0x3821, 0x3822, 0x3824, 0x3825, 0x3826, 0x3830, 0x3831, 0x3832, 0x3835})
"""What the char-server says of its party and guild tables, which the twin has not: answers to 3020-3025, 3030-3035."""


@pytest.mark.parametrize("scenario", captured.scenarios())
def test_the_twin_says_what_the_recorded_char_server_said(scenario: str) -> None:
    replay = CharReplay(scenario).run()

    for leg, recorded in replay.recorded.items():
        expected, expected_late = split_login_server(recorded, without=UNMODELLED)
        produced, produced_late = split_login_server(replay.produced[leg])
        for n, (want, got) in enumerate(zip(expected, produced, strict=False)):
            assert got == want, f"{leg}: packet {n} of {len(expected)}"
        assert len(produced) == len(expected), leg
        assert produced_late == expected_late, leg
