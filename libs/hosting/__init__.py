"""The domain: who hosts what, and who may. Pure: no I/O, no clock, no randomness.

world: the fold. eligibility: gates and broken assignments. score, ranking: the best hosts for a map. looks: how a decider
works. effects: what a core asks its shell to do. rules: the settings all of these ask for.
"""
