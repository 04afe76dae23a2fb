"""What an agent is told: keys of agent.toml, each also a flag of `kafra agent`. One table for both.

In: a file, arguments. Out: `AgentSettings`. Called by running and doctor. A flag wins over the file.
"""

import argparse
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from libs.config import ConfigError, Finding
from libs.config.findings import shown
from libs.events import is_name
from services.agent.quiet import ALLOWED, is_quiet_list

USAGE: Final = "{} [--config FILE] [--KEY VALUE ...]    (--help names all keys)"
"""A mistake is said in the line below it, not below fifteen."""
FILE_NAME = "agent.toml"
FILE_BYTES_MAX = 64 * 1024
"""Far above any real one; a wrong path may name anything."""
TEXT_MAX = 1024


@dataclass(frozen=True)
class AgentSettings:
    """url: of NATS, several with commas. seed: path of the host's nkey seed or other credentials, None for a server without
    authorization. ca: path of the authority whose certificates to believe, None for the system's. account_id: the player's
    account. region: the relay region it stands in. address, port: where relays may come for its players; None: it dials them.
    players_max: players here at once. mbps_max: Mbit/s of all of them together, both ways, 0 for no limit. simulate: a made-up
    machine with made-up map-servers. bundle_url, bundle_key: where the operator's bundle is, and his public key. bundle_store:
    where bundles are kept, maps_dir: where map-servers are run and log; None for the usual place. quiet, cpu_ceiling (percent,
    0 for none), ram_floor_mb (0 for none): when it pauses (pausing.py). status_port: of the page on 127.0.0.1, 0 for any."""

    url: str = "nats://127.0.0.1:4222"
    host_id: str | None = None
    account_id: int = 0
    region: str = "vps"
    seed: Path | None = None
    ca: Path | None = None
    address: str | None = None
    port: int = 6121
    players_max: int = 500
    mbps_max: int = 0
    simulate: bool = False
    bundle_url: str | None = None
    bundle_key: str | None = None
    bundle_store: Path | None = None
    maps_dir: Path | None = None
    quiet: Sequence[str] = ()
    cpu_ceiling: int = 0
    ram_floor_mb: int = 0
    status_port: int = 0


@dataclass(frozen=True)
class Key:
    """One setting. name: in the file. field: of AgentSettings. kind: its TOML type. ok: of a value of that kind. help: for
    the flag `--name`."""

    name: str
    field: str
    kind: type
    ok: Callable[[Any], bool]
    allowed: str
    help: str

    def value(self, found: object) -> object:
        """
        Raises:
            ValueError: it is none of what is allowed.
        """
        if type(found) is not self.kind or not self.ok(found):
            raise ValueError(self.allowed)
        return found

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def is_nats_url(text: str) -> bool:
    """nats, tls, ws or wss://host[:port], one or several with commas; a bare host:port is nats."""
    return re.fullmatch(rf"\S{{1,{TEXT_MAX}}}", text) is not None and all(map(_is_server, text.split(",")))


def is_open_address(text: str) -> bool:
    """Relays can be told to come there; 127.0.0.1 for a lab on one machine. Map-servers say their address in four bytes."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_link_local or address.is_multicast or address.is_reserved)


def is_web_url(text: str) -> bool:
    try:
        at = urlsplit(text)
        return at.scheme in ("http", "https") and bool(at.hostname) and at.port != 0 and not re.search(r"[\s?#]", text)
    except ValueError:
        return False


NAME_ALLOWED = '1 to 32 of A-Z a-z 0-9 _ @ -, in quotes: "my_pc"'
KEYS: Final = (
    Key("nats", "url", str, is_nats_url, '"nats://HOST:PORT", or tls, ws, wss; several with commas', "where NATS listens"),
    Key("host_id", "host_id", str, is_name, NAME_ALLOWED, "this host's name: 1-32 of A-Z a-z 0-9 _ @ -"),
    Key("seed", "seed", str, lambda text: 0 < len(text) <= TEXT_MAX, "a path, in quotes", "file with the host's nkey seed"),
    Key("ca", "ca", str, lambda text: 0 < len(text) <= TEXT_MAX, "a path, in quotes", "authority of a server not known to all"),
    Key("account", "account_id", int, lambda n: 0 <= n < 2**32, "0 to 4294967295", "your account id in the game"),
    Key("region", "region", str, is_name, NAME_ALLOWED, "the relay region you are in"),
    Key(
        "address",
        "address",
        str,
        is_open_address,
        'your router\'s IPv4 address as others see it, no name: "203.0.113.7"; leave it out where no port is forwarded',
        "address of a port your router forwards here; none: none is needed",
    ),
    Key("port", "port", int, lambda n: 0 <= n < 65536, "0 to 65535", "port of the same"),
    Key("players_max", "players_max", int, lambda n: 0 < n <= 10_000, "1 to 10000", "players here at once; default 500"),
    Key("mbps_max", "mbps_max", int, lambda n: 0 <= n <= 100_000, "0 to 100000", "Mbit/s of all players; 0: no limit"),
    Key("bundle_url", "bundle_url", str, is_web_url, '"https://HOST/PATH" or http', "where the server's bundle is"),
    Key(
        "bundle_key",
        "bundle_key",
        str,
        lambda text: re.fullmatch(r"[0-9a-f]{64}", text) is not None,
        "64 of 0-9 a-f, in quotes, as the operator shows it",
        "whose bundles are run here: the operator's public key",
    ),
    Key(
        "bundle_store",
        "bundle_store",
        str,
        lambda text: 0 < len(text) <= TEXT_MAX,
        "a path, in quotes",
        "where bundles are kept; default: Kafra's data directory",
    ),
    Key(
        "maps_dir",
        "maps_dir",
        str,
        lambda text: 0 < len(text) <= TEXT_MAX,
        "a path, in quotes",
        "where map-servers are run, and their logs; default: Kafra's data directory",
    ),
    Key("quiet", "quiet", list, is_quiet_list, ALLOWED, "when it hosts nothing; local time, several with commas"),
    Key(
        "cpu_ceiling",
        "cpu_ceiling",
        int,
        lambda n: 0 <= n <= 100,
        "0 to 100; 0: none",
        "percent others may use; above it pauses",
    ),
    Key(
        "ram_floor_mb",
        "ram_floor_mb",
        int,
        lambda n: 0 <= n < 2**24,
        "0 to 16777215; 0: none",
        "MB to stay free; else it pauses",
    ),
    Key("status_port", "status_port", int, lambda n: 0 <= n < 65536, "0 to 65535; 0: any", "of its page on 127.0.0.1"),
    Key("simulate", "simulate", bool, lambda _: True, "true or false", "a made-up strong machine, for labs"),
)
PATHS: Final = frozenset({"seed", "ca", "bundle_store", "maps_dir"})
"""Of AgentSettings; in the file, a relative one is beside it."""
BY_NAME: Final = {key.name: key for key in KEYS}


def default_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where agent.toml is looked for when no --config is given."""
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or Path.home()) / "kafra" / FILE_NAME
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kafra" / FILE_NAME


