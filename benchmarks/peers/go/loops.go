// SPDX-License-Identifier: MIT

package main

// Parallel loops: as many goroutines as threads draw chunks from one counter.

import (
	"math"
	"sync"
	"sync/atomic"
)

// Chunks a thread gets, were all chunks alike.
const chunksEach = 64

// parallelFor calls body with parts of [0, n), disjoint and together all of
// it, on `threads` goroutines of which the caller is one.
func parallelFor(n, threads int, body func(from, to int)) {
	chunk := n / (threads * chunksEach)
	if chunk < 1 {
		chunk = 1
	}
	var next int64
	draw := func() {
		for {
			to := int(atomic.AddInt64(&next, int64(chunk)))
			from := to - chunk
			if from >= n {
				return
			}
			if to > n {
				to = n
			}
			body(from, to)
		}
	}
	var wg sync.WaitGroup
	wg.Add(threads - 1)
	for i := 1; i < threads; i++ {
		go func() {
			draw()
			wg.Done()
		}()
	}
	draw()
	wg.Wait()
}

func runHeat(r *run) {
	n := r.size
	u, v := make([]float64, n*n), make([]float64, n*n)
	heatFill(u, v, n)
	r.start()
	for step := 0; step < n/4; step++ {
		from, to := u, v
		parallelFor(n-2, r.threads, func(a, b int) {
			for i := a; i < b; i++ {
				heatRow(from, to, n, i+1)
			}
		})
		u, v = v, u
	}
	r.stop()
	r.answer = heatAnswer(u)
}

// xorFor is the parallel loop whose parts yield a word each.
func xorFor(n, threads int, part func(from, to uint64) uint64) uint64 {
	var mu sync.Mutex
	var x uint64
	parallelFor(n, threads, func(from, to int) {
		y := part(uint64(from), uint64(to))
		mu.Lock()
		x ^= y
		mu.Unlock()
	})
	return x >> 1
}

func runEven(size, threads int) uint64 {
	return xorFor(size, threads, func(from, to uint64) (x uint64) {
		for i := from; i < to; i++ {
			x ^= spin(i, 500)
		}
		return
	})
}

func runSkewed(size, threads int) uint64 {
	dear := uint64(size) / 8
	return xorFor(size, threads, func(from, to uint64) (x uint64) {
		for i := from; i < to; i++ {
			if i < dear {
				x ^= spin(i, 4000)
			} else {
				x ^= spin(i, 100)
			}
		}
		return
	})
}

func runFine(size, threads int) uint64 {
	return xorFor(size, threads, func(from, to uint64) (x uint64) {
		for i := from; i < to; i++ {
			x ^= spin(i, 2)
		}
		return
	})
}

func runReduce(size, threads int) uint64 {
	var total uint64
	parallelFor(size, threads, func(from, to int) {
		var sum uint64
		for i := uint64(from); i < uint64(to); i++ {
			sum += mix(i) >> 8
		}
		atomic.AddUint64(&total, sum)
	})
	return total & math.MaxInt64
}
