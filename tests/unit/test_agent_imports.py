"""What an agent imports is a player's memory: what it shares with services, and they alone use, stays out."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("pydantic", "numpy", "opentelemetry", "cryptography.x509", "typer", "rich", "libconf", "elftools")
RUNNING = ("services.agent.running", "services.agent.link", "services.agent.maps.servers", "services.agent.simulated")


@pytest.mark.parametrize("module", RUNNING)
def test_a_running_agent_imports_nothing_of_what_only_services_use(module: str):
    code = f"import sys, {module}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.strip() == "[]"
