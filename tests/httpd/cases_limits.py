# SPDX-License-Identifier: MIT
"""What is bounded, and how those beyond a bound are told."""

import gzip
import json
import random
import signal
import socket
import time

import harness
from harness import SLOW, Reader, Server, ask, request, test

ZIP = "Accept-Encoding: gzip"


def is_busy(reply):
    assert reply.status == 503, reply.status
    assert reply["retry-after"] == "1"
    assert reply["connection"] == "close"


def wait_until(what, seconds=5):
    deadline = time.monotonic() + seconds * SLOW
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def slow_client(srv, data):
    """A client that has asked and does not read."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(20)
    s.connect(("127.0.0.1", srv.port))
    s.sendall(data)
    return s


# ---- connections -------------------------------------------------------------

@test
def connections_beyond_the_limit_get_503():
    with Server("--max-connections", "4") as srv:
        empty = srv.sockets()
        inside = [srv.connect() for _ in range(4)]
        readers = [Reader(s) for s in inside]
        for s, reader in zip(inside, readers):
            s.sendall(request("/hello.txt"))
            assert reader.reply().status == 200
        for data in b"", request("/hello.txt"), request("/1k.bin") * 9:
            with srv.connect() as s:
                s.sendall(data)
                reader = Reader(s)
                is_busy(reader.reply())
                assert reader.at_end()
        for s, reader in zip(inside, readers):
            s.sendall(request("/hello.txt"))
            assert reader.reply().status == 200
        inside.pop().close()
        wait_until(lambda: srv.sockets() == empty + 3)
        assert ask(srv, "/hello.txt").status == 200
        for s in inside:
            s.close()
        wait_until(lambda: srv.sockets() == empty)


@test
def who_never_sends_makes_room():
    with Server("--max-connections", "4", "--stats") as srv:
        empty = srv.sockets()
        silent = [srv.connect() for _ in range(4)]
        speaker = srv.connect()
        speaker.sendall(request("/hello.txt"))
        assert Reader(speaker).reply().status == 200
        more = [srv.connect() for _ in range(20)]
        # All but the last three had to go, and none that speaks.
        for s in silent + more[:-3]:
            reader = Reader(s)
            is_busy(reader.reply())
            assert reader.at_end()
        for s in speaker, *more[-3:]:
            s.sendall(request("/hello.txt"))
            assert Reader(s).reply().status == 200
        is_busy(ask(srv, "/hello.txt"))
        speaker.sendall(request("/.weft/stats"))
        assert b'"refused":22,' in Reader(speaker).reply().body
        for s in [speaker] + silent + more:
            s.close()
        wait_until(lambda: srv.sockets() == empty)


@test
def those_who_make_room_are_bounded():
    with Server("--max-connections", "3") as srv, srv.connect() as s:
        s.sendall(request("/hello.txt"))
        assert Reader(s).reply().status == 200
        base = srv.sockets()
        held = [srv.connect() for _ in range(2500)]
        # They have their answer and need not go before their time-out, but
        # from the 1024th on they do, soon.
        wait_until(lambda: 500 < srv.sockets() - base < 1500)
        time.sleep(0.2)
        assert srv.sockets() - base < 1500, srv.sockets()
        s.sendall(request("/hello.txt"))
        assert Reader(s).reply().status == 200
        for h in held:
            h.close()
        wait_until(lambda: srv.sockets() == base)


@test
def a_refused_client_cannot_stay():
    with Server("--max-connections", "1") as srv:
        with srv.connect() as s:
            s.sendall(request("/hello.txt"))
            assert Reader(s).reply().status == 200
            base = srv.sockets()
            held = [srv.connect() for _ in range(50)]
            talkers = [srv.connect() for _ in range(5)]
            for h in held:
                is_busy(Reader(h).reply())
            for t in talkers:
                t.recv(1)
            start = time.monotonic()
            while srv.sockets() != base:
                for t in talkers:
                    try:
                        t.sendall(b"x" * 1000)
                    except OSError:
                        pass
                assert time.monotonic() - start < 5 * SLOW, "they stay"
                time.sleep(0.05)
            for h in held:
                h.close()
            for t in talkers:
                t.close()


@test
def refused_clients_do_not_hold_up_a_stop():
    with Server("--max-connections", "1") as srv:
        with srv.connect() as s:
            s.sendall(request("/hello.txt"))
            assert Reader(s).reply().status == 200
            held = [srv.connect() for _ in range(5)]
            for h in held:
                is_busy(Reader(h).reply())
            start = time.monotonic()
            srv.proc.send_signal(signal.SIGTERM)
            assert srv.proc.wait(10 * SLOW) == 0
            assert time.monotonic() - start < 1.5 * SLOW
            for h in held:
                h.close()


# ---- work --------------------------------------------------------------------

def noise(size):
    """A text's name. It does not become smaller, and fills any buffer."""
    name = f"noise{size}.txt"
    if name not in harness.TREE.files:
        harness.TREE.add(name, random.Random(2).randbytes(size))
    return "/" + name


def figure(srv, name):
    return json.loads(ask(srv, "/.weft/stats").body)[name]


def is_zipped(reply):
    assert reply.status == 200, reply.status
    assert reply["content-encoding"] == "gzip"


