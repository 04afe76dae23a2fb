"""Log lines."""

import logging
import sys


def start_logging(service: str, level: str) -> None:
    """One line a message on stderr: time, level, service, words."""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format=f"%(asctime)s.%(msecs)03d %(levelname).1s {service} %(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
