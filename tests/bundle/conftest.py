"""Where a test's bundle lies, and where it is fetched to."""

from pathlib import Path

import pytest

from services.agent import bundle_download
from services.agent.bundle_store import Store


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries; how many there are stays."""
    monkeypatch.setattr(bundle_download, "AGAIN_S", 0.0)
