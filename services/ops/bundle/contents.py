"""What a host needs of an rAthena tree, file by file. In: a tree and the settings. Out: `Contents`, nothing written.

Everything is named here: what is not, stays with the operator. Passwords and addresses are in the files that are left out or
written anew (inter_athena.conf, packet_athena.conf, log_athena.conf, the map-server's own); `_leaks` looks once more.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from libs.bundle.manifest import Platform
from libs.config import Settings
from libs.rathena.conf import Conf, read_conf, switch
from libs.rathena.mapcache import BadMapCache, map_names, only
from services.ops.bundle.pruning import pruned, pruned_barters, script_files
from services.ops.rathena.check import AUTOSAVE_S, MINSAVE_MS, SAVE_ALL
from services.ops.rathena.maps import hostable
from services.ops.rathena.ours import battle_text
from services.ops.rathena.tree import BATTLE_CONF, INTER_CONF, OUR_BATTLE_CONF, Tree

HOST_CONF: Final = "conf/import/kafra_host.conf"
"""What a host's map-server imports; who it is, where it listens and which map it serves is the agent's to add."""
FILE_BYTES_MAX: Final = 64 << 20
"""Of one script or database; stock rAthena's largest has 4 MB."""
SCRIPT_CONF, PACKET_CONF, LOG_CONF = "conf/script_athena.conf", "conf/packet_athena.conf", "conf/log_athena.conf"
MAIN_SCRIPTS: Final = {"re": "npc/re/scripts_main.conf", "pre-re": "npc/pre-re/scripts_main.conf"}
MODES: Final = {"re": "Renewal", "pre-re": "Prerenewal"}
BARTERS: Final = "npc/barters.yml"
MESSAGES: Final = "conf/msg_conf"
NO_LOGS: Final = (
    "enable_logs: 0", "sql_logs: no", "log_branch: no", "log_zeny: 0", "log_cash: no", "log_mvpdrop: no", "log_commands: no",
    "log_npc: no", "log_chat: 0", "log_feeding: 0",
)  # fmt: skip
GROUPS: Final = ("program", "lib", "db", "conf", "npc")
SECRET_CHARACTERS_MIN: Final = 5
_PATH: Final = re.compile(r"(?m)^ *- Path: *(\S+)[ \t]*(?:\r?\n +Mode: *(\w+))?")
_COMMENT_LINE: Final = re.compile(rb"(?m)^#[^\n]*(?:\n|\Z)")
"""From the first column: within a script of a database a # there is not at the first column."""
_DEFAULT_SECRETS: Final = frozenset({"p1", "ragnarok"})


