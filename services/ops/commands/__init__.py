"""The kafra command, a file a group: running (up, serve, demo, agent), looking (hosts, maps, events, explain), checking."""
