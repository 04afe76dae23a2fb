"""rAthena's `key: value` configuration files, read as its servers read them: imports in place, a later line wins.

In: a file's name and a function that gives its bytes. Out: a `Conf`, every line of it and of what it imports in order, with the
file and line it came from. Also the two files of another form: the list of map names, and the char-server's subnets.

Source: map_config_read, char_config_read, battle_config_read, mapindex_init and char_lan_config_read of rAthena 754c50b59. The
servers cut lines at 1,023 bytes; this does not.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

FILES_MAX: Final = 256
"""Stock rAthena reads 21 for its battle settings; bounds files that import one another many times."""
DEPTH_MAX: Final = 16
FILE_BYTES_MAX: Final = 1 << 20
"""The longest of stock rAthena, the list of maps, has 20 KB."""
LINES_MAX: Final = 200_000
MAP_NAME_CHARACTERS: Final = 11
_ON: Final = frozenset({"on", "yes", "oui", "ja", "si", "sim"})
_OFF: Final = frozenset({"off", "no", "non", "nein", "nao"})
_LEADING_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]{1,18})")

Read = Callable[[str], bytes | None]
"""A file's bytes by its name as rAthena writes it, from the directory its servers are started in; None: not there."""


class BadConf(Exception):
    """These files cannot be read, or never end. Give up; the text names the file and says what is wrong."""


class Setting(NamedTuple):
    """One line. key: in small letters. value: without the comment behind it. file: as it was imported; line: from 1."""

    key: str
    value: str
    file: str
    line: int


class Missing(NamedTuple):
    """An import of what is not there; rAthena goes on without it."""

    name: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Conf:
    """name: of the first file. settings: in the order in which they count. files: all that were read."""

    name: str
    settings: tuple[Setting, ...]
    missing: tuple[Missing, ...]
    files: tuple[str, ...]

    def last(self, key: str) -> Setting | None:
        """The one that counts; None where the server takes its default."""
        return next((setting for setting in reversed(self.settings) if setting.key == key), None)

    def text(self, key: str, default: str = "") -> str:
        setting = self.last(key)
        return default if setting is None else setting.value

    def number(self, key: str, default: int) -> int:
        setting = self.last(key)
        return default if setting is None else number(setting.value)

    def maps(self) -> tuple[str, ...]:
        """What `map:` and `delmap:` leave, in order; a map that stands there twice is there twice, as in the server."""
        left: list[str] = []
        for setting in self.settings:
            if setting.key not in ("map", "delmap"):
                continue
            if setting.value.lower() == ("clear" if setting.key == "map" else "all"):
                left.clear()
            elif setting.key == "map":
                left.append(map_name(setting.value))
            elif (name := map_name(setting.value)) in left:
                left.remove(name)
        return tuple(left)


class Subnet(NamedTuple):
    """Clients whose address lies in network/mask are told `map_ip` instead of the map-server's. All IPv4, as numbers."""

    network: int
    mask: int
    map_ip: int
    line: int


def read_conf(name: str, read: Read) -> Conf:
    """A file with all it imports.

    Raises: BadConf, where the file is not there, a file imports itself, or the files are too many or too large.
    """
    reading = _Reading(read)
    if not reading.enter(name, ()):
        raise BadConf(f"{name}: not there")
    return Conf(name, tuple(reading.settings), tuple(reading.missing), tuple(dict.fromkeys(reading.files)))


def map_index(data: bytes) -> frozenset[str]:
    """The names in a map_index.txt: one a line, a number may follow."""
    words = (line.split(None, 1) for _, line in _lines(data) if not line.startswith("//"))
    return frozenset(map_name(found[0][:MAP_NAME_CHARACTERS]) for found in words if found)


def subnets(data: bytes) -> tuple[Subnet, ...]:
    """The lines of a subnet_athena.conf that the char-server accepts, in the order it asks them."""
    found = []
    for at, line in _lines(data):
        words = [word.strip() for word in line.split(":")]
        if line.startswith("//") or len(words) != 4 or words[0].lower() != "subnet":
            continue
        numbers = [ipv4(word) for word in words[1:]]
        if None in numbers:
            continue
        mask, char_ip, map_ip = (number or 0 for number in numbers)
        if char_ip & mask == map_ip & mask:
            found.append(Subnet(char_ip & mask, mask, map_ip, at))
    return tuple(found)


def ipv4(text: str) -> int | None:
    """a.b.c.d as a number; None for another form."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) <= 3 and int(part) < 256 for part in parts):
        return None
    return int.from_bytes(bytes(map(int, parts)), "big")


def number(text: str) -> int:
    """As C's atoi: the number it begins with, 0 for none."""
    found = _LEADING_NUMBER.match(text)
    return int(found[1]) if found else 0


def switch(text: str) -> bool:
    """on, yes and their like, or a number that is not 0."""
    word = text.lower()
    return word in _ON or (word not in _OFF and number(text) != 0)


def map_name(text: str) -> str:
    """As the servers keep it: without .gat, and cut."""
    bare = text[:-4] if text[-4:].lower() == ".gat" else text
    return bare[:MAP_NAME_CHARACTERS]


class _Reading:
    """What was read so far."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.settings: list[Setting] = []
        self.missing: list[Missing] = []
        self.files: list[str] = []

    def enter(self, name: str, within: tuple[str, ...]) -> bool:
        """within: the files that led here, outermost first. False: not there."""
        if name in within:
            raise BadConf(f"{within[-1]}: imports {name}, which led to it: {' -> '.join((*within, name))}")
        if len(within) >= DEPTH_MAX or len(self.files) >= FILES_MAX:
            raise BadConf(f"{within[-1]}: too many imports, at most {FILES_MAX} files and {DEPTH_MAX} in one another")
        data = self._read(name)
        if data is None:
            return False
        if len(data) > FILE_BYTES_MAX:
            raise BadConf(f"{name}: larger than {FILE_BYTES_MAX} bytes, so no configuration")
        self.files.append(name)
        for line, text in _lines(data):
            self._take(text, name, line, (*within, name))
        return True

    def _take(self, text: str, file: str, line: int, within: tuple[str, ...]) -> None:
        key, colon, value = text.partition("//")[0].partition(":")
        value = value.lstrip().partition("\t")[0].rstrip(" ")
        if not colon or not key or not value:
            return
        if key.lower() == "import":
            if not self.enter(value, within):
                self.missing.append(Missing(value, file, line))
            return
        if len(self.settings) >= LINES_MAX:
            raise BadConf(f"{file}: more than {LINES_MAX} settings with all that is imported")
        self.settings.append(Setting(key.lower(), value, file, line))


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Latin-1 has a letter for every byte: what rAthena takes as bytes stays what it is, whatever the encoding."""
    text = data.decode("latin-1")
    return ((at, line.partition("\0")[0].rstrip("\r")) for at, line in enumerate(text.split("\n"), 1))
