"""A twin of rAthena for tests: char-server, map-servers and game clients that speak the recorded protocol. See README.md."""
