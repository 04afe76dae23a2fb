"""May this save pass? Pure: what a host says a character became, beside what it was.

First form: bounds that no honest server comes near, whatever its rates; what is possible in the game itself is a later matter.
The bridge asks before a save reaches the char-server (save.check).
"""

from typing import Final

from libs.events import SaveCheck, SaveVerdict

ZENY_MAX: Final = 2_147_483_647
"""MAX_ZENY of stock rAthena: what the field can hold."""
ZENY_PER_S: Final = 1_000_000
ZENY_AT_ONCE: Final = 100_000_000
"""A trade or a sale of everything one can carry."""
LEVELS_PER_S: Final = 5.0
LEVELS_AT_ONCE: Final = 10
ITEMS_MAX: Final = 30_000
"""MAX_AMOUNT of stock rAthena, of one kind in one place; several places may hold the same kind."""
PLACES_MAX: Final = 600
LEVELS: Final = ("base_level", "job_level")
NOT_NEGATIVE: Final = ("base_exp", "job_exp", "zeny", "status_point", "skill_point")


def judge(check: SaveCheck) -> SaveVerdict:
    """pass, or reject with the first rule that is broken."""
    wrong = _character(check) if check.kind == "character" else _storage(check)
    if wrong is None:
        return SaveVerdict(verdict="pass", reason="")
    return SaveVerdict(verdict="reject", reason=f"{check.kind}: {wrong}")


def _character(check: SaveCheck) -> str | None:
    after, seconds = check.after, check.elapsed_ms / 1000
    for name in NOT_NEGATIVE:
        if (value := _number(after.get(name))) is not None and value < 0:
            return f"{name} is {value}"
    zeny, before = _number(after.get("zeny")), _number(check.before.get("zeny"))
    if zeny is not None and zeny > ZENY_MAX:
        return f"zeny is {zeny}; at most {ZENY_MAX} exist"
    if zeny is not None and before is not None and zeny - before > ZENY_AT_ONCE + ZENY_PER_S * seconds:
        return f"zeny rose by {zeny - before} within {seconds:.0f} s"
    for name in LEVELS:
        level, was = _number(after.get(name)), _number(check.before.get(name))
        if level is not None and level < 1:
            return f"{name} is {level}"
        if level is not None and was is not None and level - was > LEVELS_AT_ONCE + LEVELS_PER_S * seconds:
            return f"{name} rose by {level - was} within {seconds:.0f} s"
    return None


def _storage(check: SaveCheck) -> str | None:
    for item, amount in check.after.items():
        number = _number(amount)
        if number is None or not 0 < number <= ITEMS_MAX * PLACES_MAX:
            return f"{amount} of item {item}"
    return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
