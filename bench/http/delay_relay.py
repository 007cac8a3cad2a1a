#!/usr/bin/env python3
"""Relays TCP connections and hands every byte on a fixed time after it came, in both directions. The rate is not limited.

    delay_relay.py --delay SECONDS HOST:PORT    prints "relaying on port N", listens on HOST, until SIGTERM

It stands in for a long way where the kernel has no netem. A connection is made to the target before the first byte is due, so
that opening one costs no delay of its own; what a peer of a real way would pay for a handshake, it does not pay here.
"""
import argparse
import asyncio
import collections

PIECE = 1 << 18
# What one direction may hold: the rate at 0.1 s is at most 1.3 GB/s.
MOST_BYTES = 128 << 20


class Direction:
    """Bytes that were read and are not due yet."""

    def __init__(self, reader, writer, delay_s):
        self.reader, self.writer, self.delay_s = reader, writer, delay_s
        self.waiting = collections.deque()  # (when it is due, bytes); no bytes: the end
        self.bytes = 0
        self.changed = asyncio.Condition()

    async def read(self):
        loop = asyncio.get_running_loop()
        while True:
            piece = await self.reader.read(PIECE)
            async with self.changed:
                await self.changed.wait_for(lambda: self.bytes < MOST_BYTES)
                self.waiting.append((loop.time() + self.delay_s, piece))
                self.bytes += len(piece)
                self.changed.notify_all()
            if not piece:
                return

    async def write(self):
        loop = asyncio.get_running_loop()
        while True:
            async with self.changed:
                await self.changed.wait_for(lambda: self.waiting)
                due, piece = self.waiting.popleft()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if not piece:
                if self.writer.can_write_eof():
                    self.writer.write_eof()
                return
            self.writer.write(piece)
            await self.writer.drain()
            async with self.changed:
                self.bytes -= len(piece)
                self.changed.notify_all()


async def relay(client, client_writer, target, delay_s):
    writers = [client_writer]
    try:
        server, server_writer = await asyncio.open_connection(*target, limit=PIECE)
        writers.append(server_writer)
        async with asyncio.TaskGroup() as tasks:
            for direction in Direction(client, server_writer, delay_s), Direction(server, client_writer, delay_s):
                tasks.create_task(direction.read())
                tasks.create_task(direction.write())
    except* OSError:
        pass  # one end broke off: the other one is told by the end of its connection
    finally:
        for writer in writers:
            writer.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, required=True, help="seconds, for each direction")
    parser.add_argument("target")
    options = parser.parse_args()
    host, _, port = options.target.rpartition(":")
    server = await asyncio.start_server(lambda r, w: relay(r, w, (host, int(port)), options.delay), host, 0, limit=PIECE)
    print(f"relaying on port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
