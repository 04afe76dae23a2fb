"""Which maps the two map-servers have loaded, and which they should: a tree and the settings in, findings out. Pure."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from libs.config import MapRules, Settings
from libs.hosting.eligibility import MapList
from services.ops.rathena.finding import KAFRA_CONF, Finding, judged, some
from services.ops.rathena.tree import CORE_CONF, FALLBACK_CONF, MAP_CONF, Tree


def hostable(tree: Tree, settings: Settings) -> tuple[str, ...]:
    """The maps of this game that hosts may serve, in the order of the operator's list."""
    rules = MapList(settings.maps)
    return tuple(name for name in tree.game if rules.allows(name))


def check_maps(tree: Tree, settings: Settings) -> Iterator[Finding]:
    wanted = hostable(tree, settings)
    yield from _named(tree, settings)
    yield judged(
        bool(wanted), "must", "maps", "maps.eligible", found=f"{len(wanted)} of {len(tree.game)} maps", wanted="one at least",
        file=KAFRA_CONF, why="no map of this game may be hosted",
    )  # fmt: skip
    core, fallback = set(tree.core.maps()), set(tree.fallback.maps() if tree.fallback is not None else ())
    both = [name for name in wanted if name in core]
    yield judged(
        not both, "must", "core", "map", found=_loads(both, len(core)), wanted="none that hosts may serve", file=CORE_CONF,
        why="a map a server has itself it never leaves to another: players would go there and never come to the host",
    )  # fmt: skip
    if tree.fallback is not None:
        yield from _fallback(wanted, core, fallback)
        lost = [name for name in tree.game if name not in core | fallback | set(wanted)]
        yield judged(
            not lost, "must", "core", "map (rest)", found=f"without {some(lost)}" if lost else "every other map is there",
            wanted="your other maps", file=CORE_CONF, why=f"{MAP_CONF} has them; nobody could enter them any more",
        )  # fmt: skip


def _fallback(wanted: tuple[str, ...], core: set[str], fallback: set[str]) -> Iterator[Finding]:
    missing = [name for name in wanted if name not in fallback]
    yield judged(
        not missing, "must", "fallback", "map", found=f"without {some(missing)}" if missing else f"all {len(wanted)}",
        wanted="every map hosts may serve", file=FALLBACK_CONF, why="a map whose host is lost goes to it, at once",
    )  # fmt: skip
    twice = sorted((fallback & core) - set(wanted))
    yield judged(
        not twice, "must", "fallback", "map (others)", found=some(twice) or "none", wanted="none the core has",
        file=FALLBACK_CONF, why="loaded on both, a map is two: players on one do not see those on the other",
    )  # fmt: skip


def _named(tree: Tree, settings: Settings) -> Iterator[Finding]:
    """Names and globs of maps.eligible that say nothing here. The shipped list has some that stock rAthena has not: whoever
    keeps it has not asked for them."""
    if tree.index is None:
        yield Finding(
            "should", "maps", "map_index.txt", "not there", "the whole tree", "db/map_index.txt",
            "names could not be held against it",
        )  # fmt: skip
    game = set(tree.game)
    silent = [pattern for pattern in settings.maps.eligible_patterns if not any(fnmatchcase(name, pattern) for name in game)]
    shipped = [pattern for pattern in silent if pattern in MapRules().eligible_patterns]
    if shipped:
        yield Finding("ok", "maps", "maps.eligible (as shipped)", f"not in your game, nothing to do: {', '.join(shipped)}")
    silent = [pattern for pattern in silent if pattern not in shipped]
    unloaded = [pattern for pattern in silent if any(fnmatchcase(name, pattern) for name in tree.index or ())]
    unknown = [pattern for pattern in silent if pattern not in unloaded]
    for names, what, wanted, file in (
        (unloaded, "maps your server does not load", "loaded, or not named", f"{MAP_CONF} or {KAFRA_CONF}"),
        (unknown, "no map of this rAthena", "names of its maps", KAFRA_CONF),
    ):
        if names:
            why = f"maps.eligible names {what}: nothing is hosted for it"
            yield Finding("should", "maps", "maps.eligible", some(names), wanted, file, why)


def _loads(names: list[str], count: int) -> str:
    return some(names) if names else f"{count} maps, none of these"
