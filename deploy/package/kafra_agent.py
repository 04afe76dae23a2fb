"""The package's program: `kafra-agent ...` is `kafra agent ...`."""

import os
import sys

from services.agent.__main__ import main

LIBRARIES = "LD_LIBRARY_PATH"

if __name__ == "__main__":
    # The package found its libraries by this; the map-servers it starts have their own.
    if (before := os.environ.pop(f"{LIBRARIES}_ORIG", None)) is not None:
        os.environ[LIBRARIES] = before
    elif getattr(sys, "frozen", False):
        os.environ.pop(LIBRARIES, None)
    sys.exit(main(sys.argv[1:]))
