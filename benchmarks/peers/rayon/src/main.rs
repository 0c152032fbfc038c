// SPDX-License-Identifier: MIT
// Rayon: fork-join by rayon::join, loops by parallel iterators.
mod forks;
mod kernels;
mod loops;
mod matmul;
mod sort;

use std::time::Instant;

// Rayon runs stolen jobs on the stack of the join that waits: give room.
const STACK: usize = 256 << 20;

/// Takes the nanoseconds and the answer of one run.
pub type Record<'a> = dyn FnMut(u64, i64) + 'a;

type Row = (&'static str, fn(usize, &mut Record));

const ROWS: &[Row] = &[
    ("fib", |n, r| time(r, || forks::fib(n as u64))),
    ("skynet", |n, r| time(r, || forks::skynet(0, n as u64))),
    ("nqueens", |n, r| time(r, || forks::nqueens(n))),
    ("integrate", |n, r| time(r, || forks::integrate(n as f64))),
    ("uts", |n, r| time(r, || forks::uts(n as u64))),
    ("cilksort", sort::row),
    ("matmul", matmul::row),
    ("heat", loops::heat_row),
    ("for_even", |n, r| time(r, || loops::even(n) >> 1)),
    ("for_skewed", |n, r| time(r, || loops::skewed(n) >> 1)),
    ("for_fine", |n, r| time(r, || loops::fine(n) >> 1)),
    ("reduce", |n, r| time(r, || loops::reduce(n) << 1 >> 1)),
];

/// Time `work`, which also computes the answer, and hand both over.
fn time(record: &mut Record, work: impl FnOnce() -> u64) {
    let start = Instant::now();
    let answer = work() as i64;

    record(start.elapsed().as_nanos() as u64, answer);
}

fn usage() -> ! {
    eprintln!("usage: peer list | version | ROW THREADS SIZE RUNS");
    std::process::exit(2)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();

    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => ROWS.iter().for_each(|row| println!("{}", row.0)),
        ["version"] => println!("{}", env!("PEER_VERSION")),
        [name, threads, size, runs] => {
            let row = ROWS.iter().find(|row| row.0 == name);
            let numbers = (threads.parse(), size.parse(), runs.parse());

            match (row, numbers) {
                (Some(row), (Ok(threads), Ok(size), Ok(runs))) => {
                    run(row.1, threads, size, runs)
                }
                _ => usage(),
            }
        }
        _ => usage(),
    }
}

fn run(
    row: fn(usize, &mut Record),
    threads: usize,
    size: usize,
    runs: usize,
) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK)
        .build()
        .expect("no thread pool");

    // Inside of the pool: what is timed begins and ends on a worker.
    pool.install(|| {
        row(size, &mut |_, _| ());
        for _ in 0..runs {
            row(size, &mut |ns, answer| println!("{ns} {answer}"));
        }
    });
}
