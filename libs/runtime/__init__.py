"""One way to run a service: settings, telemetry, connect, follow, decide, append, health, drain (service.py).

Nothing is imported here: an agent needs log and loop alone.
"""
