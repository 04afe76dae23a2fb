"""Who speaks to the agents in the registry's place."""

from collections.abc import AsyncIterator

import pytest
from agents import Operator

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import connect


@pytest.fixture
async def operator(nats_server: EmbeddedServer) -> AsyncIterator[Operator]:
    operator = Operator(await connect(nats_server.url, name="operator"))
    await operator.listen()
    yield operator
    await operator.bus.close()
