"""The operator's rAthena tree: what is in it (tree), what stands against Kafra (check, maps), the files we add (ours)."""
