"""A twin of the char-server with one player, for those who need no more of the realm."""

from collections.abc import AsyncIterator

import pytest

from tests.rathena.host_lab import FIELD
from tests.rathena.twin.char import TwinChar
from tests.rathena.twin.people import person


@pytest.fixture
async def char() -> AsyncIterator[TwinChar]:
    async with TwinChar.running([person(0)], FIELD, 100, 100) as char:
        yield char
