// SPDX-License-Identifier: MIT

// The peer on Go: goroutines, channels and package sync, nothing else.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// A run is one timed go at a row. The row calls start and stop around its
// work and sets the answer.
type run struct {
	size, threads int
	began         time.Time
	took          time.Duration
	answer        uint64
	bytes         int64 // per item; 0: not measured
}

func (r *run) start() { r.began = time.Now() }
func (r *run) stop()  { r.took = time.Since(r.began) }

type row struct {
	name string
	work func(*run)
}

// all is a row whose whole work is timed.
func all(work func(size, threads int) uint64) func(*run) {
	return func(r *run) {
		r.start()
		r.answer = work(r.size, r.threads)
		r.stop()
	}
}

var rows = []row{
	{"fib", all(runFib)},
	{"skynet", all(runSkynet)},
	{"nqueens", all(runQueens)},
	{"integrate", all(runIntegrate)},
	{"uts", all(runUTS)},
	{"cilksort", runSort},
	{"heat", runHeat},
	{"for_even", all(runEven)},
	{"for_skewed", all(runSkewed)},
	{"for_fine", all(runFine)},
	{"reduce", all(runReduce)},
	{"spawn", all(runSpawn)},
	{"spawn_one", all(runSpawnOne)},
	{"skynet_tasks", all(runSkynetTasks)},
	{"pingpong", all(runPingPong)},
	{"ring", runRing},
	{"yield", all(runYield)},
	{"mpmc", all(runMPMC)},
	{"mutex", all(runMutex)},
	{"timeouts", all(runTimeouts)},
	{"sleepers", runSleepers},
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: peer list | version | ROW THREADS SIZE RUNS")
	os.Exit(2)
}

func find(name string) func(*run) {
	for _, r := range rows {
		if r.name == name {
			return r.work
		}
	}
	fmt.Fprintln(os.Stderr, "no such row:", name)
	os.Exit(2)
	return nil
}

// number of a command line; at least 1.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		usage()
	}
	return n
}

// once does the row once on a heap without the garbage of the run before, as
// package testing does it for a benchmark.
func once(work func(*run), threads, size int) run {
	r := run{size: size, threads: threads}
	runtime.GC()
	work(&r)
	return r
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "list" {
		for _, r := range rows {
			fmt.Println(r.name)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Printf("go %s, gc %s/%s\n", runtime.Version()[2:], runtime.GOOS, runtime.GOARCH)
		return
	}
	if len(os.Args) != 5 {
		usage()
	}
	work := find(os.Args[1])
	threads, size, runs := number(os.Args[2]), number(os.Args[3]), number(os.Args[4])

	runtime.GOMAXPROCS(threads)
	if os.Getenv("GOGC") == "" {
		// For speed rather than memory: up to a third less time in the trees.
		debug.SetGCPercent(400)
	}
	once(work, threads, size)
	for i := 0; i < runs; i++ {
		r := once(work, threads, size)
		if r.bytes > 0 {
			fmt.Println(r.took.Nanoseconds(), r.answer, r.bytes)
		} else {
			fmt.Println(r.took.Nanoseconds(), r.answer)
		}
	}
}
