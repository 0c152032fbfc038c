// SPDX-License-Identifier: MIT
//! HTTP and echo on tokio's multi-threaded runtime: a task a connection,
//! TcpStream and httparse, with no framework between.
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Answers {
    hello: Vec<u8>,
    hello_close: Vec<u8>,
    file: Vec<u8>,
    file_close: Vec<u8>,
    missing: Vec<u8>,
}

fn make(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut v = format!(
        "HTTP/1.1 {}\r\nContent-Type: text/plain\r\n{}Content-Length: {}\r\n\r\n",
        status,
        fields,
        body.len()
    )
    .into_bytes();
    v.extend_from_slice(body);
    v
}

impl Answers {
    fn new() -> Self {
        let close = "Connection: close\r\n";
        let file = [b'x'; 1024];
        Answers {
            hello: make("200 OK", "", b"Hello, world"),
            hello_close: make("200 OK", close, b"Hello, world"),
            file: make("200 OK", "", &file),
            file_close: make("200 OK", close, &file),
            missing: make("404 Not Found", "", b""),
        }
    }

    fn to(&self, method: &str, path: &str, close: bool) -> &[u8] {
        match (method, path, close) {
            ("GET", "/", false) => &self.hello,
            ("GET", "/", true) => &self.hello_close,
            ("GET", "/1k", false) => &self.file,
            ("GET", "/1k", true) => &self.file_close,
            _ => &self.missing,
        }
    }
}

fn wants_close(headers: &[httparse::Header]) -> bool {
    headers.iter().any(|h| {
        h.name.eq_ignore_ascii_case("connection") && h.value.eq_ignore_ascii_case(b"close")
    })
}

/// Answers the whole requests in `buf`: the bytes that they took and whether
/// the connection ends. Pipelined ones share a write.
fn answer_all(a: &Answers, buf: &[u8], out: &mut Vec<u8>) -> io::Result<(usize, bool)> {
    let mut used = 0;
    while used < buf.len() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut req = httparse::Request::new(&mut headers);
        match req.parse(&buf[used..]) {
            Ok(httparse::Status::Complete(n)) => used += n,
            Ok(httparse::Status::Partial) => break,
            Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e)),
        }
        let close = wants_close(req.headers);
        out.extend_from_slice(a.to(req.method.unwrap_or(""), req.path.unwrap_or(""), close));
        if close {
            return Ok((used, true));
        }
    }
    Ok((used, false))
}

async fn http(mut s: TcpStream, a: &'static Answers) -> io::Result<()> {
    let mut buf = Vec::with_capacity(1024);
    let mut out = Vec::with_capacity(1536);
    loop {
        if buf.len() > 16384 || s.read_buf(&mut buf).await? == 0 {
            return Ok(());
        }
        let (used, close) = answer_all(a, &buf, &mut out)?;
        if used == buf.len() {
            buf.clear();
        } else {
            buf.drain(..used);
        }
        if !out.is_empty() {
            s.write_all(&out).await?;
            out.clear();
        }
        if close {
            return Ok(());
        }
    }
}

async fn echo(mut s: TcpStream) -> io::Result<()> {
    let mut buf = [0u8; 4096];
    loop {
        let n = s.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        s.write_all(&buf[..n]).await?;
    }
}

async fn serve(what: &str, port: u16) -> io::Result<()> {
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    let l = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (s, _) = l.accept().await?;
        s.set_nodelay(true)?;
        if what == "http" {
            tokio::spawn(http(s, answers));
        } else {
            tokio::spawn(echo(s));
        }
    }
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if args.len() == 2 && args[1] == "list" {
        println!("http\necho");
        return Ok(());
    }
    let port = args[2].parse().expect("a port");
    let threads = args[3].parse().expect("a number of threads");
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_io()
        .build()?;
    // The main thread is no worker: what it would accept goes to a task.
    let what = args[1].clone();
    rt.block_on(async move {
        tokio::spawn(async move { serve(&what, port).await })
            .await
            .expect("serve")
    })
}
