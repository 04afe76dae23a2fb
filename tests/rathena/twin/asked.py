"""The twin as an agent starts a map-server: with rAthena's own arguments, and configuration files that it reads.

    argv = asked_command()      # for OwnMapServers(program=...)

Of the files it takes what it has itself: maps, ports, autosave. A database it does not ask.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from libs.rathena.conf import Conf, read_conf
from tests.rathena.twin.map_core import MapConfig
from tests.rathena.twin.mapserver import TwinMap

USERS_MS: Final = 1_000
"""Ten times as often as stock, so that tests of silence are short."""
_ROOT: Final = Path(__file__).parents[3]


def asked_command() -> list[str]:
    start = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from tests.rathena.twin.asked import main; sys.exit(main())"
    return [sys.executable, "-c", start]


def main() -> int:
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    return asyncio.run(_life(_config(read_conf(words["--map-config"], _read))))


def _config(conf: Conf) -> MapConfig:
    return MapConfig(
        maps=conf.maps(),
        ip=conf.text("map_ip"),
        port=conf.number("map_port", 0),
        char=(conf.text("char_ip"), conf.number("char_port", 0)),
        autosave_ms=conf.number("autosave_time", 300) * 1_000,
        minsave_ms=conf.number("minsave_time", 100),
        users_ms=USERS_MS,
    )


async def _life(config: MapConfig) -> int:
    twin = TwinMap(config, listen_port=config.port)
    await twin.start()
    print("listening", flush=True)  # noqa: T201
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, twin.terminate)
    code = (await twin.shell.exited).code
    await twin.shell.drained()
    await twin.stop()
    return code


def _read(name: str) -> bytes | None:
    path = Path(name)
    return path.read_bytes() if path.is_file() else None
