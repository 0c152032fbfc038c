# SPDX-License-Identifier: MIT
"""The protocol: what is answered, refused and waited for."""

import http.client
import random
import shutil
import socket
import subprocess
import threading
import time

import harness
from harness import SLOW, Reader, Server, Skip, ask, raw, request, test


# ---- the protocol ------------------------------------------------------------

@test
def keep_alive_rules():
    cases = [
        ("1.1", (), True), ("1.1", ("Connection: close",), False),
        ("1.1", ("Connection: x, Close",), False), ("1.0", (), False),
        ("1.0", ("Connection: keep-alive",), True),
    ]
    with Server() as srv:
        for version, fields, stays in cases:
            with srv.connect() as s:
                reader = Reader(s)
                s.sendall(request("/hello.txt", *fields, version=version))
                reply = reader.reply()
                assert reply.status == 200
                if not stays:
                    assert reply["connection"] == "close"
                    assert reader.at_end(), (version, fields)
                    continue
                s.sendall(request("/1k.bin", *fields, version=version))
                assert reader.reply().body == harness.TREE.files["1k.bin"]


@test
def pipelining():
    names = ["hello.txt", "1k.bin", "5k.html", "64k1.bin", "empty.txt",
             "missing", "text.txt"]
    rng = random.Random(2)
    with Server("--gzip", "1") as srv:
        with srv.connect() as s:
            asked = [rng.choice(names) for _ in range(400)]
            data = b"".join(request("/" + n) for n in asked)

            def send():
                at = 0
                while at < len(data):
                    n = rng.randrange(1, 4000)
                    s.sendall(data[at:at + n])
                    at += n

            sender = threading.Thread(target=send)
            sender.start()
            reader = Reader(s)
            for name in asked:
                reply = reader.reply()
                if name == "missing":
                    assert reply.status == 404
                else:
                    assert reply.body == harness.TREE.files[name], name
            sender.join()
        # All of it before anything is read, and the end right behind it.
        replies = raw(srv, request("/hello.txt") * 50 +
                      request("/1k.bin", "Connection: close") +
                      request("/hello.txt"))
        assert len(replies) == 51
        assert replies[50].body == harness.TREE.files["1k.bin"]
        replies = raw(srv, request("/hello.txt") * 3, half_close=True)
        assert [r.status for r in replies] == [200] * 3


@test
def byte_by_byte():
    with Server() as srv, srv.connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"\r\n" + request("/hello.txt") + request("/1k.bin"):
            s.sendall(bytes([byte]))
        reader = Reader(s)
        assert reader.reply().body == harness.TREE.files["hello.txt"]
        assert reader.reply().body == harness.TREE.files["1k.bin"]


