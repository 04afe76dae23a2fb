"""Map-servers on this machine, one process for each map ordered.

core.py decides (pure), servers.py performs; server.py is one process, tree.py and conf.py what it is started with, stream.py
what its link tells, contain/ why none outlives us.
"""
