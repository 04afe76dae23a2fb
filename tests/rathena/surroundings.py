"""What surrounds a realm: maps and warps, free ports, settings quicker than the shipped ones, a stack that can be asked."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import urllib.request
from collections import deque
from typing import Any

from libs.events import MapName
from services.ops.stack import Stack, StackOptions

FIELD = MapName("moc_fild01")
"""Of the shipped configuration's eligible maps."""
TOWN = "prontera"
WARPS = (
    f"--warp={TOWN},170,378={FIELD},20,20",
    f"--warp={FIELD},10,10={TOWN},100,100",
    f"--warp={FIELD},10,20=pay_fild03,20,20",
    f"--warp=pay_fild03,10,10={FIELD},20,20",
)
TIMES = {"autosave_ms": 1_000, "client_stall_ms": 0, "reconnect_first_ms": 300, "reconnect_ms": 500}
"""Of map-servers; a stock one tries its char-server again after 10 s only."""
WORDS = (*WARPS, *(word for name, ms in TIMES.items() for word in ("--set", f"{name}={ms}")))
PORTS_FROM, PORTS_TO = 15_000, 32_000
WORKERS_MAX = 16
_given: deque[int] = deque(maxlen=500)
FAST = {
    "KAFRA__HOST_REQUIREMENTS__NET_MAX_LATENCY": "1000",  # a test process with other tests beside it answers late
    "KAFRA__HOST_REQUIREMENTS__MAX_DISCONNECTS_PER_HOUR": "1000",
    "KAFRA__HOST_REQUIREMENTS__SLOT_RAM_MB": "64",
    "KAFRA__FAILOVER__SILENCE_MS": "1000",
    "KAFRA__FAILOVER__SUSPICION_MS": "300",
    "KAFRA__FAILOVER__REFILL_INTERVAL_S": "1",
    "KAFRA__REBALANCE__MIN_DWELL_S": "3600",
    "KAFRA__REBALANCE__COOL_DOWN_S": "1",
    "KAFRA__MONITORING__HEARTBEAT_BUSY_MS": "200",
    "KAFRA__MONITORING__HEARTBEAT_IDLE_MS": "400",
    "KAFRA__SECURITY__CHECK_INTERVAL_S": "1",
    "KAFRA__RELAY__MAX_CONNECTIONS_PER_ADDRESS": "1000",
}


class WatchedStack(Stack):
    """A `Stack` that gives each service a health port of its own. ports: in the order of the children. lab: hosts' map-servers
    link without an agent's link."""

    def __init__(self, options: StackOptions, *, lab: bool = True) -> None:
        super().__init__(options)
        self._lab = lab
        self.ports: list[int] = []

    def environ(self) -> dict[str, str]:
        self.ports.append(free_ports("health")["health"])
        return super().environ() | {"KAFRA_HEALTH_PORT": str(self.ports[-1])}

    def _rathena_environ(self) -> dict[str, str]:
        """lab: without tickets, so that map-servers link by themselves."""
        environ = super()._rathena_environ()
        return {name: value for name, value in environ.items() if not (self._lab and name.endswith("__TICKETS"))}

    async def stop_nats(self) -> None:
        """nats-server ends, and nobody starts it again."""
        assert self._watching is not None
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self.server.stop()

    async def start_nats(self) -> None:
        await self.server.start()
        self._watching = asyncio.create_task(self._watch_server())

    def status(self, name: str) -> dict[str, Any]:
        """/statusz of the first of this name."""
        port = self.ports[self.options.only.index(name)]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/statusz", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


def free_ports(*names: str) -> dict[str, int]:
    """A free port for each. Below those the kernel gives to connections: one of them would be taken again by the next. None
    that was given lately, here or to tests that run beside: whoever got it may not listen yet."""
    width = (PORTS_TO - PORTS_FROM) // WORKERS_MAX
    first = PORTS_FROM + width * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS_MAX)
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        port = secrets.randbelow(width) + first
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in _given:
                _given.append(port)
                ports[names[len(ports)]] = port
    return ports


def environ(char_port: int, ports: dict[str, int]) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("KAFRA_", "NOTIFY_SOCKET"))}
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    return (
        plain
        | FAST
        | {
            "KAFRA__BRIDGE__CHAR_SERVER": f"127.0.0.1:{char_port}",
            "KAFRA__BRIDGE__MAP_SERVERS": at["maps"],
            "KAFRA__BRIDGE__HOSTS": at["hosts"],
            "KAFRA__BRIDGE__PUBLIC": at["hosts"],
            "KAFRA__BRIDGE__RELAYS": at["relays"],
            "KAFRA__RELAY__BRIDGE": at["relays"],
            "KAFRA__RELAY__LISTEN": at["front"],
            "KAFRA__RELAY__PUBLIC": at["front"],
            "KAFRA__RELAY__HOSTS": at["dials"],
            "KAFRA__VPS__CORE": at["core"],
            "KAFRA__VPS__FALLBACK": at["fallback"],
        }
    )


def told_outside(address: str, ports: dict[str, int]) -> dict[str, str]:
    """Hosts come from other machines, and are told this address."""
    doors = {"BRIDGE__HOSTS": "BRIDGE__PUBLIC", "RELAY__HOSTS": "RELAY__HOSTS_PUBLIC"}
    found: dict[str, str] = {}
    for (listen, public), port in zip(doors.items(), (ports["hosts"], ports["dials"]), strict=True):
        found |= {f"KAFRA__{listen}": f"0.0.0.0:{port}", f"KAFRA__{public}": f"{address}:{port}"}
    return found
