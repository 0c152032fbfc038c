// SPDX-License-Identifier: MIT
// C += A * B by quadrants, in place.
use crate::{kernels::matmul_block, Record};
use rayon::join;

const GRAIN: usize = 64;

/// The corner of a block in matrices of `n` columns. Blocks that are written
/// at the same time are disjoint, but lie interleaved in memory: no slices.
#[derive(Clone, Copy)]
struct Block {
    a: *const f64,
    b: *const f64,
    c: *mut f64,
    n: usize,
}

unsafe impl Send for Block {}
unsafe impl Sync for Block {}

impl Block {
    /// The product of quadrant (i, k) of a and (k, j) of b into (i, j) of c.
    unsafe fn quadrant(
        &self,
        half: usize,
        (i, j, k): (usize, usize, usize),
    ) -> Block {
        let n = self.n;

        Block {
            a: self.a.add((i * n + k) * half),
            b: self.b.add((k * n + j) * half),
            c: self.c.add((i * n + j) * half),
            n,
        }
    }
}

unsafe fn multiply(block: &Block, size: usize) {
    if size <= GRAIN {
        return matmul_block(block.a, block.b, block.c, block.n);
    }
    let half = size / 2;

    for k in 0..2 {
        let part = |i, j| multiply(&block.quadrant(half, (i, j, k)), half);

        join(
            || join(|| part(0, 0), || part(0, 1)),
            || join(|| part(1, 0), || part(1, 1)),
        );
    }
}

pub fn row(n: usize, record: &mut Record) {
    assert!(n >= GRAIN && n.is_power_of_two());
    let fill = |f: fn(usize, usize) -> f64| -> Vec<f64> {
        (0..n * n).map(|k| f(k / n, k % n)).collect()
    };
    let a = fill(|i, j| ((i * 3 + j) % 7) as f64 - 3.0);
    let b = fill(|i, j| ((i + 5 * j) % 5) as f64 - 2.0);
    let mut c = fill(|_, _| 0.0);
    let all = Block { a: a.as_ptr(), b: b.as_ptr(), c: c.as_mut_ptr(), n };

    let start = std::time::Instant::now();
    // SAFETY: all three matrices have n * n items and live on; the quadrants
    // of c that run at the same time are disjoint.
    unsafe { multiply(&all, n) };
    let ns = start.elapsed().as_nanos() as u64;

    let answer: i64 = (0..n * n)
        .map(|k| c[k] as i64 * ((k / n * 31 + k % n) % 101) as i64)
        .sum();
    record(ns, answer);
}
