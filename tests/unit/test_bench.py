"""The pure helpers of bench/: ratios, percentiles, tables. No timed assertion: `make bench` and `make prove` measure."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.figures import Bound, Figure, Target, percentile, rounded
from bench.machine import cpu_model
from bench.prove import document, failures, proof_table
from bench.rows import ROWS, Proof, demo_summary
from bench.running import Ended, command, junit_counts

GOOD = Proof("seeds", "5,000, 0 failed", "5,000 seeds, 0 failed", ok=True)
MISSED = Proof("latency", "at most 1.5 times the bare", "1.7 times", ok=False, note="look here")
MACHINE = {"cpu": "Test CPU", "cores": 2}


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_the_nearest_rank_whatever_the_order(share: float, expected: int):
    samples = [float(number) for number in range(100, 0, -1)]

    assert percentile(samples, share) == expected


def test_a_percentile_of_one_sample_is_that_sample():
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_a_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


def test_a_ratio_is_that_of_the_medians_so_that_one_wild_run_does_not_count():
    figure = Figure("enter", "latency", "us", kafra=[300.0, 310.0, 9_000.0], bare=[1.0, 200.0, 210.0])

    assert figure.ratio == 310 / 200


@pytest.mark.parametrize(
    ("target", "met", "missed"), [(Target("at most", 1.5), 1.5, 1.51), (Target("at least", 0.6), 0.6, 0.59)]
)
def test_a_target_is_met_at_its_bound_and_missed_beyond(target: Target, met: float, missed: float):
    assert target.met_by(met)
    assert not target.met_by(missed)


def test_a_figure_without_a_target_is_neither_met_nor_missed():
    assert Figure("follow", "rate", "per s", [2.0], [1.0]).ok is None


def test_a_figure_shows_the_ratio_of_each_pair_of_runs():
    shown = Figure("enter", "latency", "us", [300.0, 600.0], [100.0, 400.0], Target("at most", 1.5)).as_dict()

    assert shown["runs"]["ratio"] == [3.0, 1.5]
    assert shown["ok"] is False
    assert shown["target"] == "at most 1.5 times the bare"
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize(("value", "expected"), [(123_456.0, 123_500.0), (0.00123456, 0.001235), (0.0, 0.0)])
def test_figures_keep_four_digits(value: float, expected: float):
    assert rounded(value) == expected


def test_the_cpu_model_is_read_from_cpuinfo():
    assert cpu_model("processor\t: 0\nmodel name\t: Fast One @ 3: 2\nmodel name\t: other\n") == "Fast One @ 3: 2"


def test_one_missed_row_fails_the_whole():
    assert failures([GOOD, MISSED]) == [MISSED]
    assert document(MACHINE, [GOOD, MISSED], quick=False)["ok"] is False
    assert document(MACHINE, [GOOD], quick=False)["ok"] is True


def test_the_table_shows_every_row_and_the_machine():
    out = io.StringIO()

    Console(file=out, width=160).print(proof_table(MACHINE, [GOOD, MISSED], quick=False))
    text = out.getvalue()

    assert "Test CPU" in text
    assert [word in text for word in ("5,000 seeds, 0 failed", "1.7 times", "ok", "MISSED")] == [True] * 4


def test_every_row_has_a_name_of_its_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_tests_are_counted_from_a_junit_file(tmp_path: Path):
    junit = tmp_path / "junit.xml"
    junit.write_text('<testsuites><testsuite tests="9" failures="1" errors="2" skipped="3"/></testsuites>')

    assert junit_counts(junit) == (3, 3, 3)
    assert junit_counts(tmp_path / "none.xml") == (0, 0, 0)


def test_the_demos_summary_is_found_in_its_last_line_or_in_a_document_of_many():
    one = json.dumps({"ok": True, "players": 8, "findings_count": 0})

    for lines in ([json.dumps({"tick": 1}), one], json.dumps(json.loads(one), indent=2).splitlines()):
        assert demo_summary(Ended(0, lines, "", 1.0)) == "players 8, findings_count 0"
    assert demo_summary(Ended(70, [], "boom", 1.0)) == "no summary"


async def test_a_command_is_asked_to_end_at_the_line_waited_for():
    script = "import signal; print('ready', flush=True); signal.pause()"

    ended = await command(sys.executable, "-c", script, timeout_s=30, until=lambda line: line == "ready")

    assert ended.lines == ["ready"]
    assert ended.code != 0


def test_a_floor_is_of_the_figure_itself_whatever_the_bare_one_is():
    met = Figure("saves", "saves", "MB a minute", [200.0], [50_000.0], Bound("at least", 200.0))
    missed = Figure("saves", "saves", "MB a minute", [199.0], [1.0], Bound("at least", 200.0))

    assert (met.ok, missed.ok) == (True, False)
    assert met.as_dict()["target"] == "at least 200"
