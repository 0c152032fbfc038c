# SPDX-License-Identifier: MIT
"""Files, ranges, names and compression."""

import gzip
import os
import random
import re
import threading
import time
import zlib

import harness
from harness import SANITIZED, Reader, Server, ask, raw, request, test


# ---- files -------------------------------------------------------------------

@test
def files_byte_for_byte():
    with Server() as srv:
        for _ in range(2):  # from the disk, from the cache
            for name, data in harness.TREE.files.items():
                if name == "noread.txt":
                    continue
                reply = ask(srv, "/" + name.replace(" ", "%20"))
                assert reply.status == 200, (name, reply.status)
                assert reply.body == data, name
                assert reply["last-modified"] == \
                    "Tue, 14 Nov 2023 22:13:20 GMT"
                assert reply["accept-ranges"] == "bytes"
        types = {"/hello.txt": "text/plain; charset=utf-8",
                 "/sub/": "text/html; charset=utf-8",
                 "/1k.bin": "application/octet-stream"}
        for target, kind in types.items():
            assert ask(srv, target)["content-type"] == kind, target


@test
def without_cache():
    with Server("--cache-files", "0") as srv:
        for name in "hello.txt", "64k.bin", "big.bin":
            assert ask(srv, "/" + name).body == harness.TREE.files[name]


@test
def small_cache_evicts():
    root = os.path.join(harness.TREE.top, "many")
    os.mkdir(root)
    for i in range(300):
        with open(os.path.join(root, f"{i}.txt"), "w", encoding="ascii") as f:
            f.write(f"file {i}\n" * (1 if i % 3 else 9000))
    with Server("--cache-files", "20", "--cache-bytes", "4K",
                root=root) as srv:
        with srv.connect() as s:
            reader = Reader(s)
            for i in list(range(300)) * 2:
                s.sendall(request(f"/{i}.txt"))
                want = f"file {i}\n" * (1 if i % 3 else 9000)
                assert reader.reply().body == want.encode(), i
        n = len(os.listdir(f"/proc/{srv.proc.pid}/fd"))
        assert n < 100, f"{n} descriptors are open"


@test
def head_has_no_body():
    with Server("--gzip", "1") as srv:
        with srv.connect() as s:
            reader = Reader(s)
            for target in "/hello.txt", "/big.bin", "/list/", "/nothing":
                got = {}
                for method in "HEAD", "GET":
                    s.sendall(request(target, method=method))
                    got[method] = reader.reply(method)
                for name in "content-length", "content-type", "etag":
                    assert got["HEAD"][name] == got["GET"][name], target
                assert got["HEAD"].status == got["GET"].status
            s.sendall(request("/text.txt", "Accept-Encoding: gzip",
                              method="HEAD"))
            reply = reader.reply("HEAD")
            assert reply["content-encoding"] == "gzip"
            assert reply["content-length"] is None


@test
def changed_files_are_seen():
    name = os.path.join(harness.TREE.root, "changing.txt")
    with Server() as srv:
        tags = set()
        for i in range(3):
            data = b"version %d\n" % i
            with open(name, "wb") as f:
                f.write(data)
            if i:
                time.sleep(1.1)
            reply = ask(srv, "/changing.txt")
            assert reply.body == data, (i, reply.body)
            tags.add(reply["etag"])
        assert len(tags) == 3
        os.unlink(name)
        time.sleep(1.1)
        assert ask(srv, "/changing.txt").status == 404


@test
def conditional_requests():
    with Server() as srv:
        plain = ask(srv, "/hello.txt")
        tag, date = plain["etag"], plain["last-modified"]
        unchanged = [
            f"If-None-Match: {tag}", f"If-None-Match: W/{tag}",
            f'If-None-Match: "a", {tag}', "If-None-Match: *",
            f"If-Modified-Since: {date}",
            "If-Modified-Since: Tuesday, 14-Nov-23 22:13:20 GMT",
            "If-Modified-Since: Tue Nov 14 22:13:20 2023",
            "If-Modified-Since: Fri, 31 Dec 2027 00:00:00 GMT",
        ]
        changed = [
            'If-None-Match: "x"', "If-None-Match: ", "If-None-Match: \"",
            "If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT",
            "If-Modified-Since: nonsense",
        ]
        for field in unchanged:
            for method in "GET", "HEAD":
                reply = ask(srv, "/hello.txt", field, method=method)
                assert reply.status == 304, field
                assert reply["etag"] == tag and not reply.body
        for field in changed:
            assert ask(srv, "/hello.txt", field).status == 200, field
        # An entity tag decides alone.
        reply = ask(srv, "/hello.txt", 'If-None-Match: "x"',
                    f"If-Modified-Since: {date}")
        assert reply.status == 200


# ---- ranges ------------------------------------------------------------------

