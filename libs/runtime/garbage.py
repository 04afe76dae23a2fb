"""When Python looks for cycles: seldom, and not among what will live as long as the process."""

import gc

COLLECT_EVERY = (50_000, 20, 100)
"""The worlds we keep have no cycles and grow; with the default (700, 10, 10) looking costs a quarter of all."""


def collect_seldom() -> None:
    """Called once all is loaded; again when more is that stays."""
    gc.set_threshold(*COLLECT_EVERY)
    gc.freeze()
