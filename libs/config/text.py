"""libconfig text -> plain values, and the line of each key.

In: the bytes of a configuration file. Out: `Text`. Called by loading.
The parser is libconf's, and so are the tokens the lines come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import libconf

from libs.config.findings import ConfigError, Finding, shown

Path = tuple[str | int, ...]  # ("maps", "never", 3): keys, and the index within a list

BYTES_MAX = 1 << 20  # the shipped file has 13 KiB; anything this large is not a configuration
DEPTH_MAX = 16  # the deepest shipped key is at 3; keeps the recursive parser off the stack's end
INTEGER_BITS = 64  # libconfig's own limit

SYNTAX = "libconfig syntax, e.g. group: { key = value; };"


@dataclass(frozen=True)
class Text:
    """values: nested dicts, lists and scalars. lines: of every key and list element, from 1. findings: what libconf
    lets pass and an operator would not mean, as a key set twice."""

    values: dict[str, Any]
    lines: dict[Path, int]
    findings: list[Finding]


def read(content: bytes, file: str) -> Text:
    """file: the name to show in findings.

    Raises: ConfigError, when the text is no libconfig text.
    """
    if len(content) > BYTES_MAX:
        raise ConfigError([Finding(file, None, "", "the file is too large", f"at most {BYTES_MAX} bytes")])
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise ConfigError([Finding(file, line, "", "this is not text", "UTF-8")]) from None
    tokens = _tokens(text, file)
    values = _plain(_parsed(tokens, file))
    index = _Index(file)
    for token in tokens:
        index.take(token)
    return Text(values, index.lines, index.findings)


def _tokens(text: str, file: str) -> list[Any]:
    tokenizer, tokens = libconf.Tokenizer(file), []
    shift = 0  # libconf does not count the lines within a string
    depth = 0
    try:
        for token in tokenizer.tokenize(text):
            token.row += shift
            shift += token.text.count("\n")
            depth += (token.type in "({[") - (token.type in ")}]")
            if depth > DEPTH_MAX:
                raise ConfigError([Finding(file, token.row, "", "nested too deeply", f"{DEPTH_MAX} levels")])
            if isinstance(token, libconf.IntToken) and token.value.bit_length() >= INTEGER_BITS:
                raise ConfigError([Finding(file, token.row, "", "the number is too large", f"{INTEGER_BITS} bits")])
            tokens.append(token)
    except (libconf.ConfigParseError, ValueError):  # ValueError: a number or an escape that Python cannot convert
        line = tokenizer.row + shift
        source = text.split("\n")[line - 1].strip().partition('"')[0]  # what is quoted may be a password
        message = "@include is not supported" if source.startswith("@include") else f"syntax error in {shown(source)}"
        raise ConfigError([Finding(file, line, "", message, SYNTAX)]) from None
    return tokens


def _parsed(tokens: Sequence[Any], file: str) -> Any:
    stream = libconf.TokenStream(tokens)
    try:
        return libconf.Parser(stream).parse()
    except libconf.ConfigParseError:
        token = stream.peek()
        if token is None:
            last = tokens[-1].row if tokens else 1
            raise ConfigError([Finding(file, last, "", "syntax error: the file ends too early", SYNTAX)]) from None
        what = "a text" if token.type == "string" else shown(token.text)  # a text may be a password
        raise ConfigError([Finding(file, token.row, "", f"syntax error at {what}", SYNTAX)]) from None


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case libconf.LibconfInt64():
            return int(value)
        case _:
            return value


@dataclass
class _Index:
    """Takes the tokens of a text that parsed, and notes the line of each key and list element."""

    file: str
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    open: list[Path] = field(default_factory=list)  # the path of each open bracket
    counts: list[int | None] = field(default_factory=list)  # the elements so far of each open list, None for a group
    at: Path = ()  # the key or element whose value comes next
    last_type: str = ""

    def take(self, token: Any) -> None:
        match token.type:
            case "name":
                self._key(token)
            case "{" | "[" | "(":
                self._element(token)
                self.open.append(self.at)
                self.counts.append(None if token.type == "{" else 0)
            case "}" | "]" | ")":
                self.open.pop()
                self.counts.pop()
            case "=" | ":" | ";" | ",":
                pass
            case _:
                self._element(token)
        self.last_type = token.type

    def _key(self, token: Any) -> None:
        self.at = (*self._inside(), token.text)
        if self.at in self.lines:
            message = f"set twice, first in line {self.lines[self.at]}"
            self.findings.append(Finding(self.file, token.row, dotted(self.at), message, "once"))
        self.lines[self.at] = token.row

    def _element(self, token: Any) -> None:
        """A value begins: in a list it is the next element."""
        if token.type == "string" == self.last_type:
            message = "a text follows another without a comma"
            self.findings.append(Finding(self.file, token.row, dotted(self.at), message))
        elif self.counts and (count := self.counts[-1]) is not None:
            self.at = (*self._inside(), count)
            self.counts[-1] = count + 1
            self.lines[self.at] = token.row

    def _inside(self) -> Path:
        return self.open[-1] if self.open else ()


def dotted(path: Path) -> str:
    """("maps", "never", 3) -> "maps.never"."""
    return ".".join(part for part in path if isinstance(part, str) and part != "[key]")
