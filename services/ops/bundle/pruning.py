"""Which of the operator's scripts hosts get: those of the maps they may serve, and what these need. Pure.

In: script files in the order the server reads them. Out: the same files without the rest. The server skips what is on a map
it has not loaded, so a host misses nothing that it would have had with the whole tree. Scripts without a map: `_stays`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from libs.rathena.conf import Setting
from libs.rathena.npc import BadScript, Definition, definitions, yaml_blocks, yaml_field

MARK: Final = "// For hosts: what maps they may serve have need of.\n"


@dataclass
class Pruned:
    """files: name -> contents, those with anything left. kept, dropped: definitions. troubles: `file: what`, for people."""

    files: dict[str, bytes] = field(default_factory=dict)
    kept: int = 0
    dropped: int = 0
    troubles: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)


def pruned(sources: Iterable[tuple[str, bytes]], hosted: frozenset[str], world: frozenset[str]) -> Pruned:
    """hosted: the maps hosts may serve. world: every map there is."""
    made = Pruned()
    found: list[tuple[str, Definition]] = []
    for name, data in sources:
        try:
            found.extend((name, definition) for definition in definitions(data))
        except BadScript as error:
            made.troubles.append(f"{name}: {error}")
    kept = _kept([definition for _, definition in found], hosted, world)
    texts: dict[str, list[str]] = {}
    for (name, definition), keep in zip(found, kept, strict=True):
        if keep:
            texts.setdefault(name, []).append(definition.text.rstrip())
            made.words |= definition.words
    made.kept, made.dropped = sum(kept), len(kept) - sum(kept)
    made.files = {name: (MARK + "\n".join(lines) + "\n").encode("latin-1") for name, lines in texts.items()}
    return made


def pruned_barters(text: str, hosted: frozenset[str], words: set[str]) -> str:
    """The list of barter shops: those on these maps, and those without a map that a kept script names."""

    def is_kept(block: str) -> bool:
        on = yaml_field(block, "Map")
        return on in hosted if on else yaml_field(block, "Name") in words

    before, blocks, after = yaml_blocks(text)
    left = [block for block in blocks if is_kept(block)]
    if not left:
        before = before.replace("Body:", "", 1) if blocks else before
    return before + "".join(left) + after


def _kept(all_: Sequence[Definition], hosted: frozenset[str], world: frozenset[str]) -> list[bool]:
    """By rounds: what was kept may name more."""
    kept = [definition.kind == "function" or definition.map in hosted for definition in all_]
    repeated = {definition.source for definition in all_ if definition.source}
    words = {at: definition.words for at, definition in enumerate(all_) if definition.kind == "floating"}
    named: set[str] = set()
    for definition, keep in zip(all_, kept, strict=True):
        if keep:
            named |= definition.words | {definition.source}
    while True:
        more = [at for at in words if not kept[at] and _stays(all_[at], words[at], named, repeated, hosted, world)]
        if not more:
            return kept
        for at in more:
            kept[at] = True
            named |= words[at] | {all_[at].source}


def _stays(
    definition: Definition,
    words: frozenset[str],
    named: set[str],
    repeated: set[str],
    hosted: frozenset[str],
    world: frozenset[str],
) -> bool:
    """Stays: what a kept script names or repeats, what the server runs for players of any map, and what belongs to no map.
    Goes: what only other maps' NPCs repeat, and what names other maps alone."""
    if definition.name in named or definition.is_for_players:
        return True
    maps = {word.removesuffix(".gat") for word in words} & world
    if maps:
        return not maps.isdisjoint(hosted)
    return definition.name not in repeated and not (definition.source and definition.source not in named)


def script_files(settings: Iterable[Setting]) -> tuple[str, ...]:
    """The script files that `npc:` and `delnpc:` leave, in the order the server reads them, each once."""
    left: dict[str, None] = {}
    for setting in settings:
        if setting.key not in ("npc", "delnpc"):
            continue
        if setting.value.lower() == ("clear" if setting.key == "npc" else "all"):
            left.clear()
        elif setting.key == "npc":
            left.setdefault(setting.value)
        else:
            left.pop(setting.value, None)
    return tuple(left)
