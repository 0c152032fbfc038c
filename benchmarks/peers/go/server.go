// SPDX-License-Identifier: MIT

// HTTP by net/http, and an echo by net with a goroutine a connection.
// A program of its own beside the rows' one, hence the constraint.
//go:build ignore

package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

var (
	hello    = []byte("Hello, world")
	file     = bytes.Repeat([]byte("x"), 1024)
	plain    = []string{"text/plain"}
	helloLen = []string{"12"}
	fileLen  = []string{"1024"}
)

func answer(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Content-Type"] = plain
	switch r.URL.Path {
	case "/":
		h["Content-Length"] = helloLen
		w.Write(hello)
	case "/1k":
		h["Content-Length"] = fileLen
		w.Write(file)
	default:
		http.NotFound(w, r)
	}
}

func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err = c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "list" {
		fmt.Println("http\necho")
		return
	}
	threads, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	runtime.GOMAXPROCS(threads)
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if os.Args[1] == "http" {
		log.Fatal(http.Serve(l, http.HandlerFunc(answer)))
	}
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(c)
	}
}
