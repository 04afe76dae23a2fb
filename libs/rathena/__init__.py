"""What we know of rAthena's wire protocol, as data and pure functions; nothing here opens a connection.

A stream of bytes becomes whole packets (`framing`), a packet becomes typed (`inter` between servers, `client` to game clients)
and has an owner (`keys`); the C structs inside are read by the build's layout (`structs`, `layout`; `elf` makes one from a
map-server binary). The tables behind all of it are data, with their provenance: libs/rathena/data/README.md.
"""
