"""rAthena's script files, split into what they define; nothing in a script is understood but where it ends.

In: a file's bytes. Out: `Definition`s in order, each with the map it is on. Also the elements of a YAML database, for
the one that places NPCs (barters).

Source: npc_parsesrcfile, npc_skip_script and skip_space of rAthena 754c50b59. What the server skips in silence is skipped here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

MAP_NAME_MAX: Final = 15
"""Of what stands before the first comma; the server cuts there."""
PLAYER_LABELS: Final = re.compile(r"\bOn(PC\w+Event|NPCKillEvent)\s*:")
"""What the server calls for a player, wherever the script is."""
_BLANK: Final = re.compile(r"(?:[ \t\r\n\v\f]+|//[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_TOKEN: Final = re.compile(
    r'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:[^"\\\n]|(?<![\x7f-\xff])\\[^\0]|(?<=[\x7f-\xff])\\)*"|[{}"]', re.DOTALL
)
"""A backslash behind the first half of a two-byte letter is its second half."""
_QUOTED: Final = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_DUPLICATE: Final = re.compile(r"duplicate\((.*)\)", re.IGNORECASE)
_BODY: Final = re.compile(r"(?m)^Body:.*\n")
_TOP_LEVEL: Final = re.compile(r"(?m)^[A-Za-z]")
_BLOCK: Final = re.compile(r"(?m)^(?=  - )")
_FIELD: Final = re.compile(r"(?m)^(?:  - |    )(\w+): *(\"[^\"\n]*\"|'[^'\n]*'|[^#\n]*)")

Kind = Literal["function", "floating", "placed"]


class BadScript(Exception):
    """The server stops reading the file here. Give up; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Definition:
    """kind: a function; a script, shop or event without a map; or anything on a map. map: empty without one. name: under which
    scripts know it, empty for monsters, warps and flags. source: whose script it repeats, empty for none. text: all of it."""

    kind: Kind
    map: str
    name: str
    source: str
    text: str

    @property
    def words(self) -> frozenset[str]:
        """Every quoted string in it, and the first half of those that name an event (`Name::OnLabel`)."""
        found = set(_QUOTED.findall(self.text))
        return frozenset(found | {text.partition("::")[0] for text in found if "::" in text})

    @property
    def is_for_players(self) -> bool:
        """The server runs it for players of any map: by an event of theirs, or a command."""
        return PLAYER_LABELS.search(self.text) is not None or "bindatcmd" in self.text


def definitions(data: bytes) -> Iterator[Definition]:
    """
    Raises: BadScript, after those before it.
    """
    text = data.decode("latin-1").partition("\0")[0]
    if text.startswith("\xef\xbb\xbf"):
        raise BadScript("line 1: a byte order mark; the server reads nothing of such a file")
    at = _after_blanks(text, 0)
    while at < len(text):
        line_end = _line_end(text, at)
        line = text[at:line_end].rstrip("\r")
        words = line.split("\t", 3)
        if len(words) < 3:
            raise BadScript(f"line {_line(text, at)}: no definition: {line[:60]!r}")
        is_script = len(words) > 3 and words[1].lower().startswith("script")
        end = _script_end(text, at) if is_script else line_end
        yield _definition(words, text[at:end])
        # Behind a script's end the server reads on in the same line, or in the next: nothing else stands there.
        at = _after_blanks(text, end)


def yaml_blocks(text: str) -> tuple[str, list[str], str]:
    """A YAML database of rAthena: what stands before its list, each element from its `  - ` to the next, and what follows.
    Joined they are the text."""
    body = _BODY.search(text)
    if body is None:
        return text, [], ""
    after = _TOP_LEVEL.search(text, body.end())
    end = len(text) if after is None else after.start()
    before, *blocks = _BLOCK.split(text[body.end() : end])
    return text[: body.end()] + before, blocks, text[end:]


def yaml_field(block: str, name: str) -> str:
    """A plain value of one block's own level; empty where it has none."""
    return next((value.strip().strip("\"'") for key, value in _FIELD.findall(block) if key == name), "")


def _definition(words: list[str], text: str) -> Definition:
    first, second, third, *_ = words
    name = third.partition("::")[2] or third
    source = found[1] if (found := _DUPLICATE.match(second)) else ""
    if first.lower() == "function":
        return Definition("function", "", third, "", text)
    if first == "-":
        return Definition("floating", "", name, source, text)
    named = second.lower() not in ("monster", "boss_monster", "mapflag", "warp", "warp2")
    return Definition("placed", first.partition(",")[0][:MAP_NAME_MAX], name if named else "", source, text)


def _script_end(text: str, at: int) -> int:
    """Behind the bracket that closes the first one."""
    start = text.find("{", at)
    if start < 0 or start > _line_end(text, at):
        raise BadScript(f"line {_line(text, at)}: a script without {{ in its first line")
    depth = 1
    for token in _TOKEN.finditer(text, start + 1):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return token.end()
        elif token[0] == '"':
            raise BadScript(f"line {_line(text, token.start())}: a string that does not end in its line")
    raise BadScript(f"line {_line(text, at)}: a script that does not end")


def _after_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