@test
def work_beyond_the_limit_gets_503():
    long = noise(32_000_000)  # a second's work
    with Server("--gzip", "9", "--gzip-max", "64M", "--max-work", "2",
                "--executor-threads", "1", "--stats") as srv:
        asked = [slow_client(srv, request(long, ZIP)) for _ in range(2)]
        wait_until(lambda: figure(srv, "working") == 2)
        is_busy(ask(srv, "/text.txt", ZIP))
        is_busy(ask(srv, "/list/"))
        # What was asked for before and behind it: answered, and told.
        with srv.connect() as s:
            s.sendall(request("/hello.txt") + request("/list/") +
                      request("/hello.txt") * 2000)
            reader = Reader(s)
            assert reader.reply().status == 200
            is_busy(reader.reply())
            assert not reader.more()  # an orderly end, no reset
        # What is merely sent needs no turn.
        assert ask(srv, "/text.txt").status == 200
        assert ask(srv, "/text.txt", ZIP, method="HEAD").status == 200
        assert figure(srv, "shed") == 3
        for s in asked:
            s.close()
        wait_until(lambda: figure(srv, "working") == 0, 20)
        for _ in range(5):  # turns were given back
            is_zipped(ask(srv, "/text.txt", ZIP))
            assert ask(srv, "/list/").status == 200
        assert figure(srv, "shed") == 3


@test
def who_reads_slowly_holds_no_turn():
    text = noise(7_000_000)
    with Server("--gzip", "1", "--gzip-max", "16M", "--max-work", "1",
                "--stats") as srv:
        slow = []
        for n in range(1, 4):
            slow.append(slow_client(srv, request(text, ZIP)))
            assert slow[-1].recv(1, socket.MSG_PEEK)  # its turn has come
            wait_until(lambda: figure(srv, "working") == 0)
            assert figure(srv, "held") > n * 7_000_000
            is_zipped(ask(srv, "/text.txt", ZIP))
            assert ask(srv, "/list/").status == 200
        assert figure(srv, "shed") == 0
        body = Reader(slow[0]).reply().body
        assert gzip.decompress(body) == harness.TREE.files[text[1:]]
        for s in slow:
            s.close()
        wait_until(lambda: figure(srv, "held") == 0)


@test
def what_slow_readers_have_not_read_is_bounded():
    text = noise(7_000_000)
    with Server("--gzip", "1", "--gzip-max", "16M", "--max-held", "8M",
                "--stats") as srv:
        slow = []
        for _ in range(2):  # the first leaves room for one more
            slow.append(slow_client(srv, request(text, ZIP)))
            assert slow[-1].recv(1, socket.MSG_PEEK)
        wait_until(lambda: figure(srv, "working") == 0)
        is_busy(ask(srv, text, ZIP))
        is_busy(ask(srv, "/text.txt", ZIP))
        is_busy(ask(srv, "/list/"))
        assert ask(srv, text).status == 200
        assert 14_000_000 < figure(srv, "held") < 15_000_000
        body = Reader(slow[0]).reply().body
        assert gzip.decompress(body) == harness.TREE.files[text[1:]]
        wait_until(lambda: figure(srv, "held") < 8 << 20)
        is_zipped(ask(srv, "/text.txt", ZIP))
        assert ask(srv, "/list/").status == 200
        for s in slow:  # whoever goes without having read it lets go too
            s.close()
        wait_until(lambda: figure(srv, "held") == 0)


# ---- time --------------------------------------------------------------------

@test
def slow_body_is_cut_off():
    with Server("--body-timeout", "0.5") as srv, srv.connect() as s:
        s.sendall(request("/", "Content-Length: 1000", method="POST"))
        start = time.monotonic()
        try:
            while time.monotonic() - start < 3 * SLOW:
                s.sendall(b"x")
                time.sleep(0.05)
                if s.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    break
        except BlockingIOError:
            pass
        assert Reader(s).reply().status == 408
        assert time.monotonic() - start < 3 * SLOW


@test
def nothing_is_kept_for_one_that_does_not_read():
    with Server("--send-timeout", "0.5") as srv:
        empty = srv.sockets()
        s = slow_client(srv, request("/big.bin") * 2)
        s.recv(1)
        wait_until(lambda: srv.sockets() == empty)
        # The kernel has let go of what it had taken: else it would still
        # deliver that, and then an orderly end.
        got = 0
        try:
            while data := s.recv(1 << 16):
                got += len(data)
            raise AssertionError(f"an orderly end after {got} bytes")
        except ConnectionResetError:
            pass
        s.close()


def unsent(srv, client):
    """Bytes of the server's side of client's connection in the kernel."""
    ports = f":{srv.port:04X}", f":{client.getsockname()[1]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if fields[1].endswith(ports[0]) and fields[2].endswith(ports[1]):
                return int(fields[4].split(":")[0], 16)
    raise AssertionError("no such connection")


@test
def little_is_held_for_one_that_does_not_read():
    harness.TREE.add("noise.css", random.Random(3).randbytes(4_000_000))
    with Server("--gzip", "1") as srv:
        for ask_for in request("/big.bin"), request("/noise.css", ZIP):
            s = slow_client(srv, ask_for)
            s.recv(1)
            time.sleep(0.3)
            assert 0 < unsent(srv, s) < 1 << 20, unsent(srv, s)
            s.close()
