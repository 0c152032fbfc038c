// SPDX-License-Identifier: MIT
// Trees of rayon::join: every node forks, nothing is cut off.
use rayon::join;

const GOLDEN: u64 = 0x9e3779b97f4a7c15;

pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

/// Sum `f` over the children `from..to`: forks all of them but the last,
/// which is called. Halving them needs no allocation, as a scope would.
fn children<F>(from: u64, to: u64, f: &F) -> u64
where
    F: Fn(u64) -> u64 + Sync,
{
    if to - from == 1 {
        return f(from);
    }
    let mid = from + (to - from) / 2;
    let (a, b) = join(|| children(from, mid, f), || children(mid, to, f));
    a + b
}

pub fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = join(|| fib(n - 2), || fib(n - 1));
    a + b
}

pub fn skynet(number: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return number;
    }
    let size = leaves / 10;
    children(0, 10, &|i| skynet(number + i * size, size))
}

const BOARD: usize = 16;

pub fn nqueens(n: usize) -> u64 {
    assert!(n <= BOARD);
    place([0; BOARD], 0, n)
}

fn safe(board: &[i8], column: i8) -> bool {
    let n = board.len() as i8;

    board.iter().zip(0..).all(|(&b, i)| {
        let d = b - column;
        d != 0 && d != n - i && d != i - n
    })
}

fn place(board: [i8; BOARD], row: usize, n: usize) -> u64 {
    if row == n {
        return 1;
    }
    let mut columns = [0i8; BOARD];
    let mut count = 0;

    for column in 0..n as i8 {
        if safe(&board[..row], column) {
            columns[count] = column;
            count += 1;
        }
    }
    if count == 0 {
        return 0;
    }
    children(0, count as u64, &|i| {
        let mut copy = board;
        copy[row] = columns[i as usize];
        place(copy, row + 1, n)
    })
}

fn integrand(x: f64) -> f64 {
    (x * x + 1.0) * x
}

pub fn integrate(n: f64) -> u64 {
    let (y1, y2) = (integrand(0.0), integrand(n));

    (step(0.0, y1, n, y2, (y1 + y2) / 2.0 * n) * 10.0).floor() as u64
}

fn step(x1: f64, y1: f64, x2: f64, y2: f64, area: f64) -> f64 {
    let half = (x2 - x1) / 2.0;
    let x0 = x1 + half;
    let y0 = integrand(x0);
    let a1 = (y1 + y0) / 2.0 * half;
    let a2 = (y0 + y2) / 2.0 * half;
    let sum = a1 + a2;

    if (sum - area).abs() < 1e-9 {
        return sum;
    }
    let (left, right) = join(
        || step(x1, y1, x0, y0, a1),
        || step(x0, y0, x2, y2, a2),
    );
    left + right
}

pub fn uts(n: u64) -> u64 {
    let root = mix(n);

    1 + children(0, 2000, &|i| node(child(root, i)))
}

fn child(state: u64, i: u64) -> u64 {
    mix(state.wrapping_add((i + 1).wrapping_mul(GOLDEN)))
}

fn node(state: u64) -> u64 {
    if mix(state ^ GOLDEN) >> 40 >= 2094635 {
        return 1;
    }
    1 + children(0, 8, &|i| node(child(state, i)))
}
