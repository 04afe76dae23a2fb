"""The bare proxy that the relay is measured against: bytes from one connection to another, as one would write it by hand for
speed (raw asyncio protocols, uvloop), with nothing in between. No Kafra code in this file.

python -m bench.proxy PORT SERVER_PORT    on 127.0.0.1, until SIGTERM
"""

import asyncio
import os
import signal
import socket
import sys

import uvloop

HIGH_WATER_BYTES = 256 * 1024


class Side(asyncio.Protocol):
    other: "Side | None" = None
    transport: asyncio.Transport

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER_BYTES)

    def data_received(self, data):
        self.other.transport.write(data)

    def pause_writing(self):
        self.other.transport.pause_reading()

    def resume_writing(self):
        self.other.transport.resume_reading()

    def connection_lost(self, _):
        if self.other is not None:
            self.other.transport.close()


class ClientSide(Side):
    server_port = 0

    def connection_made(self, transport):
        super().connection_made(transport)
        self.early = []
        self.connecting = asyncio.ensure_future(self.connect())

    async def connect(self):
        self.transport.pause_reading()  # uvloop does not heed it in connection_made
        loop = asyncio.get_running_loop()
        _, self.other = await loop.create_connection(Side, "127.0.0.1", self.server_port)
        self.other.other = self
        self.other.transport.write(b"".join(self.early))
        self.transport.resume_reading()

    def data_received(self, data):
        if self.other is None:
            self.early.append(data)  # it was read before the pause was heeded
        else:
            self.other.transport.write(data)


async def proxy(port: int, server_port: int) -> None:
    ClientSide.server_port = server_port
    loop = asyncio.get_running_loop()
    await loop.create_server(ClientSide, "127.0.0.1", port, backlog=1024)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    await stopped.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [port, server_port]:
            uvloop.run(proxy(int(port), int(server_port)))
        case _:
            sys.exit(__doc__)