@test
def ranges():
    with Server() as srv:
        for name in "hello.txt", "64k.bin", "big.bin":
            data = harness.TREE.files[name]
            size = len(data)
            cases = {
                "0-0": (0, 1), "0-4": (0, 5), "3-": (3, size - 3),
                "-2": (size - 2, 2), f"-{size + 9}": (0, size),
                f"5-{size + 9}": (5, size - 5),
                "1-99999999999999999999999": (1, size - 1),
                f"{size - 1}-": (size - 1, 1), " 2-3": (2, 2),
            }
            for spec, (first, n) in cases.items():
                reply = ask(srv, "/" + name, f"Range: bytes={spec}")
                assert reply.status == 206, (name, spec, reply.status)
                assert reply.body == data[first:first + n], (name, spec)
                assert reply["content-range"] == \
                    f"bytes {first}-{first + n - 1}/{size}", spec
            for spec in f"{size}-", "-0", f"{size + 1}-{size + 2}":
                reply = ask(srv, "/" + name, f"Range: bytes={spec}")
                assert reply.status == 416, (name, spec)
                assert reply["content-range"] == f"bytes */{size}"
            for field in "bytes=", "bytes=5-2", "bytes=x-", "lines=1-2", \
                    "bytes 1-2", "bytes=1", "bytes=--1", "bytes=1-2x":
                reply = ask(srv, "/" + name, f"Range: {field}")
                assert (reply.status, reply.body) == (200, data), field
        assert ask(srv, "/empty.txt", "Range: bytes=0-0").status == 416
        assert ask(srv, "/hello.txt", "Range: bytes=0-1",
                   method="HEAD").status == 200


@test
def several_ranges():
    with Server() as srv:
        for name in "hello.txt", "big.bin":
            data = harness.TREE.files[name]
            reply = ask(srv, "/" + name, "Range: bytes=0-1, 4-6,-3, 999999999-")
            assert reply.status == 206
            kind = reply["content-type"]
            match = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", kind)
            parts = reply.body.split(b"\r\n--" + match[1].encode())
            assert parts[0] == b"" and parts[-1] == b"--\r\n", parts[-1]
            want = [(0, 2), (4, 3), (len(data) - 3, 3)]
            assert len(parts) == len(want) + 2
            for part, (first, n) in zip(parts[1:], want):
                head, body = part.split(b"\r\n\r\n", 1)
                assert body == data[first:first + n]
                assert f"bytes {first}-{first + n - 1}/{len(data)}" in \
                    head.decode()
        many = ",".join(f"{i}-{i}" for i in range(17))
        for spec in many, "0-,0-,0-,0-", "0-8,1-9":
            reply = ask(srv, "/hello.txt", f"Range: bytes={spec}")
            assert reply.status == 200, spec
            assert reply.body == harness.TREE.files["hello.txt"]


@test
def if_range():
    with Server() as srv:
        plain = ask(srv, "/hello.txt")
        for good in plain["etag"], plain["last-modified"]:
            reply = ask(srv, "/hello.txt", "Range: bytes=1-2",
                        f"If-Range: {good}")
            assert reply.status == 206, good
        for bad in '"other"', "W/" + plain["etag"], \
                "Tue, 14 Nov 2023 22:13:21 GMT":
            reply = ask(srv, "/hello.txt", "Range: bytes=1-2",
                        f"If-Range: {bad}")
            assert (reply.status, len(reply.body)) == (200, 13), bad


# ---- names -------------------------------------------------------------------

@test
def directories():
    with Server() as srv:
        assert ask(srv, "/sub/").body == harness.TREE.files["sub/index.html"]
        reply = ask(srv, "/sub")
        assert (reply.status, reply["location"]) == (301, "/sub/")
        reply = ask(srv, "//deep//er?a=b&c")
        assert (reply.status, reply["location"]) == (301, "/deep/er/?a=b&c")
        page = ask(srv, "/list/").body.decode()
        assert 'href="./a%20file%20&amp;%20more.txt"' not in page
        assert 'href="./a%20file%20%26%20more.txt"' in page, page
        assert "a file &amp; more.txt" in page
        assert "&lt;b&gt;.txt" in page and "<b>" not in page
        assert 'href="./dir/"' in page and "hidden" not in page
        for name in re.findall(r'href="\./([^"]+)"', page):
            assert ask(srv, "/list/" + name).status == 200, name
        page = ask(srv, "/").body.decode()
        assert "inside.txt" in page and "out.txt" not in page
        assert "fifo" not in page and "outdir" not in page
        assert ask(srv, "/hello.txt/").status == 404
        assert ask(srv, "/missing/").status == 404


@test
def escapes_are_decoded():
    with Server() as srv:
        for target in "/h%65llo.txt", "/hello.txt?q=1", "/./hello.txt", \
                "/sub/../hello.txt", "/sub/%2e%2e/hello.txt", \
                "http://x/hello.txt", "HTTP://x:80/hello.txt?q", \
                "/deep/er/../../hello.txt", "//hello.txt", "/sub%2fup.txt":
            reply = ask(srv, target)
            assert (reply.status, reply.body) == \
                (200, harness.TREE.files["hello.txt"]), target
        for target in "/%", "/%4", "/%zz", "/hello.txt%00", "/%00", \
                "/a%0/b":
            assert ask(srv, target).status == 400, target


