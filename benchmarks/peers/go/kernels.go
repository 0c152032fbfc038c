// SPDX-License-Identifier: MIT

package main

// What ../kernels.h has, in Go: the sequential part of every row.

import "math"

const (
	golden          = 0x9e3779b97f4a7c15
	sortGrain       = 2048
	epsilon         = 1e-9
	utsRootChildren = 2000
)

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// queenSafe: may a queen stand in column c of the row after these?
func queenSafe(board []int8, c int) bool {
	for i, b := range board {
		d, n := int(b)-c, len(board)-i
		if d == 0 || d == n || d == -n {
			return false
		}
	}
	return true
}

// The conversion forbids a fused multiply and add where the machine has one.
func integrand(x float64) float64 { return (float64(x*x) + 1.0) * x }

func utsChildren(state uint64) int {
	if mix(state^golden)>>40 < 2094635 {
		return 8
	}
	return 0
}

func utsChild(state uint64, i int) uint64 {
	return mix(state + uint64(i+1)*golden)
}

func sortFill(a []uint32) {
	for i := range a {
		a[i] = uint32(mix(uint64(i) + 1))
	}
}

func sortAnswer(a []uint32) uint64 {
	var sum uint64
	for i, x := range a {
		if i > 0 && a[i-1] > x {
			panic("not sorted")
		}
		sum += uint64(x ^ uint32(uint64(i)*2654435761))
	}
	return sum
}

func median(x, y, z uint32) uint32 {
	if x > y {
		x, y = y, x
	}
	if z < x {
		return x
	}
	if z > y {
		return y
	}
	return z
}

// sortSmall is a quicksort of three medians, ended by insertion: sort.Slice
// calls a closure for every comparison, and slices.Sort is younger than the Go
// that this shall build with.
func sortSmall(a []uint32) {
	for len(a) > 24 {
		pivot := median(a[0], a[len(a)/2], a[len(a)-1])
		i, j := 0, len(a)-1
		for ; ; i, j = i+1, j-1 {
			for a[i] < pivot {
				i++
			}
			for a[j] > pivot {
				j--
			}
			if i >= j {
				break
			}
			a[i], a[j] = a[j], a[i]
		}
		j++
		if j < len(a)-j {
			sortSmall(a[:j])
			a = a[j:]
		} else {
			sortSmall(a[j:])
			a = a[:j]
		}
	}
	for i := 1; i < len(a); i++ {
		x, j := a[i], i
		for ; j > 0 && a[j-1] > x; j-- {
			a[j] = a[j-1]
		}
		a[j] = x
	}
}

func mergeSmall(a, b, out []uint32) {
	i, j, k := 0, 0, 0
	for ; i < len(a) && j < len(b) && k < len(out); k++ {
		if b[j] < a[i] {
			out[k] = b[j]
			j++
		} else {
			out[k] = a[i]
			i++
		}
	}
	k += copy(out[k:], a[i:])
	copy(out[k:], b[j:])
}

// lowerBound is how many of a are less than x.
func lowerBound(a []uint32, x uint32) int {
	low, high := 0, len(a)
	for low < high {
		mid := int(uint(low+high) / 2)
		if a[mid] < x {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func heatFill(u, v []float64, n int) {
	for i := 0; i < n; i++ {
		for j := 0; j < n; j++ {
			x := float64(i * j % 16)
			u[i*n+j], v[i*n+j] = x, x
		}
	}
}

// heatRow is row i, no border, of v from u; the slices of one length spare the
// loop its bounds checks.
func heatRow(u, v []float64, n, i int) {
	m := n - 2
	at := i*n + 1
	to := v[at : at+m]
	up, down := u[at-n:][:len(to)], u[at+n:][:len(to)]
	left, right := u[at-1:][:len(to)], u[at+1:][:len(to)]
	for j := range to {
		to[j] = 0.25 * (((up[j] + down[j]) + left[j]) + right[j])
	}
}

func heatAnswer(u []float64) uint64 {
	sum := 0.0
	for _, x := range u {
		sum += x
	}
	return uint64(math.Floor(sum))
}

func spin(i uint64, rounds int) uint64 {
	x := i + 1
	for k := 0; k < rounds; k++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
