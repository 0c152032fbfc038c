# SPDX-License-Identifier: MIT
"""Start, log, stop, and what many connections cost."""

import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import harness
from harness import (BINARY, IDLE, SANITIZED, SLOW, Reader, Server, Skip, ask,
                     raw, request, test)


# ---- log and figures ---------------------------------------------------------

@test
def access_log():
    path = os.path.join(harness.TREE.top, "access.log")
    with Server(log=path) as srv:
        ask(srv, "/hello.txt")
        ask(srv, '/missing"\\')
        raw(srv, b"\xff\x1b[31m\r\n\r\n", half_close=True)
        with srv.connect() as s:
            s.sendall(request("/empty.txt") * 100)
            reader = Reader(s)
            for _ in range(100):
                reader.reply()
    with open(path, encoding="ascii") as f:
        lines = f.read().splitlines()
    assert len(lines) == 103, len(lines)
    form = r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] '
    assert re.fullmatch(form + r'"GET /hello\.txt HTTP/1\.1" 200 13',
                        lines[0]), lines[0]
    assert re.fullmatch(
        form + r'"GET /missing\\x22\\x5c HTTP/1\.1" (404|400) \d+', lines[1]), \
        lines[1]
    assert re.fullmatch(form + r'"\\xff\\x1b\[31m" 400 \d+', lines[2])
    with Server(log="-") as srv:
        ask(srv, "/hello.txt")
        srv.stop()
        assert b"GET /hello.txt HTTP/1.1" in srv.out


@test
def stats():
    with Server("--stats", "--gzip", "1") as srv:
        ask(srv, "/text.txt", "Accept-Encoding: gzip")
        time.sleep(0.1)
        figures = json.loads(ask(srv, "/.weft/stats").body)
        assert figures["workers"] == 2
        assert figures["requests"] >= 1 and figures["gzipped"] == 1
        assert figures["executor_jobs"] >= 1 and figures["threads"] >= 3
        assert figures["rss_kb"] > 100
    with Server() as srv:
        assert ask(srv, "/.weft/stats").status == 404


@test
def port_file():
    path = os.path.join(harness.TREE.top, "port")
    with Server("--port-file", path) as srv:
        with open(path, encoding="ascii") as f:
            assert int(f.read()) == srv.port


@test
def command_line():
    run = lambda *a: subprocess.run([BINARY, *a], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, timeout=20)
    assert run("--help").returncode == 0
    assert b"--gzip" in run("--help").stdout
    for args in ([], ["--nothing", "/"], ["--gzip", "10", "/"],
                 ["--workers", "0", "/"], ["--max-head", "1G", "/"],
                 ["--idle-timeout", "-1", "/"], ["/", "/"]):
        assert run(*args).returncode == 2, args
    for args in ["/does/not/exist"], ["--listen", "nonsense", "/"], \
            ["--listen", "127.0.0.1:0", "--access-log", "/no/dir/x", "/"]:
        result = run(*args)
        assert result.returncode == 1 and result.stderr, args


# ---- stop --------------------------------------------------------------------

@test
def stop_finishes_open_download():
    data = harness.TREE.files["big.bin"]
    with Server() as srv:
        idle = srv.connect()
        idle.sendall(request("/hello.txt"))
        idle_reader = Reader(idle)
        assert idle_reader.reply().status == 200
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        s.settimeout(20)
        s.connect(("127.0.0.1", srv.port))
        s.sendall(request("/big.bin") * 2)
        got = s.recv(1000)
        srv.proc.send_signal(signal.SIGTERM)
        assert idle_reader.at_end()  # at once, not at its time-out
        idle.close()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                srv.connect().close()
                time.sleep(0.02)
            except ConnectionRefusedError:
                break
        else:
            raise AssertionError("still accepts connections")
        assert srv.proc.poll() is None
        reader = Reader(s)
        reader.buf = got
        assert reader.reply().body == data
        # The second was asked for before the stop, but not begun: either way
        # the connection ends properly.
        second = reader.reply()
        assert second is None or second.body == data
        assert second is None or second["connection"] == "close"
        s.close()
        assert srv.proc.wait(10 * SLOW) == 0


@test
def second_signal_stops_at_once():
    with Server("--grace", "60") as srv:
        srv.status = 1
        with srv.connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(request("/big.bin") * 4)
            s.recv(100)
            srv.proc.send_signal(signal.SIGTERM)
            time.sleep(0.3 * SLOW)
            assert srv.proc.poll() is None
            srv.proc.send_signal(signal.SIGINT)
            assert srv.proc.wait(5 * SLOW) == 1


