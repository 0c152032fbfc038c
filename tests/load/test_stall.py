# SPDX-License-Identifier: MIT
"""At a fixed rate, a server that stalls until the end shows in the latencies:
what was due and could not be sent counts too."""
import json
import os
import socket
import subprocess
import threading
import time

RATE, SECONDS, GOOD, STALL_ENDS = 400, 1.5, 0.5, 2.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
first = None


def serve(s):
    global first
    while s.recv(4096):
        now = time.monotonic()
        first = first or now
        if now - first > GOOD:
            time.sleep(max(0, first + STALL_ENDS - now))
        s.sendall(ANSWER)


def accept(listener):
    while True:
        s, _ = listener.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(s,), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
out = subprocess.run(
    [os.environ["WEFT_LOAD"], "--rate", str(RATE), "--duration", str(SECONDS),
     "--connections", "4", "--json",
     "http://127.0.0.1:%d/" % listener.getsockname()[1]],
    stdout=subprocess.PIPE, timeout=30, check=True).stdout
r = json.loads(out)
print(r)
due = RATE * SECONDS
assert abs(r["requests"] + r["unsent"] - due) <= 2, "not all that were due"
assert r["unsent"] > due / 3, "what was not sent is missing"
# Half of what was due came up later than 0.75 s into the run, while nothing
# was answered before 2 s.
assert r["p50_us"] > 300e3, "the stall does not show in the median"