class CannotBundle(Exception):
    """Hosts could not do with it, or would learn what they must not. Give up; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Content:
    """One file. path: in the bundle, as rAthena writes it. mode: 0o644 or 0o755."""

    path: str
    data: bytes
    mode: int = 0o644
    platform: Platform = ""


@dataclass
class Contents:
    """maps: hosts may serve them, and a map cache has them. scripts_kept, scripts_dropped: definitions. notes: for people."""

    files: list[Content] = field(default_factory=list)
    maps: tuple[str, ...] = ()
    scripts_kept: int = 0
    scripts_dropped: int = 0
    notes: list[str] = field(default_factory=list)


Step = Callable[[str], None]


def contents(tree: Tree, settings: Settings, mode: str, step: Step) -> Contents:
    """The texts and databases; programs are added by `programs`. mode: re or pre-re, as the map-server was built. step(what):
    said before each part.

    Raises: CannotBundle, BadConf, OSError.
    """
    gathering = _Gathering(tree, mode)
    _refuse_sql(tree)
    step("databases")
    gathering.databases()
    hosted = gathering.map_caches(hostable(tree, settings))
    step("configuration")
    gathering.configuration()
    step("scripts")
    gathering.scripts(hosted)
    made = gathering.made
    made.maps = tuple(sorted(hosted))
    _refuse_leaks(made.files, tree)
    return made


class _Gathering:
    def __init__(self, tree: Tree, mode: str) -> None:
        self.made = Contents()
        self._tree, self._mode = tree, mode
        self._db = tree.own.text("db_path", "db")
        self._have: set[str] = set()

    def databases(self) -> None:
        for folder in (self._db, f"{self._db}/{self._mode}", f"{self._db}/import"):
            for name in self._list(folder, (".yml", ".txt")):
                self._take_yaml(name) if name.endswith(".yml") else self._take(name)

    def map_caches(self, wanted: tuple[str, ...]) -> frozenset[str]:
        """The three files the server reads, whatever db_path is; cut down. Returns: the wanted maps that are in one."""
        there: set[str] = set()
        for folder in ("db", f"db/{self._mode}", "db/import"):
            name = f"{folder}/map_cache.dat"
            if (data := self._read(name)) is None:
                continue
            try:
                there |= frozenset(wanted).intersection(map_names(data))
                self._put(name, only(data, frozenset(wanted)))
            except BadMapCache as error:
                raise CannotBundle(f"{name}: {error}") from None
        if not there:
            raise CannotBundle("no map that hosts may serve (maps.eligible) is in db/map_cache.dat")
        if missing := sorted(set(wanted) - there):
            self.made.notes.append(f"in no map cache, so on no host: {', '.join(missing)}")
        return frozenset(there)

    def configuration(self) -> None:
        own = self._tree.own
        for name in (BATTLE_CONF, SCRIPT_CONF):
            self._take_conf(name)
        for name in self._list(MESSAGES, (".conf",)):
            if PurePosixPath(name).name.startswith("map_msg"):
                self._take_conf(name)
        for name in ("conf/atcommands.yml", "conf/groups.yml"):
            self._take_yaml(name)
        kept = {
            "motd_txt": own.text("motd_txt", "conf/motd.txt"),
            "charhelp_txt": own.text("charhelp_txt", "conf/charhelp.txt"),
            "channel_conf": own.text("channel_conf", "conf/channels.conf"),
        }
        for name in kept.values():
            self._take(name)
        self._text(OUR_BATTLE_CONF, battle_text())
        self._text(INTER_CONF, "use_sql_db: no\n")
        self._text(PACKET_CONF, "enable_ip_rules: no\n")
        self._text(LOG_CONF, "".join(f"{line}\n" for line in NO_LOGS))
        self._text(HOST_CONF, "".join(f"{line}\n" for line in _host_conf(self._db, kept)))

    def scripts(self, hosted: frozenset[str]) -> None:
        main = MAIN_SCRIPTS[self._mode]
        listed = read_conf(main, self._tree.place.read)
        self.made.notes += [f"{missing.file}:{missing.line}: {missing.name} is not there" for missing in listed.missing]
        sources = []
        for name in script_files([*self._tree.own.settings, *listed.settings]):
            if (data := self._read(name)) is None:
                self.made.notes.append(f"{name}: not there")
            else:
                sources.append((name, data))
        result = pruned(sources, hosted, self._tree.index or frozenset(self._tree.game))
        self.made.scripts_kept, self.made.scripts_dropped = result.kept, result.dropped
        self.made.notes += result.troubles
        self._text(main, "".join(f"npc: {name}\n" for name in result.files))
        for name, data in result.files.items():
            self._put(name, data)
        self._take_yaml(BARTERS, lambda text: pruned_barters(text, hosted, result.words))

    def _take_conf(self, name: str) -> None:
        """With all it imports. A file that is not there is the server's to do without."""
        if self._read(name) is None:
            return
        for file in read_conf(name, self._tree.place.read).files:
            self._take(file)

    def _take_yaml(self, name: str, change: Callable[[str], str] = lambda text: text) -> None:
        """With all it imports, without the operator's comments."""
        if name in self._have or (data := self._read(name)) is None:
            return
        text = change(_COMMENT_LINE.sub(b"", data).decode("latin-1"))
        self._text(name, text)
        for path, mode in _PATH.findall(text):
            if not mode or mode == MODES[self._mode]:
                self._take_yaml(path, change)

    def _take(self, name: str) -> None:
        if name not in self._have and (data := self._read(name)) is not None:
            self._put(name, data)

    def _text(self, name: str, text: str) -> None:
        self._put(name, text.encode("latin-1"))

    def _put(self, name: str, data: bytes) -> None:
        if name not in self._have:
            self._have.add(name)
            self.made.files.append(Content(name, data))

    def _list(self, folder: str, suffixes: tuple[str, ...]) -> list[str]:
        at = self._tree.place.path(folder)
        found = sorted(at.iterdir()) if at.is_dir() else []
        return [f"{folder}/{path.name}" for path in found if path.suffix in suffixes and path.is_file()]

    def _read(self, name: str) -> bytes | None:
        """Raises: CannotBundle, for what is too large to be a text of rAthena's."""
        path = self._tree.place.path(name)
        if not path.is_file():
            return None
        if path.stat().st_size > FILE_BYTES_MAX:
            raise CannotBundle(f"{name}: larger than {FILE_BYTES_MAX >> 20} MiB")
        return path.read_bytes()


def _host_conf(db_path: str, kept: dict[str, str]) -> Iterator[str]:
    yield "// For a host's map-server: the operator's game, nobody's addresses."
    yield f"db_path: {db_path}"
    yield from (f"{key}: {value}" for key, value in kept.items())
    yield from (f"autosave_time: {AUTOSAVE_S}", f"minsave_time: {MINSAVE_MS}", f"save_settings: {SAVE_ALL}")
    yield from ("console: off", "console_silent: 0", "console_msg_log: 0", "stdout_with_ansisequence: no")
    yield from ("enable_spy: no", "use_grf: no")


def _refuse_sql(tree: Tree) -> None:
    """Databases in SQL are not in the tree."""
    if tree.inter is not None and switch(tree.inter.text("use_sql_db", "no")):
        raise CannotBundle(
            "use_sql_db is on: hosts have no database, and would have other items and monsters than you. Use yml."
        )
    if switch(tree.own.text("use_grf", "no")):
        raise CannotBundle("use_grf is on: hosts have no GRF files. Make a map cache with rAthena's mapcache, and turn it off.")


def _refuse_leaks(files: Iterable[Content], tree: Tree) -> None:
    """No file may hold a password of the operator's servers."""
    known = {secret.encode("latin-1"): where for conf in (tree.own, tree.char, tree.inter) for secret, where in _secrets(conf)}
    if not known:
        return
    pattern = re.compile(b"|".join(re.escape(secret) for secret in sorted(known, key=len, reverse=True)))
    for content in files:
        if (found := pattern.search(content.data)) is not None:
            raise CannotBundle(
                f"{content.path} holds the value of {known[found[0]]}, and players would get it: "
                "take it out of that file, or set another"
            )


def _secrets(conf: Conf | None) -> Iterator[tuple[str, str]]:
    for setting in () if conf is None else conf.settings:
        is_secret = setting.key == "passwd" or setting.key.endswith(("_pw", "_passwd", "_password"))
        if is_secret and len(setting.value) >= SECRET_CHARACTERS_MIN and setting.value not in _DEFAULT_SECRETS:
            yield setting.value, f"{setting.key} ({setting.file}:{setting.line})"
