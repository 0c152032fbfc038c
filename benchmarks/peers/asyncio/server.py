# SPDX-License-Identifier: MIT
"""HTTP and echo on asyncio's protocols, with asyncio's loop or uvloop's.

server.py [--uvloop] http|echo PORT THREADS: a process a thread, each with a
SO_REUSEPORT listener, which is how such servers use more than one core.
"""
import asyncio
import os
import sys


def answer(status, fields, body):
    return (b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\n%b"
            b"Content-Length: %d\r\n\r\n%b" % (status, fields, len(body), body))


CLOSE = b"Connection: close\r\n"
BODIES = {b"/": b"Hello, world", b"/1k": b"x" * 1024}
KEEP = {path: answer(b"200 OK", b"", b) for path, b in BODIES.items()}
LAST = {path: answer(b"200 OK", CLOSE, b) for path, b in BODIES.items()}
MISSING = answer(b"404 Not Found", b"", b"")
BAD = answer(b"400 Bad Request", CLOSE, b"")


class Http(asyncio.Protocol):
    __slots__ = ("transport", "rest")

    def __init__(self):
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.rest:
            data = self.rest + data
        while True:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.rest = head
                if len(head) > 8192:
                    self.transport.close()
                return
            if not self.request(head):
                self.transport.close()
                return
            if not data:
                self.rest = b""
                return

    def request(self, head):
        """Answers; whether the connection goes on."""
        words = head.split(b" ", 2)
        if len(words) != 3 or words[0] != b"GET":
            self.transport.write(BAD)
            return False
        if b"\r\nconnection: close" in head.lower():
            self.transport.write(LAST.get(words[1], MISSING))
            return False
        self.transport.write(KEEP.get(words[1], MISSING))
        return True


class Echo(asyncio.Protocol):
    __slots__ = ("transport",)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def serve(protocol, port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", port,
                                      backlog=4096, reuse_port=True)
    await server.serve_forever()


def main():
    args = sys.argv[1:]
    if args[0] == "--uvloop":
        import uvloop
        uvloop.install()
        args.pop(0)
    if args == ["list"]:
        print("http\necho")
        return
    what, port, threads = args[0], int(args[1]), int(args[2])
    for _ in range(threads - 1):
        if os.fork() == 0:
            break
    asyncio.run(serve({"http": Http, "echo": Echo}[what], port))


main()
