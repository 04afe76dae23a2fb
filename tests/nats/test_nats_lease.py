"""A lease whose holder is frozen, killed or cut off: nobody holds while another does."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import connect

pytestmark = pytest.mark.nats

TTL_S = 1.0
HOLDER = """
import asyncio, sys, time
from libs.bus.nats import connect

async def main():
    bus = await connect(sys.argv[1], name="holder")
    await bus.ensure_streams(1)
    lease = await bus.lease("registry", float(sys.argv[2]))
    while True:
        print(time.monotonic(), int(lease.held), lease.number, flush=True)
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


class Holder:
    """A process that holds the lease and says so every 10 ms: (when, held, number)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[tuple[float, bool, int]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            when, held, number = line.split()
            self.said.append((float(when), held == b"1", int(number)))

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading


@pytest.fixture
async def holder(nats_server: EmbeddedServer, eventually) -> AsyncIterator[Holder]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, nats_server.url, str(TTL_S), stdout=asyncio.subprocess.PIPE
    )
    holder = Holder(process)
    await eventually(lambda: holder.said and holder.said[-1][1], 20)
    yield holder
    await holder.end()


async def test_a_frozen_holder_believes_nothing_when_it_wakes(nats_server: EmbeddedServer, holder: Holder, eventually):
    bus = await connect(nats_server.url, name="contender")
    lease = await bus.lease("registry", TTL_S)
    number = holder.said[-1][2]

    holder.process.send_signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    await eventually(lambda: lease.held)
    taken_at = time.monotonic()
    woken = len(holder.said)
    holder.process.send_signal(signal.SIGCONT)
    await eventually(lambda: len(holder.said) > woken + 100)

    assert 0.5 * TTL_S < taken_at - frozen_at < 4 * TTL_S
    assert lease.held
    assert lease.number > number
    after = [(held, its_number) for when, held, its_number in holder.said if when > taken_at]
    assert len(after) > 50
    assert set(after) == {(False, 0)}
    await bus.close()


async def test_a_killed_holder_is_followed_within_the_time_to_live(nats_server, holder: Holder, eventually):
    bus = await connect(nats_server.url, name="contender")
    lease = await bus.lease("registry", TTL_S)
    number = holder.said[-1][2]

    holder.process.kill()
    killed_at = time.monotonic()
    await eventually(lambda: lease.held)

    assert time.monotonic() - killed_at < 3 * TTL_S
    assert lease.number > number
    await bus.close()


async def test_a_lease_ends_by_its_own_clock_when_the_server_is_gone(nats_server: EmbeddedServer, eventually):
    bus = await connect(nats_server.url, name="holder")
    await bus.ensure_streams(1)
    changes: list[bool] = []
    lease = await bus.lease("registry", TTL_S, changes.append)
    await eventually(lambda: lease.held)
    number = lease.number

    nats_server.kill()
    killed_at = time.monotonic()
    await eventually(lambda: changes == [True, False])
    gone_at = time.monotonic()
    await nats_server.start()
    await eventually(lambda: lease.held)

    assert gone_at - killed_at < 1.3 * TTL_S
    assert changes == [True, False, True]
    assert lease.number > number
    await bus.close()


async def test_a_short_restart_does_not_end_a_lease(nats_server: EmbeddedServer, eventually):
    bus = await connect(nats_server.url, name="holder")
    await bus.ensure_streams(1)
    changes: list[bool] = []
    lease = await bus.lease("registry", 5.0, changes.append)
    await eventually(lambda: lease.held)
    number = lease.number

    await nats_server.restart()
    await eventually(lambda: bus.connected)
    await bus.ping(5)

    assert (lease.held, lease.number, changes) == (True, number, [True])
    await bus.close()