def refused(srv, target):
    reply = ask(srv, target)
    assert reply.status in (400, 403, 404, 414), (target, reply.status)
    assert b"SECRET" not in reply.body and b"root:" not in reply.body
    return reply.status


@test
def no_escape_from_root():
    for args in (), ("--no-openat2",):
        with Server(*args) as srv:
            for target in "/../secret.txt", "/%2e%2e/secret.txt", \
                    "/..%2fsecret.txt", "/sub/../../secret.txt", \
                    "/%2e%2e%2fsecret.txt", "/..", "/../", \
                    "/../../../../../../etc/passwd", "http://x/../secret.txt":
                assert refused(srv, target) == 400, target
            for target in "/out.txt", "/outdir/secret.txt", "/outdir/", \
                    "/sibling/s.txt", "/abs.txt", "/loop", "/loop/x", \
                    "/outdir/root/hello.txt/..%5csecret.txt", \
                    "/..\\secret.txt", "/.../secret.txt", "/%252e%252e/x":
                assert refused(srv, target) == 404, target
            if os.geteuid():
                assert refused(srv, "/noread.txt") == 403
            assert refused(srv, "/fifo") == 403
            for good in "/inside.txt", "/sub/up.txt":
                body = ask(srv, good).body
                assert body == harness.TREE.files["hello.txt"], good


@test
def link_swapped_after_caching():
    path = os.path.join(harness.TREE.root, "swap.txt")
    with Server() as srv:
        os.symlink("hello.txt", path)
        assert ask(srv, "/swap.txt").status == 200
        os.unlink(path)
        os.symlink("../secret.txt", path)
        time.sleep(1.1)
        assert refused(srv, "/swap.txt") == 404
        os.unlink(path)


@test
def over_long_names():
    with Server() as srv:
        assert refused(srv, "/" + "a" * 300) == 414
        assert refused(srv, "/a" * 2500) in (404, 414)
        assert refused(srv, "/" + "%41" * 2000) in (404, 414)
        replies = raw(srv, b"GET /" + b"a" * 20000)
        assert [r.status for r in replies] == [414], replies


# ---- compression -------------------------------------------------------------

@test
def gzip_text():
    for args in (), ("--inline",):
        with Server("--gzip", "6", *args) as srv:
            for name in "text.txt", "long.txt":
                data = harness.TREE.files[name]
                for field in "gzip", "br, gzip;q=0.5", "*", "x-gzip":
                    reply = ask(srv, "/" + name, f"Accept-Encoding: {field}")
                    if field == "x-gzip" and not reply["content-encoding"]:
                        continue
                    assert reply["content-encoding"] == "gzip", field
                    assert reply["vary"] == "Accept-Encoding"
                    assert len(reply.body) < len(data) // 4
                    assert gzip.decompress(reply.body) == data
                    assert zlib.decompress(reply.body, 31) == data
                for field in "Accept-Encoding: br", "A: b", \
                        "Accept-Encoding: gzip;q=0", \
                        "Accept-Encoding: identity", \
                        "Accept-Encoding: gzip;q=0.000, *":
                    reply = ask(srv, "/" + name, field)
                    assert reply["content-encoding"] is None, field
                    assert reply["vary"] == "Accept-Encoding"
                    assert reply.body == data
            for name in "1k.bin", "hello.txt":  # no text; too small
                reply = ask(srv, "/" + name, "Accept-Encoding: gzip")
                assert reply["content-encoding"] is None
                assert reply.body == harness.TREE.files[name]
            zipped = ask(srv, "/text.txt", "Accept-Encoding: gzip")
            plain = ask(srv, "/text.txt")
            assert zipped["etag"] != plain["etag"]
            assert ask(srv, "/text.txt", "Accept-Encoding: gzip",
                       f"If-None-Match: {zipped['etag']}").status == 304
            assert ask(srv, "/text.txt",
                       f"If-None-Match: {zipped['etag']}").status == 200
            reply = ask(srv, "/text.txt", "Accept-Encoding: gzip",
                        "Range: bytes=0-9")
            assert reply.status == 206
            assert reply.body == harness.TREE.files["text.txt"][:10]
    with Server("--gzip", "6", "--gzip-max", "200K") as srv:
        reply = ask(srv, "/long.txt", "Accept-Encoding: gzip")
        assert reply["content-encoding"] is None


@test
def gzip_by_many():
    n = 8 if SANITIZED else 32
    failed = []
    with Server("--gzip", "4", "--executor-threads", "2") as srv:
        def client(seed):
            rng = random.Random(seed)
            try:
                with srv.connect(30) as s:
                    reader = Reader(s)
                    for _ in range(10):
                        name = rng.choice(["text.txt", "long.txt",
                                           "5k.html", "hello.txt"])
                        s.sendall(request("/" + name,
                                          "Accept-Encoding: gzip"))
                        reply = reader.reply()
                        body = reply.body
                        if reply["content-encoding"]:
                            body = gzip.decompress(body)
                        assert body == harness.TREE.files[name], name
            except Exception as error:  # told below, on the main thread
                failed.append(repr(error))

        threads = [threading.Thread(target=client, args=(i,))
                   for i in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed, failed[0]