@test
def grace_is_bounded():
    with Server("--grace", "0.5") as srv:
        srv.status = 1
        with srv.connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(request("/big.bin") * 4)
            s.recv(100)
            srv.proc.send_signal(signal.SIGTERM)
            assert srv.proc.wait(8 * SLOW) == 1


@test
def idle_server_uses_no_cpu():
    with Server() as srv:
        with srv.connect() as s:
            s.sendall(request("/hello.txt"))
            Reader(s).reply()
            time.sleep(0.2)
            before = srv.cpu()
            time.sleep(1.5)
            used = srv.cpu() - before
        assert used <= 0.02, f"{used} s"


# ---- many connections --------------------------------------------------------

def raise_limit(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n:
        if hard < n:
            raise Skip(f"at most {hard} files can be open, {n} are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


@test
def many_idle_connections():
    # The server keeps an eighth of the descriptors back.
    raise_limit(IDLE * 5 // 4 + 256)
    ask_bytes = request("/hello.txt")
    socks = []

    def exchange(batch):
        for s in batch:
            s.sendall(ask_bytes)
        for s in batch:
            got = b""
            while not got.endswith(b"hello, world\n"):
                data = s.recv(4096)
                assert data, "closed"
                got += data

    with Server("--idle-timeout", "300") as srv:
        try:
            # What the first requests allocate for good is no connection's.
            warm = [srv.connect() for _ in range(64)]
            exchange(warm)
            before = srv.rss()
            while len(socks) < IDLE:
                batch = [srv.connect() for _ in range(100)]
                exchange(batch)
                socks += batch
            time.sleep(0.3)
            each = (srv.rss() - before) / len(socks)
            print(f"    {len(socks)} idle connections, {each:.0f} bytes each")
            if not SANITIZED:
                assert each <= 1024, f"{each:.0f} bytes a connection"
            exchange(random.Random(3).sample(socks, 200))
            srv.proc.send_signal(signal.SIGTERM)
            assert srv.proc.wait(15 * SLOW) == 0
            for s in socks[:100]:
                assert Reader(s).at_end()
        finally:
            for s in socks + warm:
                s.close()


@test
def out_of_descriptors():
    # The limit falls while the server runs: it cannot have planned for it.
    with Server() as srv:
        held = [srv.connect() for _ in range(20)]
        readers = [Reader(s) for s in held]
        for s, reader in zip(held, readers):
            s.sendall(request("/1k.bin"))
            assert reader.reply().status == 200
        pid = srv.proc.pid
        top = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")
                  if int(fd) < 900)
        old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (top + 1, old[1]))
        waiting = [srv.connect() for _ in range(30)]
        for s in waiting:
            s.sendall(request("/hello.txt", "Connection: close"))
        time.sleep(0.3)
        before = srv.cpu()
        time.sleep(1)
        used = srv.cpu() - before
        assert used < 0.3 * SLOW, f"busy while it cannot accept: {used} s"
        for s, reader in zip(held, readers):  # those inside go on
            s.sendall(request("/1k.bin"))
            assert reader.reply().body == harness.TREE.files["1k.bin"]
        for s in held:
            s.close()
        for s in waiting:  # and those outside come in as room appears
            assert Reader(s).reply().status == 200
            s.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        assert ask(srv, "/hello.txt").status == 200


@test
def few_descriptors():
    n = 128
    with Server(nofile=n) as srv:
        socks = [srv.connect() for _ in range(2 * n)]
        try:
            for s in socks:
                s.sendall(request("/big.bin", "Range: bytes=1-3",
                                  "Connection: close"))
            # Each that is answered and closed makes room for the next.
            for s in socks:
                reply = Reader(s).reply()
                assert reply.status == 206, reply.status
                assert reply.body == harness.TREE.files["big.bin"][1:4]
                s.close()
        finally:
            for s in socks:
                s.close()


@test
def many_clients_at_once():
    n, rounds = (8, 20) if SANITIZED else (32, 100)
    names = ["hello.txt", "1k.bin", "5k.html", "64k.bin", "64k1.bin"]
    failed = []
    with Server() as srv:
        def client(seed):
            rng = random.Random(seed)
            try:
                for _ in range(rounds // 20):
                    with srv.connect(30) as s:
                        reader = Reader(s)
                        for _ in range(20):
                            asked = rng.choices(names, k=rng.randint(1, 4))
                            s.sendall(b"".join(request("/" + a)
                                               for a in asked))
                            for name in asked:
                                assert reader.reply().body == \
                                    harness.TREE.files[name], name
            except Exception as error:  # told below, on the main thread
                failed.append(repr(error))

        threads = [threading.Thread(target=client, args=(i,))
                   for i in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed, failed[0]
