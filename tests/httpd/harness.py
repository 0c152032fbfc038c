# SPDX-License-Identifier: MIT
"""What the tests of weft-httpd share: a tree to serve, a server to start, and
a client that reads what really came."""

import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

BINARY = os.environ.get("WEFT_HTTPD", "weft-httpd")
SANITIZED = bool(os.environ.get("WEFT_SANITIZE"))
SLOW = 4.0 if SANITIZED else 1.0
IDLE = 1000 if SANITIZED else 10000

TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


class Skip(Exception):
    """A test that cannot run here; the text says why."""


class Tree:
    """A directory with one file of each kind, beside a secret."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="weft-httpd-")
        self.root = os.path.join(self.top, "root")
        os.mkdir(self.root)
        rng = random.Random(1)
        self.files = {}
        self.add("hello.txt", b"hello, world\n")
        self.add("empty.txt", b"")
        self.add("1k.bin", rng.randbytes(1024))
        self.add("5k.html", b"<p>" + b"x" * 5000)
        self.add("64k.bin", rng.randbytes(65536))
        self.add("64k1.bin", rng.randbytes(65537))
        self.add("big.bin", rng.randbytes(9_000_017))
        self.add("text.txt", b"the quick brown fox, line by line\n" * 3000)
        self.add("long.txt", b"a longer text than is kept in memory\n" * 9000)
        self.add("sub/index.html", b"<h1>index</h1>\n")
        self.add("list/a file & more.txt", b"a\n")
        self.add("list/<b>.txt", b"b\n")
        self.add("list/dir/x.txt", b"x\n")
        self.add("list/.hidden", b"h\n")
        self.add("deep/er/still/f.txt", b"deep\n")
        self.add("noread.txt", b"no\n")
        os.chmod(os.path.join(self.root, "noread.txt"), 0)
        with open(os.path.join(self.top, "secret.txt"), "wb") as f:
            f.write(b"SECRET")
        os.mkdir(os.path.join(self.top, "rootx"))
        with open(os.path.join(self.top, "rootx", "s.txt"), "wb") as f:
            f.write(b"SECRET")
        link = lambda to, name: os.symlink(to, os.path.join(self.root, name))
        link("hello.txt", "inside.txt")
        link("../hello.txt", "sub/up.txt")
        link("../secret.txt", "out.txt")
        link("..", "outdir")
        link("../rootx", "sibling")
        link("/etc/passwd", "abs.txt")
        link("loop", "loop")
        os.mkfifo(os.path.join(self.root, "fifo"))

    def add(self, name, data):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        # Older than the file cache's doubt about fresh files.
        os.utime(path, (1700000000, 1700000000))
        self.files[name] = data

    def remove(self):
        shutil.rmtree(self.top, ignore_errors=True)


TREE = None


class Server:
    def __init__(self, *args, root=None, nofile=None, log="off", stdout=None):
        limit = None
        if nofile:
            limit = lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (nofile, nofile))
        self.proc = subprocess.Popen(
            [BINARY, "--listen", "127.0.0.1:0", "--access-log", log,
             "--workers", "2", *args, root or TREE.root],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=limit)
        line = self.proc.stdout.readline().decode()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if not match:
            self.proc.kill()
            raise AssertionError(
                f"no address: {line!r} {self.proc.stderr.read()!r}")
        self.port = int(match[1])
        self.status = 0  # that it is to exit with

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop(check=kind is None)

    def stop(self, check=True):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            out, err = self.proc.communicate(timeout=15 * SLOW)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            out, err = self.proc.communicate()
            raise AssertionError(f"does not stop on SIGTERM: {err!r}")
        self.out, self.err = out, err
        if check:
            assert self.proc.returncode == self.status, \
                (self.proc.returncode, err)

    def connect(self, timeout=10):
        s = socket.create_connection(("127.0.0.1", self.port),
                                     timeout=timeout * SLOW)
        return s

    def sockets(self):
        where = f"/proc/{self.proc.pid}/fd"
        n = 0
        for fd in os.listdir(where):
            try:
                n += os.readlink(f"{where}/{fd}").startswith("socket:")
            except FileNotFoundError:
                pass
        return n

    def rss(self):
        with open(f"/proc/{self.proc.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) * 1024

    def cpu(self):
        with open(f"/proc/{self.proc.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Reply:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def __getitem__(self, name):
        return self.fields.get(name.lower())


class Reader:
    """Responses out of a socket, one after the other."""

    def __init__(self, sock):
        self.sock, self.buf = sock, b""

    def more(self):
        data = self.sock.recv(1 << 16)
        self.buf += data
        return bool(data)

    def head(self):
        while b"\r\n\r\n" not in self.buf:
            if not self.more():
                assert not self.buf, f"cut off: {self.buf!r}"
                return None
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) .+", lines[0])
        assert match, lines[0]
        fields = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name.lower() not in fields, f"twice: {name}"
            fields[name.lower()] = value
        assert fields["server"] == "weft-httpd"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
                            fields["date"]), fields["date"]
        return int(match[1]), fields

    def reply(self, method="GET"):
        head = self.head()
        if not head:
            return None
        status, fields = head
        n = 0
        if method != "HEAD" and status != 304:
            n = int(fields["content-length"])
        while len(self.buf) < n:
            assert self.more(), f"body cut off at {len(self.buf)} of {n}"
        body, self.buf = self.buf[:n], self.buf[n:]
        return Reply(status, fields, body)

    def at_end(self):
        try:
            return not self.buf and not self.more()
        except ConnectionResetError:
            return True


def ask(server, target, *fields, method="GET", version="1.1"):
    """One request on a connection of its own."""
    with server.connect() as s:
        s.sendall(request(target, *fields, method=method, version=version))
        return Reader(s).reply(method)


def request(target, *fields, method="GET", version="1.1"):
    if isinstance(target, str):
        target = target.encode("latin-1")
    lines = [method.encode() + b" " + target + b" HTTP/" + version.encode(),
             b"Host: x", *[f.encode("latin-1") for f in fields], b"", b""]
    return b"\r\n".join(lines)


def raw(server, data, half_close=False):
    """Sends data; returns the replies until the server closes."""
    with server.connect() as s:
        s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        reader, replies = Reader(s), []
        while reply := reader.reply():
            replies.append(reply)
        return replies
