"""What the agent measures of its machine: the real clock, cores and memory, and nothing that was not measured."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.runtime.clock import Clock
from services.agent import platforms, processor
from services.agent.machine import WINDOW, RealMachine
from services.agent.platforms import linux, macos, windows
from services.agent.processor import cpu_ghz, shown_ghz, stated_ghz
from services.agent.window import SAMPLES_MIN, Window

SECONDS = 0.03
ROOT = Path(__file__).parents[2]


def machine() -> RealMachine:
    return RealMachine("203.0.113.1", 6121, Clock(), random.Random(1))


def window_of(*samples_ms: float) -> Window:
    window = Window(1_000)
    for ms in samples_ms:
        window.add(ms)
    return window


def test_percentiles_want_a_few_samples_first():
    assert window_of(*[10.0] * (SAMPLES_MIN - 1)).p50_and_jitter() == (None, None)
    assert window_of(*[10.0] * SAMPLES_MIN).p50_and_jitter() == (10.0, 0.0)
    assert window_of(*map(float, range(101))).p50_and_jitter() == pytest.approx((50.0, 45.0))


@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(1, 50))
@settings(derandomize=True, deadline=None, database=None)
def test_percentiles_are_of_the_newest_and_between_them(samples_ms: list[float], size: int):
    window = Window(size)
    for ms in samples_ms:
        window.add(ms)

    p50_ms, jitter_ms = window.p50_and_jitter()
    newest = samples_ms[-size:]

    if len(newest) < SAMPLES_MIN:
        assert (p50_ms, jitter_ms) == (None, None)
    else:
        assert p50_ms is not None
        assert jitter_ms is not None
        assert min(newest) <= p50_ms <= p50_ms + jitter_ms <= max(newest) * (1 + 1e-9)


async def test_a_new_machine_says_only_what_it_has_measured():
    measured = machine().measure()

    assert (measured.address, measured.port) == ("203.0.113.1", 6121)
    assert (measured.latency_ms, measured.jitter_ms, measured.net_mbps, measured.packet_rate) == (None, None, None, None)
    assert (measured.cpu_ghz, measured.region_rtt_ms, measured.bundle) == (None, None, None)
    assert measured.cpu_cores is not None
    assert 1 <= measured.cpu_cores <= (psutil.cpu_count(logical=True) or 1)
    assert measured.free_ram_mb is not None
    assert 0 < measured.free_ram_mb <= psutil.virtual_memory().total / 2**20


async def test_only_the_newest_round_trips_count():
    measuring = machine()
    for _ in range(3 * WINDOW):
        measuring.observe_round_trip(0.001)
    for _ in range(WINDOW):
        measuring.observe_round_trip(0.020)

    measured = measuring.measure()

    assert (measured.latency_ms, measured.jitter_ms) == pytest.approx((20.0, 0.0))


async def test_on_another_path_latency_is_unmeasured_again():
    measuring = machine()
    for _ in range(WINDOW):
        measuring.observe_round_trip(0.001)

    measuring.on_other_path()

    assert measuring.measure().latency_ms is None


async def test_the_clock_is_measured_while_the_loop_goes_on():
    measuring = machine()
    turns = 0

    measuring_clock = asyncio.create_task(measuring.measure_clock())
    while not measuring_clock.done():
        turns += 1
        await asyncio.sleep(0.001)

    assert turns > 5, "the benchmark holds up no heartbeat"
    assert measuring.measure().cpu_ghz == pytest.approx(cpu_ghz(), rel=0.5)


def test_the_benchmark_shows_a_clock_a_processor_can_have():
    shown = shown_ghz(SECONDS)

    assert shown is not None
    assert 0.3 < shown < 8


def test_the_lower_of_stated_and_shown_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processor, "stated_ghz", lambda: 0.001)
    slow = cpu_ghz()
    monkeypatch.setattr(processor, "stated_ghz", lambda: 100.0)
    boasting = cpu_ghz()

    assert slow == 0.001
    assert boasting is not None
    assert boasting < 8, "a stated clock alone is only a claim"


def test_a_slower_processor_shows_less(monkeypatch: pytest.MonkeyPatch):
    usual = shown_ghz(SECONDS)
    monkeypatch.setattr(processor, "hashlib", SlowHash)
    slowed = shown_ghz(SECONDS)

    assert usual is not None
    assert slowed is not None
    assert slowed < usual


class SlowHash:
    """hashlib whose MD5 does ten times the work."""

    @staticmethod
    def md5(data: bytes, *, usedforsecurity: bool) -> object:
        import hashlib

        return [hashlib.md5(data, usedforsecurity=usedforsecurity) for _ in range(10)]


def test_a_clock_nobody_states_and_nobody_may_measure_is_absent(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("disabled for FIPS")

    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    monkeypatch.setattr(processor, "stated_mhz", lambda: None)
    monkeypatch.setattr(processor.hashlib, "md5", refuse)

    assert cpu_ghz() is None


def test_where_psutil_knows_no_clock_the_system_is_asked(monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise FileNotFoundError

    monkeypatch.setattr(psutil, "cpu_freq", fail)
    monkeypatch.setattr(processor, "stated_mhz", lambda: 2_400.0)

    assert stated_ghz() == pytest.approx(2.4)


@pytest.mark.parametrize(
    ("text", "mhz"),
    [
        ("processor : 0\ncpu MHz\t\t: 1200.5\nprocessor : 1\ncpu MHz\t\t: 3400.25\n", 3400.25),
        ("processor : 0\n", None),
        ("cpu MHz : fast\n", None),
        ("cpu MHz\n", None),
        ("", None),
    ],
)
def test_linux_states_its_highest_clock(text: str, mhz: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(linux, "CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(text)

    assert linux.stated_mhz() == mhz


def test_without_cpuinfo_nothing_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(linux, "CPUINFO", tmp_path / "none")

    assert linux.stated_mhz() is None


def test_every_system_has_the_same_names():
    for system in (linux, macos, windows):
        assert all(callable(getattr(system, name)) for name in platforms.__all__)


def test_a_machine_that_is_awake_has_not_slept_meanwhile():
    before = platforms.slept_s()

    assert platforms.slept_s() - before == pytest.approx(0, abs=0.05)


WITHOUT_UNIX = """
import sys
for name in ("fcntl", "grp", "pwd", "termios", "tty", "uvloop"):
    sys.modules[name] = None
import services.agent.doctor, services.agent.running, services.ops.__main__
"""
"""`None` in sys.modules makes an import of it fail (importlib)."""


def test_the_agent_and_the_command_load_where_only_windows_modules_are():
    loading = subprocess.run(
        [sys.executable, "-c", WITHOUT_UNIX], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert (loading.returncode, loading.stderr) == (0, "")
