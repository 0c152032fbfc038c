#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# weft-httpd as its real clients see it: curl, ab, wrk and nc.
set -euo pipefail

[[ -x ${WEFT_HTTPD:-} ]] || { echo "WEFT_HTTPD is not set"; exit 77; }
for tool in curl ab wrk nc cmp; do
    command -v $tool >/dev/null || { echo "$tool is not installed"; exit 77; }
done

dir=$(mktemp -d)
server=
finish() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

mkdir "$dir/www" "$dir/www/sub"
head -c 3000000 /dev/urandom >"$dir/www/big.bin"
printf 'hello, world\n' >"$dir/www/hello.txt"
seq 20000 >"$dir/www/numbers.txt"
echo secret >"$dir/secret"

"$WEFT_HTTPD" --listen 127.0.0.1:0 --port-file "$dir/port" --workers 2 \
    --access-log off --gzip 5 "$dir/www" >"$dir/log" 2>&1 &
server=$!
for _ in $(seq 200); do
    [[ -s $dir/port ]] && break
    sleep 0.05
done
[[ -s $dir/port ]] || fail "no port: $(cat "$dir/log")"
at=http://127.0.0.1:$(cat "$dir/port")

# curl: bodies, ranges, conditions, compression, several on one connection.
curl -sf "$at/big.bin" | cmp - "$dir/www/big.bin" || fail "big.bin"
curl -sf -r 1000-1999 "$at/big.bin" |
    cmp - <(tail -c +1001 "$dir/www/big.bin" | head -c 1000) || fail "range"
curl -sf -C 2999000 "$at/big.bin" |
    cmp - <(tail -c +2999001 "$dir/www/big.bin") || fail "resumed download"
curl -sf --compressed "$at/numbers.txt" | cmp - "$dir/www/numbers.txt" ||
    fail "gzip"
sent=$(curl -sf -o /dev/null -w '%{size_download}' \
    -H 'Accept-Encoding: gzip' "$at/numbers.txt")
((sent < 60000)) || fail "not compressed: $sent bytes"
curl -sfo "$dir/copy" -R "$at/hello.txt"
code=$(curl -s -o /dev/null -w '%{http_code}' -z "$dir/copy" "$at/hello.txt")
[[ $code == 304 ]] || fail "If-Modified-Since: $code"
tag=$(curl -sfI "$at/hello.txt" | tr -d '\r' | sed -n 's/^ETag: //ip')
code=$(curl -s -o /dev/null -w '%{http_code}' -H "If-None-Match: $tag" \
    "$at/hello.txt")
[[ $code == 304 ]] || fail "If-None-Match: $code"
code=$(curl -s --path-as-is -o /dev/null -w '%{http_code}' "$at/../secret")
[[ $code == 400 || $code == 404 ]] || fail "escape: $code"
code=$(curl -s -o /dev/null -w '%{http_code}' "$at/sub")
[[ $code == 301 || $code == 308 ]] || fail "directory: $code"
curl -sf "$at/" | grep -q numbers.txt || fail "listing"
opened=$(curl -sf -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects}' \
    "$at/hello.txt" "$at/numbers.txt" "$at/hello.txt")
[[ $opened == 100 ]] || fail "keep-alive: $opened"

# nc: pipelined requests in one segment, a bad one, a truncated one.
answers=$(printf 'GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n%s' \
    $'HEAD /hello.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' |
    timeout 10 nc 127.0.0.1 "${at##*:}" | grep -c '^HTTP/1.1 200')
[[ $answers == 2 ]] || fail "pipelining: $answers answers"
printf 'GET / HTTP/1.1\r\nHost : x\r\n\r\n' |
    timeout 10 nc 127.0.0.1 "${at##*:}" | head -n 1 | grep -q ' 400 ' ||
    fail "bad request"
printf 'GET /hello' | timeout 10 nc -N 127.0.0.1 "${at##*:}" >/dev/null || true

# ab and wrk: many connections, no failure.
n=4000
[[ -z ${WEFT_SANITIZE:-} ]] || n=400
ab -q -k -c 16 -n $n "$at/hello.txt" >"$dir/ab" || fail "ab"
grep -q "^Failed requests: *0$" "$dir/ab" || fail "ab: $(cat "$dir/ab")"
grep -q "^Complete requests: *$n$" "$dir/ab" || fail "ab: $(cat "$dir/ab")"
wrk -t1 -c100 -d1 "$at/hello.txt" >"$dir/wrk" || fail "wrk"
! grep -qE 'Non-2xx|Socket errors' "$dir/wrk" || fail "wrk: $(cat "$dir/wrk")"

kill -TERM "$server"
wait "$server" || fail "exit status $? after SIGTERM: $(cat "$dir/log")"
server=
echo "all clients were served"
