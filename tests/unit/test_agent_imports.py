"""What an agent imports is a player's memory: what it shares with services, and they alone use, stays out."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("pydantic", "numpy", "opentelemetry", "cryptography", "typer", "rich", "libconf", "elftools")
NOT_OPS = ("services.ops.cli", "pydantic", "typer")
OF_MAPS = ("libs.rathena.tables", "services.agent.maps.servers", "services.agent.sql.responder")
"""4 MB, and not wanted before the first map."""
RUNNING = ("services.agent.running", "services.agent.link", "services.agent.maps.servers", "services.agent.simulated")


@pytest.mark.parametrize("module", RUNNING)
def test_a_running_agent_imports_nothing_of_what_only_services_use(module: str):
    code = f"import sys, {module}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.strip() == "[]"


def test_an_agent_without_a_map_has_imported_nothing_that_only_maps_need():
    code = f"import sys, services.agent.running; print(sorted(set({OF_MAPS!r}) & set(sys.modules)))"

    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.strip() == "[]"


def test_kafra_agent_is_as_lean_as_the_agent_itself():
    code = (
        "import sys, contextlib, services.ops.__main__ as kafra\n"
        "sys.argv = ['kafra', 'agent', 'run', '--help']\n"
        "with contextlib.suppress(SystemExit): kafra.main()\n"
        f"print(sorted(set({NOT_OPS!r}) & set(sys.modules)))"
    )

    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)

    assert "Offers this machine" in said.stdout
    assert said.stdout.splitlines()[-1] == "[]"
