// SPDX-License-Identifier: MIT

package main

// Tasks that wait, on channels, sync.Mutex, context and time.

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	batch    = 10000
	ringSize = 503
	side     = 4 // producers, and consumers
)

func runSpawn(size, _ int) uint64 {
	var slots [batch]int
	var sum uint64
	for done := 0; done < size; done += batch {
		n := size - done
		if n > batch {
			n = batch
		}
		var wg sync.WaitGroup
		wg.Add(n)
		for i := 0; i < n; i++ {
			i, index := i, done+i
			go func() {
				slots[i] = index
				wg.Done()
			}()
		}
		wg.Wait()
		for _, x := range slots[:n] {
			sum += uint64(x)
		}
	}
	return sum
}

func runSpawnOne(size, _ int) uint64 {
	var sum uint64
	c := make(chan int, 1)
	for i := 0; i < size; i++ {
		i := i
		go func() { c <- i }()
		sum += uint64(<-c)
	}
	return sum
}

func skynetTask(first, leaves int, result chan<- int) {
	if leaves == 1 {
		result <- first
		return
	}
	leaves /= 10
	c := make(chan int, 10)
	for i := 0; i < 10; i++ {
		go skynetTask(first+i*leaves, leaves, c)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-c
	}
	result <- sum
}

func runSkynetTasks(size, _ int) uint64 {
	result := make(chan int, 1)
	go skynetTask(0, size, result)
	return uint64(<-result)
}

func runPingPong(size, _ int) uint64 {
	to, fro, result := make(chan int, 1), make(chan int, 1), make(chan int)
	go func() {
		for i := 0; i < size; i++ {
			fro <- <-to + 1
		}
	}()
	go func() {
		ball := 0
		for i := 0; i < size; i++ {
			to <- ball
			ball = <-fro
		}
		result <- ball
	}()
	return uint64(<-result)
}

func pass(number int, in <-chan int, out chan<- int, winner chan<- int) {
	for token := range in {
		if token == 0 {
			winner <- number
			return
		}
		out <- token - 1
	}
}

// The channels are there before the clock starts; the goroutines are not.
func runRing(r *run) {
	var lines [ringSize]chan int
	winner := make(chan int)
	for i := range lines {
		lines[i] = make(chan int, 1)
	}
	r.start()
	for i := range lines {
		go pass(i+1, lines[i], lines[(i+1)%ringSize], winner)
	}
	lines[0] <- r.size
	r.answer = uint64(<-winner)
	r.stop()
	for i := range lines {
		close(lines[i])
	}
}

func runYield(size, threads int) uint64 {
	var total uint64
	var wg sync.WaitGroup
	wg.Add(2 * threads)
	for t := 0; t < 2*threads; t++ {
		go func() {
			yields := uint64(0)
			for ; yields < uint64(size); yields++ {
				runtime.Gosched()
			}
			atomic.AddUint64(&total, yields)
			wg.Done()
		}()
	}
	wg.Wait()
	return total
}

func runMPMC(size, _ int) uint64 {
	c := make(chan int, 128)
	var producers, consumers sync.WaitGroup
	var total uint64
	producers.Add(side)
	consumers.Add(side)
	for p := 0; p < side; p++ {
		from, to := size*p/side, size*(p+1)/side
		go func() {
			for i := from; i < to; i++ {
				c <- i
			}
			producers.Done()
		}()
		go func() {
			sum := uint64(0)
			for x := range c {
				sum += uint64(x)
			}
			atomic.AddUint64(&total, sum)
			consumers.Done()
		}()
	}
	producers.Wait()
	close(c)
	consumers.Wait()
	return total
}

func runMutex(size, _ int) uint64 {
	var mu sync.Mutex
	var wg sync.WaitGroup
	count := 0
	wg.Add(8)
	for t := 0; t < 8; t++ {
		times := size*(t+1)/8 - size*t/8
		go func() {
			for i := 0; i < times; i++ {
				mu.Lock()
				count++
				mu.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	return uint64(count)
}

func runTimeouts(size, _ int) uint64 {
	in := uint64(0)
	for i := 0; i < size; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		runtime.Gosched()
		if ctx.Err() == nil {
			in++
		}
		cancel()
	}
	return in
}

// resident is this process's memory in bytes.
func resident() int64 {
	var all, pages int64
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(text), &all, &pages)
	}
	if err != nil {
		panic(err)
	}
	return pages * int64(os.Getpagesize())
}

// The first run's: later ones find the memory of the run before. Were the last
// not asleep before the first awake, there were never so many as size: the
// memory is that of the most there ever were at once.
var residentAtFirst, mostAsleep int64

func runSleepers(r *run) {
	var asleep, ended int64
	var wg sync.WaitGroup
	last := make(chan int64)
	if residentAtFirst == 0 {
		residentAtFirst = resident()
	}
	count := func() {
		n := atomic.LoadInt64(&asleep) - atomic.LoadInt64(&ended)
		if n > mostAsleep {
			mostAsleep = n
		}
	}
	wg.Add(r.size)
	r.start()
	for i := 0; i < r.size; i++ {
		go func() {
			if atomic.AddInt64(&asleep, 1) == int64(r.size) {
				last <- resident()
			}
			time.Sleep(time.Second)
			atomic.AddInt64(&ended, 1)
			wg.Done()
		}()
		if i%1024 == 0 {
			count()
		}
	}
	memory := <-last - residentAtFirst
	count()
	wg.Wait()
	r.stop()
	r.bytes = memory / mostAsleep
	r.answer = uint64(ended)
}
