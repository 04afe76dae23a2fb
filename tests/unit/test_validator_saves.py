"""Saves of a host: what no honest server comes near does not pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import HostId, MapName, SaveCheck
from services.validator.saves import ZENY_MAX, judge

BEFORE = {"base_level": 50, "job_level": 40, "base_exp": 1000, "job_exp": 10, "zeny": 5_000}


def check(kind: str = "character", elapsed_ms: float = 5_000.0, before: dict | None = None, **after: int) -> SaveCheck:
    return SaveCheck(
        host=HostId("h1"),
        map=MapName("moc_fild01"),
        account_id=2_000_001,
        char_id=150_001,
        tenure=7,
        at_ms=1,
        elapsed_ms=elapsed_ms,
        kind=kind,
        before=BEFORE if before is None else before,
        after=(BEFORE if kind == "character" else {}) | after,
    )


@pytest.mark.parametrize(
    "after",
    [{}, {"base_level": 51, "base_exp": 3}, {"zeny": 90_000_000}, {"zeny": 0}, {"base_level": 1, "job_level": 1}],
    ids=["nothing new", "a level", "a large sale", "all spent", "a reset"],
)
def test_what_happens_in_the_game_passes(after: dict[str, int]) -> None:
    assert judge(check(**after)).verdict == "pass"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"zeny": -1}, "zeny is -1"),
        ({"zeny": ZENY_MAX + 1}, "at most"),
        ({"zeny": 2_000_000_000}, "rose by"),
        ({"base_level": 250}, "base_level rose"),
        ({"job_level": 0}, "job_level is 0"),
        ({"skill_point": -4}, "skill_point"),
    ],
)
def test_what_cannot_happen_is_rejected_and_said(after: dict[str, int], said: str) -> None:
    verdict = judge(check(**after))

    assert verdict.verdict == "reject"
    assert said in verdict.reason


def test_the_longer_it_took_the_more_may_have_happened() -> None:
    assert judge(check(elapsed_ms=0, zeny=150_000_000)).verdict == "reject"
    assert judge(check(elapsed_ms=60_000, zeny=150_000_000)).verdict == "pass"


def test_what_was_never_accepted_before_is_bounded_by_what_exists() -> None:
    assert judge(check(before={}, zeny=ZENY_MAX)).verdict == "pass"
    assert judge(check(before={}, zeny=ZENY_MAX + 1)).verdict == "reject"


def test_items_have_an_amount_that_fits_into_the_game() -> None:
    assert judge(check("inventory", **{"501": 30_000})).verdict == "pass"
    assert judge(check("inventory", **{"501": 0})).verdict == "reject"
    assert judge(check("inventory", **{"501": 10**9})).verdict == "reject"


@given(
    after=st.dictionaries(st.text(max_size=12), st.one_of(st.integers(), st.text(), st.none(), st.floats(), st.booleans())),
    kind=st.sampled_from(["character", "inventory", "cart", "storage", "x"]),
)
def test_whatever_is_offered_is_answered(after: dict, kind: str) -> None:
    request = SaveCheck(
        host=HostId("h1"),
        map=MapName("m"),
        account_id=1,
        char_id=1,
        tenure=0,
        at_ms=0,
        elapsed_ms=0.0,
        kind=kind,
        before=BEFORE,
        after=after,
    )

    assert judge(request).verdict in ("pass", "reject")
