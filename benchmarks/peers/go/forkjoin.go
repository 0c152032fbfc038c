// SPDX-License-Identifier: MIT

package main

// Fork-join: a goroutine for every fork. A node has a slot for each child's
// result beside the WaitGroup that tells when all are filled: one allocation,
// and measurably less than a channel.

import (
	"math"
	"sync"
)

type fibNode struct {
	wg sync.WaitGroup
	a  int
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	node := new(fibNode)
	node.wg.Add(1)
	go func() {
		node.a = fib(n - 1)
		node.wg.Done()
	}()
	b := fib(n - 2)
	node.wg.Wait()
	return node.a + b
}

func runFib(size, _ int) uint64 { return uint64(fib(size)) }

type skyNode struct {
	wg  sync.WaitGroup
	sum [9]int
}

func skynet(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	leaves /= 10
	n := new(skyNode)
	n.wg.Add(len(n.sum))
	for i := range n.sum {
		i := i
		go func() {
			n.sum[i] = skynet(first+i*leaves, leaves)
			n.wg.Done()
		}()
	}
	sum := skynet(first+9*leaves, leaves)
	n.wg.Wait()
	for _, s := range n.sum {
		sum += s
	}
	return sum
}

func runSkynet(size, _ int) uint64 { return uint64(skynet(0, size)) }

// A board goes to a goroutine by value: its closure is the copy.
const maxQueens = 20

type board [maxQueens]int8

type queensNode struct {
	wg    sync.WaitGroup
	count [maxQueens]int
}

func queens(b *board, row, n int) int {
	if row == n {
		return 1
	}
	var node *queensNode
	for c := 0; c < n; c++ {
		if !queenSafe(b[:row], c) {
			continue
		}
		if node == nil {
			node = new(queensNode)
		}
		child, c, node := *b, c, node
		child[row] = int8(c)
		node.wg.Add(1)
		go func() {
			node.count[c] = queens(&child, row+1, n)
			node.wg.Done()
		}()
	}
	if node == nil {
		return 0
	}
	node.wg.Wait()
	count := 0
	for _, k := range node.count[:n] {
		count += k
	}
	return count
}

func runQueens(size, _ int) uint64 {
	if size > maxQueens {
		panic("more queens than a board has room for")
	}
	return uint64(queens(new(board), 0, size))
}

type quadNode struct {
	wg   sync.WaitGroup
	left float64
}

func integrate(x1, y1, x2, y2, area float64) float64 {
	half := (x2 - x1) / 2
	x0 := x1 + half
	y0 := integrand(x0)
	a1 := float64((y1 + y0) / 2 * half)
	a2 := float64((y0 + y2) / 2 * half)
	alr := a1 + a2
	if math.Abs(alr-area) < epsilon {
		return alr
	}
	node := new(quadNode)
	node.wg.Add(1)
	go func() {
		node.left = integrate(x1, y1, x0, y0, a1)
		node.wg.Done()
	}()
	right := integrate(x0, y0, x2, y2, a2)
	node.wg.Wait()
	return node.left + right
}

func runIntegrate(size, _ int) uint64 {
	n := float64(size)
	y1, y2 := integrand(0), integrand(n)
	total := integrate(0, y1, n, y2, (y1+y2)/2*n)
	return uint64(math.Floor(total * 10))
}

type utsNode struct {
	wg    sync.WaitGroup
	count [7]int
}

// uts is the number of nodes of the tree at s.
func uts(s uint64) int {
	if utsChildren(s) == 0 {
		return 1
	}
	n := new(utsNode)
	n.wg.Add(len(n.count))
	for i := range n.count {
		i := i
		go func() {
			n.count[i] = uts(utsChild(s, i))
			n.wg.Done()
		}()
	}
	count := 1 + uts(utsChild(s, len(n.count)))
	n.wg.Wait()
	for _, k := range n.count {
		count += k
	}
	return count
}

func runUTS(size, _ int) uint64 {
	var wg sync.WaitGroup
	var counts [utsRootChildren]int
	s := mix(uint64(size))

	wg.Add(len(counts))
	for i := range counts {
		i := i
		go func() {
			counts[i] = uts(utsChild(s, i))
			wg.Done()
		}()
	}
	wg.Wait()
	total := 1
	for _, k := range counts {
		total += k
	}
	return uint64(total)
}

func mergeInto(a, b, out []uint32) {
	if len(a)+len(b) <= sortGrain {
		mergeSmall(a, b, out)
		return
	}
	if len(a) < len(b) {
		a, b = b, a
	}
	i := len(a) / 2
	j := lowerBound(b, a[i])
	lowA, lowB, lowOut := a[:i], b[:j], out[:i+j]

	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		mergeInto(lowA, lowB, lowOut)
		wg.Done()
	}()
	mergeInto(a[i:], b[j:], out[i+j:])
	wg.Wait()
}

// mergeSort sorts a: in its place, or into other if away.
func mergeSort(a, other []uint32, away bool) {
	if len(a) <= sortGrain {
		sortSmall(a)
		if away {
			copy(other, a)
		}
		return
	}
	half := len(a) / 2
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		mergeSort(a[:half], other[:half], !away)
		wg.Done()
	}()
	mergeSort(a[half:], other[half:], !away)
	wg.Wait()
	if away {
		mergeInto(a[:half], a[half:], other)
	} else {
		mergeInto(other[:half], other[half:], a)
	}
}

func runSort(r *run) {
	a, other := make([]uint32, r.size), make([]uint32, r.size)
	sortFill(a)
	copy(other, a) // its memory is touched before the clock
	r.start()
	mergeSort(a, other, false)
	r.stop()
	r.answer = sortAnswer(a)
}
