// SPDX-License-Identifier: MIT
// The rows by name, and how they are timed.
use crate::{channels, on_runtime, tasks};
use std::future::Future;
use std::time::Instant;

pub const NAMES: &[&str] = &[
    "spawn",
    "spawn_one",
    "skynet_tasks",
    "pingpong",
    "ring",
    "yield",
    "mpmc",
    "mutex",
    "timeouts",
    "sleepers",
];

pub fn run(name: &str, threads: usize, n: u64, runs: usize) {
    match name {
        "spawn" => repeat(threads, runs, move || tasks::spawn(n)),
        "spawn_one" => repeat(threads, runs, move || tasks::spawn_one(n)),
        "skynet_tasks" => repeat(threads, runs, move || tasks::skynet(n)),
        "pingpong" => repeat(threads, runs, move || channels::pingpong(n)),
        "ring" => repeat(threads, runs, move || channels::ring(n)),
        "yield" => repeat(threads, runs, move || tasks::yields(threads, n)),
        "mpmc" => repeat(threads, runs, move || channels::mpmc(n)),
        "mutex" => repeat(threads, runs, move || tasks::mutex(n)),
        "timeouts" => repeat(threads, runs, move || tasks::timeouts(n)),
        _ => tasks::sleepers(threads, n, runs),
    }
}

/// Time `work` `runs` times, after once for warmth.
fn repeat<W, F>(threads: usize, runs: usize, work: W)
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = u64> + Send,
{
    on_runtime(threads, async move {
        work().await;
        for _ in 0..runs {
            let start = Instant::now();
            let answer = work().await;

            println!("{} {}", start.elapsed().as_nanos(), answer);
        }
    });
}
