"""What a figure was measured on."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from libs.bus.embedded import find_binary

COMMAND_TIMEOUT_S = 10


def machine() -> dict[str, Any]:
    said = subprocess.run([find_binary(), "--version"], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT_S)
    return {
        "cpu": cpu_model(_cpuinfo()),
        "cores": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "nats_server": said.stdout.strip().rpartition(" ")[2],
        "nats_py": version("nats-py"),
        "uvloop": version("uvloop"),
    }


def cpu_model(cpuinfo: str) -> str:
    """The model's name in the text of /proc/cpuinfo; what Python knows, where there is none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
