"""What differs between systems, one small file each with the same names:

stated_mhz() -> float | None    the clock the system states, MHz, where psutil knows none
usable_cores() -> int | None    logical cores this process may use; None: all
slept_s() -> float              how long the machine has slept since some fixed moment, s; grows by each sleep
"""

import sys

if sys.platform == "win32":
    from services.agent.platforms.windows import slept_s, stated_mhz, usable_cores
elif sys.platform == "darwin":
    from services.agent.platforms.macos import slept_s, stated_mhz, usable_cores
else:
    from services.agent.platforms.linux import slept_s, stated_mhz, usable_cores

__all__ = ["slept_s", "stated_mhz", "usable_cores"]
