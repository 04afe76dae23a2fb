"""`kafra demo`: the real map graph, recorded and simulated players, simulated machines. Pure: time and chance are given."""