@test
def bad_requests():
    ok = b"Host: x\r\n"
    cases = [
        (b"GET\r\n\r\n", 400), (b"GET /\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\n" + ok + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + ok + b"\r\n", 400),
        (b"GET  / HTTP/1.1\r\n" + ok + b"\r\n", 400),
        (b"GET / HTTP/2.0\r\n" + ok + b"\r\n", 505),
        (b"GET / HTTP/1.1x\r\n" + ok + b"\r\n", 400),
        (b"GET / HTPP/1.1\r\n" + ok + b"\r\n", 400),
        (b"G@T / HTTP/1.1\r\n" + ok + b"\r\n", 400),
        (b"GET hello.txt HTTP/1.1\r\n" + ok + b"\r\n", 400),
        (b"GET /a\x01b HTTP/1.1\r\n" + ok + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"A : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b" folded: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"A: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"A\x00: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"A: b\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b": b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"nothing\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"Content-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"Content-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok +
         b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"GET / HTTP/1.1\r\n" + ok + b"Content-Length: 3\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + ok +
         b"Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
        (b"GET / HTTP/1.1\r\n" + ok + b"Content-Length: 9999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\n" + ok + b"A: " + b"b" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + ok + b"A: b\r\n" * 65 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + ok + b"A: " + b"b" * 20000, 431),
        (b"BREW / HTTP/1.1\r\n" + ok + b"\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40 +
         b"\r\n\r\n", 400),
    ]
    with Server() as srv:
        for data, want in cases:
            replies = raw(srv, data, half_close=True)
            assert replies, data[:80]
            want = want if isinstance(want, tuple) else (want,)
            assert replies[0].status in want, (data[:80], replies[0].status)
            assert len(replies) == 1, data[:80]
        for method in "POST", "PUT", "DELETE", "OPTIONS":
            reply = ask(srv, "/hello.txt", method=method)
            assert (reply.status, reply["allow"]) == (405, "GET, HEAD")
        assert ask(srv, "/hello.txt").status == 200


@test
def too_long_is_told_alike_however_it_comes():
    long_line = b"GET /" + b"a" * 600 + b" HTTP/1.1\r\nHost: x\r\n"
    cases = [
        (request("/" + "a" * 600), 414),
        (long_line + b"A: " + b"b" * 600 + b"\r\n\r\n", 414),
        (long_line + b"A: " + b"b" * 20000 + b"\r\n\r\n", 414),
        (b"a" * 20000, 414),
        (request("/", "A: " + "b" * 600), 431),
        (request("/", "A: " + "b" * 20000), 431),
        (request("/" + "a" * 480, "A: b"), 431),  # the line alone is not
        (request("/", "A: " + "b" * 400), 200),
    ]
    rng = random.Random(4)
    pieces = [lambda: 1 << 20, lambda: 1, lambda: rng.randrange(1, 40),
              lambda: rng.choice((1, 2, 511, 512, 513)), lambda: 700]
    with Server("--max-head", "512") as srv:
        for data, want in cases:
            for piece in pieces:
                with srv.connect() as s:
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    # More than is looked at need not come byte by byte.
                    at, end = 0, min(len(data), 1500)
                    while at < len(data):
                        n = piece() if at < end else len(data)
                        s.sendall(data[at:at + n])
                        at += n
                    reply = Reader(s).reply()
                assert reply.status == want, (data[:40], want, reply.status)


@test
def an_answer_does_not_wait_for_a_later_body():
    bodies = [
        ("Content-Length: 6", b"abcdef"),
        ("Transfer-Encoding: chunked", b"6\r\nabcdef\r\n0\r\n\r\n"),
    ]
    with Server() as srv:
        for field, body in bodies:
            post = request("/hello.txt", field, method="POST")
            for n in range(len(body)):
                with srv.connect() as s:
                    s.sendall(request("/hello.txt") * 2 + post + body[:n])
                    reader = Reader(s)
                    for _ in range(2):  # else it is waited for, and fails
                        assert reader.reply().body == \
                            harness.TREE.files["hello.txt"]
                    s.sendall(body[n:] + request("/1k.bin"))
                    assert reader.reply().status == 405
                    assert reader.reply().body == harness.TREE.files["1k.bin"]


@test
def truncated_requests():
    whole = request("/hello.txt", "A: b")
    with Server() as srv:
        for n in range(0, len(whole), 3):
            assert raw(srv, whole[:n], half_close=True) == [], n
        for n in range(1, 40, 7):  # reset instead of closed
            s = srv.connect()
            s.sendall(whole[:n])
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         b"\1\0\0\0\0\0\0\0")
            s.close()
        body = request("/", "Content-Length: 10", method="POST") + b"12345"
        assert raw(srv, body, half_close=True) == []
        assert ask(srv, "/hello.txt").status == 200


