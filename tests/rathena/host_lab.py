"""A host's map-servers for tests: a made-up bundle, a twin as its program, and the twin of a char-server where its links end.

`python -m tests.rathena.host_lab DIRECTORY PORT` is such a host as a process of its own, to be killed: it serves MAPS until it
is told to end, and prints its map-servers' pids when all are ready.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from libs.events import MapName, OrderedMap
from libs.runtime.clock import Clock
from services.agent.maps.servers import OwnMapServers, Status
from services.agent.maps.tree import PROGRAM, Bundle
from tests.rathena.plain_links import PlainLinks
from tests.rathena.twin.asked import asked_command

FIELD: Final = MapName("moc_fild01")
DUNGEON: Final = MapName("pay_dun01")
MAPS: Final = (FIELD, DUNGEON)
WAIT_S: Final = 30.0
POLL_S: Final = 0.01


def made_bundle(root: Path) -> Bundle:
    """A directory that looks like one; its program is never started."""
    texts = {
        "conf/inter_athena.conf": "map_server_ip: 203.0.113.1\nmap_server_pw: operators_own\n",
        "conf/import/kafra_host.conf": "autosave_time: 300\nmap: prontera\nmotd_txt: conf/ours.txt\n",
        "conf/battle_athena.conf": "prevent_logout: 10000\n",
        "conf/packet_athena.conf": "enable_ip_rules: yes\nddos_count: 5\n",
        "conf/import/inter_conf.txt": "map_server_port: 3306\n",
        "db/map_cache.dat": "maps",
        "npc/re/scripts_main.conf": "npc: npc/re/warps.txt\n",
        PROGRAM: "#!/bin/false\n",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="latin-1")
    (root / PROGRAM).chmod(0o755)
    return Bundle.at(root)


class HostLab:
    """servers: what is tested. links: theirs."""

    def __init__(self, directory: Path, upstream: tuple[str, int], program: Sequence[str] | None) -> None:
        self.directory, self.links = directory, PlainLinks(upstream)
        self.bundle, self.clock = made_bundle(directory / "bundle"), Clock()
        self.servers = OwnMapServers(self.bundle, directory / "own", self.links, self.clock, program or asked_command())
        self.links.servers = self.servers

    @classmethod
    @asynccontextmanager
    async def running(
        cls, directory: Path, upstream: tuple[str, int], program: Sequence[str] | None = None
    ) -> AsyncIterator["HostLab"]:
        """program: instead of the twin."""
        lab = cls(directory, upstream, program)
        async with lab.servers.running():
            yield lab

    def order(self, *maps: MapName, **words: Any) -> None:
        order = OrderedMap(**{"tenure": 7, "role": "primary", **words})
        self.servers.obey(dict.fromkeys(maps, order), self.clock.now_ms())

    def status(self, name: MapName = FIELD) -> Status | None:
        return next((status for status in self.servers.statuses() if status.map == name), None)

    def said(self, name: MapName = FIELD) -> str | None:
        report = self.servers.reports(0).get(name)
        return None if report is None else report.state

    def pid(self, name: MapName = FIELD) -> int:
        pid = self.servers.pids()[name]
        assert pid is not None
        return pid

    def log(self, name: MapName = FIELD) -> str:
        return (self.directory / "own" / "logs" / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    async def ready(self, *maps: MapName) -> None:
        self.order(*maps)
        await until(lambda: all(self.said(name) == "ready" for name in maps), f"{maps} are ready")


async def until(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> None:
    """Raises: TimeoutError, with `what` never became so."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - other processes change it
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise TimeoutError(f"not within {timeout_s:g} s: {what}") from None


def lives(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def _host(directory: Path, port: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with HostLab.running(directory, ("127.0.0.1", port)) as lab:
        await lab.ready(*MAPS)
        print(*(lab.pid(name) for name in MAPS), os.getpid(), flush=True)  # noqa: T201
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_host(Path(sys.argv[1]), int(sys.argv[2])))
