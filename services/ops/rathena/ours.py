"""The files Kafra adds to an rAthena tree, under conf/import and with names of their own; nothing else is ever written there.

In: a tree and the settings. Out: `Ours`, what each file should hold beside what it holds; `write` makes it so. A file whose
first line is not MARK belongs to somebody else and stays.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import unified_diff
from itertools import chain
from pathlib import Path
from typing import Final, Literal

from libs.config import Settings
from services.ops.rathena.check import AUTOSAVE_S, MINSAVE_MS, SAVE_ALL, check, connectable, split
from services.ops.rathena.finding import Finding
from services.ops.rathena.maps import hostable
from services.ops.rathena.tree import BATTLE_CONF, CORE_CONF, FALLBACK_CONF, MAP_CONF, OUR_BATTLE_CONF, Tree

MARK: Final = "// Made by `kafra rathena check --write`, which makes it anew: change nothing here."
State = Literal["new", "changed", "same", "foreign"]


def start_line(conf: str) -> str:
    """What starts a map-server with our files, from the tree's root."""
    return f"./map-server --map-config {conf} --battle-config {OUR_BATTLE_CONF}"


@dataclass(frozen=True, slots=True)
class Ours:
    """One file. name: as rAthena writes it. now: what is there, None for nothing."""

    name: str
    path: Path
    wanted: str
    now: str | None

    @property
    def state(self) -> State:
        if self.now is None:
            return "new"
        if not self.now.startswith(MARK):
            return "foreign"
        return "same" if self.now == self.wanted else "changed"

    def diff(self) -> str:
        before = (self.now or "").splitlines(keepends=True)
        names = ("/dev/null" if self.now is None else self.name, self.name)
        return "".join(unified_diff(before, self.wanted.splitlines(keepends=True), *names))

    def write(self) -> None:
        """Whole or not at all. Raises: OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.new")
        beside.write_text(self.wanted, encoding="latin-1", newline="\n")
        os.replace(beside, self.path)  # noqa: PTH105


def ours(tree: Tree, settings: Settings) -> list[Ours]:
    """Raises: OSError, for a file that is there and cannot be read."""
    maps = hostable(tree, settings)
    texts = {
        CORE_CONF: _core(tree, settings, maps),
        FALLBACK_CONF: _fallback(settings, maps),
        OUR_BATTLE_CONF: battle_text(),
    }
    return [Ours(name, tree.place.path(name), text, _text(tree, name)) for name, text in texts.items()]


def foreign(files: list[Ours]) -> Iterator[Finding]:
    """Files in our place that are not ours."""
    for file in files:
        if file.state == "foreign":
            yield Finding(
                "must", "files", file.name, "not made by Kafra", "another name", file.name,
                "rename it: Kafra writes a file of this name, and changes none that is not its own",
            )  # fmt: skip


def found(tree: Tree, files: list[Ours], settings: Settings) -> list[Finding]:
    """`check`, and of what is open, what these files would put right if they were written.

    Raises: BadConf, OSError.
    """
    findings = check(tree, settings)
    if any(file.state == "foreign" for file in files):
        return findings
    place = replace(tree.place, instead={file.name: file.wanted.encode("latin-1") for file in files})
    left = {(after.server, after.key) for after in check(Tree.at(place), settings) if after.severity != "ok"}
    return [
        replace(finding, by_write=finding.severity != "ok" and (finding.server, finding.key) not in left)
        for finding in findings
    ]


def _text(tree: Tree, name: str) -> str | None:
    data = tree.place.read(name)
    return None if data is None else data.decode("latin-1")


def _core(tree: Tree, settings: Settings, maps: tuple[str, ...]) -> str:
    """`delmap` takes out one at a time: a map that stands in the list twice is taken out twice."""
    listed = tree.own.maps()
    out = chain.from_iterable([f"delmap: {name}"] * listed.count(name) for name in maps)
    return _lines(
        "// The core map-server: your own, without the maps that hosts may serve.",
        f"// Start: {start_line(CORE_CONF)}",
        f"import: {MAP_CONF}",
        "",
        *_server(settings, "vps.core", settings.vps.core),
        "",
        "// The fallback has these (maps.eligible).",
        *out,
    )


def _fallback(settings: Settings, maps: tuple[str, ...]) -> str:
    return _lines(
        "// The fallback map-server: every map that hosts may serve, for when none does.",
        f"// Start: {start_line(FALLBACK_CONF)}",
        f"import: {MAP_CONF}",
        "",
        *_server(settings, "vps.fallback", settings.vps.fallback),
        "",
        "// These alone (maps.eligible).",
        "delmap: all",
        *(f"map: {name}" for name in maps),
    )


def battle_text() -> str:
    return _lines(
        "// For both map-servers: yours, and nobody is kept after a fight when his map moves.",
        f"import: {BATTLE_CONF}",
        "",
        "prevent_logout: 0",
    )


def _server(settings: Settings, key: str, address: str) -> Iterator[str]:
    char_ip, char_port = connectable(settings.bridge.map_servers)
    map_ip, map_port = split(address)
    yield from ("// The bridge is its char-server (bridge.map_servers).", f"char_ip: {char_ip}", f"char_port: {char_port}")
    yield from (f"// Where the relay reaches it, and nobody else ({key}).", f"bind_ip: {map_ip}")
    yield from (f"map_ip: {map_ip}", f"map_port: {map_port}")
    yield from ("// What a death may cost.", f"autosave_time: {AUTOSAVE_S}", f"minsave_time: {MINSAVE_MS}")
    yield from (f"save_settings: {SAVE_ALL}", "console: off")


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in (MARK, *lines))