@test
def bodies_are_dropped():
    chunks = b"4\r\nabcd\r\n5;x=y\r\n\r\nabc\r\n1F\r\n" + b"z" * 31 + b"\r\n"
    cases = [
        request("/hello.txt", "Content-Length: 5") + b"GET /",
        request("/hello.txt", "Content-Length: 100000") + b"\r\n" * 50000,
        request("/hello.txt", "Transfer-Encoding: chunked") + chunks +
        b"0\r\n\r\n",
        request("/hello.txt", "Transfer-Encoding: chunked") + chunks * 2000 +
        b"000\r\nTrailer: x\r\n\r\n",
    ]
    with Server() as srv:
        for data in cases:
            with srv.connect() as s:
                sender = threading.Thread(
                    target=s.sendall, args=(data * 3 + request("/1k.bin"),))
                sender.start()
                reader = Reader(s)
                for _ in range(3):
                    body = reader.reply().body
                    assert body == harness.TREE.files["hello.txt"]
                assert reader.reply().body == harness.TREE.files["1k.bin"]
                sender.join()
        for bad in b"x\r\n", b"4\r\nabcde\r\n", b"ffffffffffffffffff\r\n", \
                b"-1\r\n", b"\r\n", b"4\nabcd\n0\n\n":
            replies = raw(srv, request(
                "/", "Transfer-Encoding: chunked", method="POST") + bad,
                half_close=True)
            assert [r.status in (400, 413) for r in replies] == [True], bad
        # A client that waits for a go-ahead is answered instead.
        replies = raw(srv, request("/hello.txt", "Content-Length: 5",
                                   "Expect: 100-continue"))
        assert [r.status for r in replies] == [200]
        assert replies[0]["connection"] == "close"


@test
def time_outs():
    with Server("--header-timeout", "0.6", "--idle-timeout", "1.2") as srv:
        start = time.monotonic()
        with srv.connect() as slow, srv.connect() as idle, \
                srv.connect() as silent, srv.connect() as drip:
            slow.sendall(b"GET / HTTP/1.1\r\nHo")
            idle.sendall(request("/hello.txt"))
            idle_reader = Reader(idle)
            assert idle_reader.reply().status == 200

            def send_slowly():
                try:
                    for byte in request("/hello.txt"):
                        drip.sendall(bytes([byte]))
                        time.sleep(0.1)
                except OSError:
                    pass

            sender = threading.Thread(target=send_slowly)
            sender.start()
            for s in slow, drip:
                reader = Reader(s)
                assert reader.reply().status == 408
                took = time.monotonic() - start
                assert 0.5 < took < 1.2 * SLOW, took
                if s is slow:
                    assert reader.at_end()
            assert Reader(silent).at_end()  # as a head that does not begin
            took = time.monotonic() - start
            assert 0.5 < took < 1.2 * SLOW, took
            assert idle_reader.at_end()
            took = time.monotonic() - start
            assert 1.1 < took < 2.5 * SLOW, took
            sender.join()


@test
def slow_receiver_is_cut_off():
    with Server("--send-timeout", "0.5") as srv, srv.connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(request("/big.bin") * 20)
        s.recv(1)
        inside = srv.sockets()
        deadline = time.monotonic() + 5 * SLOW
        while srv.sockets() == inside:
            assert time.monotonic() < deadline, "is waited for"
            time.sleep(0.05)
        assert ask(srv, "/hello.txt").status == 200


@test
def http_client_of_the_library():
    with Server() as srv:
        conn = http.client.HTTPConnection("127.0.0.1", srv.port, timeout=10)
        for name in "hello.txt", "big.bin", "64k.bin":
            conn.request("GET", "/" + name)
            assert conn.getresponse().read() == harness.TREE.files[name]
        conn.close()


@test
def curl():
    if not shutil.which("curl"):
        raise Skip("no curl")
    with Server("--gzip", "6") as srv:
        url = f"http://127.0.0.1:{srv.port}"
        run = lambda *a: subprocess.run(
            ["curl", "-sS", "--max-time", "20", *a], stdout=subprocess.PIPE,
            check=True).stdout
        assert run(url + "/big.bin") == harness.TREE.files["big.bin"]
        assert run("-r", "100-199", url + "/big.bin") == \
            harness.TREE.files["big.bin"][100:200]
        assert run("--compressed", url + "/text.txt") == \
            harness.TREE.files["text.txt"]
        assert run("-L", url + "/sub") == harness.TREE.files["sub/index.html"]
        assert run("-d", "x=y", "-o", "/dev/null", "-w", "%{http_code}",
                   url + "/") == b"405"
        assert run("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}",
                   url + "/../secret.txt") == b"400"
