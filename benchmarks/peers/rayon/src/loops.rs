// SPDX-License-Identifier: MIT
// Parallel iterators as they split of themselves.
use crate::{forks::mix, Record};
use rayon::prelude::*;

fn spin(i: u64, rounds: u32) -> u64 {
    let mut x = i + 1;

    for _ in 0..rounds {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

fn xor(n: usize, f: impl Fn(u64) -> u64 + Sync + Send) -> u64 {
    (0..n).into_par_iter().map(|i| f(i as u64)).reduce(|| 0, |a, b| a ^ b)
}

pub fn even(n: usize) -> u64 {
    xor(n, |i| spin(i, 500))
}

pub fn skewed(n: usize) -> u64 {
    let dear = n as u64 / 8;

    xor(n, |i| spin(i, if i < dear { 4000 } else { 100 }))
}

pub fn fine(n: usize) -> u64 {
    xor(n, |i| spin(i, 2))
}

pub fn reduce(n: usize) -> u64 {
    (0..n)
        .into_par_iter()
        .map(|i| mix(i as u64) >> 8)
        .reduce(|| 0, u64::wrapping_add)
}

pub fn heat_row(n: usize, record: &mut Record) {
    let mut u: Vec<f64> =
        (0..n * n).map(|k| ((k / n * (k % n)) % 16) as f64).collect();
    let mut v = u.clone();

    let start = std::time::Instant::now();
    for _ in 0..n / 4 {
        heat_step(&u, &mut v, n);
        std::mem::swap(&mut u, &mut v);
    }
    let ns = start.elapsed().as_nanos() as u64;

    record(ns, u.iter().fold(0.0, |sum, x| sum + x).floor() as i64);
}

/// All rows of `v` but the borders from `u`. Slices of one length each, so
/// that no index is checked in the inner loop.
fn heat_step(u: &[f64], v: &mut [f64], n: usize) {
    v[n..n * (n - 1)].par_chunks_exact_mut(n).enumerate().for_each(|(i, w)| {
        let rows = &u[i * n..(i + 3) * n];
        let m = n - 2;
        let up = &rows[1..][..m];
        let left = &rows[n..][..m];
        let right = &rows[n + 2..][..m];
        let down = &rows[2 * n + 1..][..m];
        let w = &mut w[1..][..m];

        for j in 0..m {
            w[j] = 0.25 * (((up[j] + down[j]) + left[j]) + right[j]);
        }
    });
}
