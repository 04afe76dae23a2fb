"""Twins in processes of their own, to be killed, stopped and resumed by pid: `python -m tests.rathena.twin map --char HOST:PORT
--maps a,b`. One JSON line on stdout when it listens: pid, ports, control port (`control.py`). SIGTERM ends as rAthena does."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from libs.runtime.garbage import collect_seldom
from libs.runtime.loop import run_loop
from tests.rathena.twin.char import TwinChar
from tests.rathena.twin.control import Answer, Control, char_orders, map_orders
from tests.rathena.twin.effects import Exit
from tests.rathena.twin.map_core import MapConfig, Place
from tests.rathena.twin.mapserver import TwinMap
from tests.rathena.twin.people import person
from tests.rathena.twin.store import Store


def main() -> int:
    options = _parser().parse_args()
    with open(options.log or os.devnull, "a", buffering=1, encoding="utf-8") as log:  # noqa: PTH123
        return run_loop(_char(options, log) if options.what == "char" else _map(options, log))


async def _char(options: argparse.Namespace, log: TextIO) -> int:
    store = Store()
    store.settle([person(n, party_id=options.party) for n in range(options.people)], options.map, options.x, options.y)
    char = TwinChar(store, slots_max=options.slots, note=_writer(log, "char"))
    await char.start(options.port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    control = await _ready("char", [char.port], char_orders(char))
    await ended.wait()
    await control.stop()
    await char.stop()
    return 0


async def _map(options: argparse.Namespace, log: TextIO) -> int:
    twins = [
        TwinMap(config, listen_port=port, note=_writer(log, str(config.maps)), records=options.records)
        for config, port in _configs(options)
    ]
    for twin in twins:
        await twin.start()

    def terminate() -> None:
        for twin in twins:
            twin.terminate()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    control = await _ready("map", [twin.port for twin in twins], map_orders(twins))
    exits: list[Exit] = [await twin.shell.exited for twin in twins]
    for twin in twins:
        await twin.shell.drained()
        await twin.stop()
    await control.stop()
    return max(one.code for one in exits)


def _configs(options: argparse.Namespace) -> list[tuple[MapConfig, int]]:
    """One map-server for each --maps; ports and addresses count up from the first."""
    warps = dict(_warp(text) for text in options.warp)
    settings = {name: int(value) for name, _, value in (text.partition("=") for text in options.set)}
    ip, port = _address(options.node_address) if options.node_address else ("127.0.0.1", options.port)
    found = []
    for n, names in enumerate(options.maps):
        config = MapConfig(
            maps=tuple(names.split(",")),
            ip=ip,
            port=port + n if port else 0,
            char=_address(options.char),
            warps=warps,
            host=options.host,
            **settings,  # type: ignore[arg-type]
        )
        found.append((config, options.port + n if options.port else 0))
    return found


async def _ready(what: str, ports: list[int], orders: dict[str, Answer]) -> Control:
    control = Control(orders)
    line = {"ready": what, "pid": os.getpid(), "port": ports[0], "ports": ports, "control": await control.listen()}
    collect_seldom()  # a stock server never stops for that
    print(json.dumps(line), flush=True)  # noqa: T201
    return control


def _writer(log: TextIO, who: str) -> Any:
    def write(event: str, values: dict[str, Any]) -> None:
        log.write(json.dumps({"t": time.time(), "who": who, "event": event, **values}) + "\n")

    return write


def _address(text: str) -> tuple[str, int]:
    ip, _, port = text.rpartition(":")
    return ip, int(port)


def _warp(text: str) -> tuple[Place, Place]:
    """`prt_fild08,170,378=prontera,156,180`."""
    start, _, end = text.partition("=")
    return _place(start), _place(end)


def _place(text: str) -> Place:
    name, x, y = text.split(",")
    return name, int(x), int(y)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.rathena.twin")
    what = parser.add_subparsers(dest="what", required=True)
    char = what.add_parser("char")
    char.add_argument("--people", type=int, default=50)
    char.add_argument("--map", default="prontera")
    char.add_argument("--x", type=int, default=150)
    char.add_argument("--y", type=int, default=150)
    char.add_argument("--party", type=int, default=0, help="the party all of them are in")
    char.add_argument("--slots", type=int, default=2)
    map_ = what.add_parser("map")
    map_.add_argument("--char", required=True, help="HOST:PORT of char-server or bridge")
    map_.add_argument("--maps", required=True, action="append", help="a,b; repeat for a further map-server")
    map_.add_argument("--node-address", help="IP:PORT told in 2af8; without: where it listens")
    map_.add_argument("--host", default="", help="a host's: its link to the bridge begins with this name")
    map_.add_argument("--warp", action="append", default=[], help="map,x,y=map,x,y")
    map_.add_argument("--set", action="append", default=[], help="a time of MapConfig: autosave_ms=1000")
    map_.add_argument("--records", type=Path, help="a directory: every byte, a file for each connection and direction")
    for one in (char, map_):
        one.add_argument("--port", type=int, default=0)
        one.add_argument("--log", type=Path, help="events as JSON lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