def read_file(path: Path) -> dict[str, object]:
    """Field of AgentSettings -> value, for the keys in the file. A relative path is beside the file.

    Raises:
        ConfigError: every mistake, with file, line, key and what is allowed.
    """
    name = str(path)
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError([Finding(name, None, "", f"larger than {FILE_BYTES_MAX} bytes; an agent.toml is not")])
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except OSError as error:
        raise ConfigError([Finding(name, None, "", error.strerror or type(error).__name__)]) from None
    except UnicodeDecodeError:
        raise ConfigError([Finding(name, None, "", "it is no UTF-8 text")]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([Finding(name, None, "", f"it is no TOML: {error or 'nested too deeply'}")]) from None
    values: dict[str, object] = {}
    findings = []
    for written, value in found.items():
        line = _line_of(written, text)
        if (key := BY_NAME.get(written)) is None:
            findings.append(Finding(name, line, shown(written)[1:-1], "no such key", ", ".join(BY_NAME)))
            continue
        try:
            values[key.field] = key.value(value)
        except ValueError as allowed:
            findings.append(Finding(name, line, written, f"{shown(value)} is not allowed", str(allowed)))
    if findings:
        raise ConfigError(findings)
    for field in PATHS & values.keys():
        values[field] = path.parent / Path(str(values[field])).expanduser()
    return values


def add_flags(parser: argparse.ArgumentParser) -> None:
    """--config, and a flag for each key; what was not given is None."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"its settings; default: {default_file()} if there is one")
    for key in KEYS:
        if key.kind is bool:
            parser.add_argument(key.flag, action="store_const", const=True, dest=key.field, help=key.help)
        else:
            parser.add_argument(key.flag, dest=key.field, metavar=key.name.upper(), help=key.help)


def settings_of(parser: argparse.ArgumentParser, given: argparse.Namespace) -> AgentSettings:
    """The file's values, the flags over them. Exits 2 where a flag is wrong.

    Raises:
        ConfigError: the file is wrong.
    """
    flags: dict[str, object] = {}
    for key in KEYS:
        written = getattr(given, key.field)
        if written is not None:
            flags[key.field] = _flag_value(parser, key, written)
    for field in PATHS & flags.keys():
        flags[field] = Path(str(flags[field]))
    path: Path | None = given.config or (file if (file := default_file()).is_file() else None)
    values = {**(read_file(path) if path is not None else {}), **flags}
    if "seed" not in values and not values.get("simulate") and (seed := enrolled(values.get("host_id"))).is_file():
        values["seed"] = seed
    return AgentSettings(**values)  # type: ignore[arg-type]


def enrolled(host_id: object) -> Path:
    """Where `kafra agent enroll` puts this host's seed."""
    return default_file().with_name(f"{host_id}.seed")


def _flag_value(parser: argparse.ArgumentParser, key: Key, written: object) -> object:
    try:
        if key.kind is list:
            return key.value([part.strip() for part in str(written).split(",")])
        return key.value(int(str(written)) if key.kind is int else written)
    except ValueError:
        parser.error(f"{key.flag}: {key.allowed}")


def _line_of(key: str, text: str) -> int | None:
    """Where a key of the top level stands; None if it is written in a way this does not find."""
    plain = re.compile(rf"\s*(\[\s*)?[\"']?{re.escape(key)}[\"']?\s*(=|\.|\])")
    return next((number for number, line in enumerate(text.splitlines(), 1) if plain.match(line)), None)


def _is_server(url: str) -> bool:
    try:
        at = urlsplit(url if "://" in url else f"nats://{url}")
        return at.scheme in ("nats", "tls", "ws", "wss") and bool(at.hostname) and (at.port is None or at.port > 0)
    except ValueError:
        return False
