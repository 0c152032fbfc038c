// SPDX-License-Identifier: MIT
// Merge sort with a parallel merge.
use crate::{forks::mix, kernels::{merge_small, sort_small}, Record};
use rayon::join;

const GRAIN: usize = 2048;

/// Sort `a`, into `other` where `there`, else in place.
fn sort(a: &mut [u32], other: &mut [u32], there: bool) {
    let n = a.len();

    if n < GRAIN {
        // SAFETY: it writes those n items.
        unsafe { sort_small(a.as_mut_ptr(), n) };
        if there {
            other.copy_from_slice(a);
        }
        return;
    }
    let (a1, a2) = a.split_at_mut(n / 2);
    let (b1, b2) = other.split_at_mut(n / 2);

    join(|| sort(a1, b1, !there), || sort(a2, b2, !there));
    if there {
        merge(a1, a2, other);
    } else {
        merge(b1, b2, a);
    }
}

fn merge(a: &[u32], b: &[u32], out: &mut [u32]) {
    if a.len() + b.len() < GRAIN {
        // SAFETY: out, a slice of its own, has the items of both.
        unsafe {
            merge_small(
                a.as_ptr(),
                a.len(),
                b.as_ptr(),
                b.len(),
                out.as_mut_ptr(),
            )
        };
        return;
    }
    if a.len() < b.len() {
        return merge(b, a, out);
    }
    let i = a.len() / 2;
    let j = b.partition_point(|&x| x < a[i]);
    let (a1, a2) = a.split_at(i);
    let (b1, b2) = b.split_at(j);
    let (out1, out2) = out.split_at_mut(i + j);

    join(|| merge(a1, b1, out1), || merge(a2, b2, out2));
}

pub fn row(n: usize, record: &mut Record) {
    let mut a: Vec<u32> = (1..=n as u64).map(|i| mix(i) as u32).collect();
    let mut other = vec![0u32; n];

    other.fill(1); // touched before the clock
    let start = std::time::Instant::now();
    sort(&mut a, &mut other, false);
    let ns = start.elapsed().as_nanos() as u64;

    if a.windows(2).any(|pair| pair[0] > pair[1]) {
        eprintln!("not sorted");
        std::process::abort();
    }
    let answer = a.iter().zip(0u64..).fold(0u64, |sum, (&x, i)| {
        sum.wrapping_add((x ^ (i.wrapping_mul(2654435761) as u32)) as u64)
    });
    record(ns, answer as i64);
}
