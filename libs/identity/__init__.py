"""Who may connect to NATS, and what he may say there (DESIGN D10): keys, permissions, nats-server's accounts.

In: a host's name and public key. Out: fragments of nats-server's configuration. Used by libs.bus and `kafra`.
"""
