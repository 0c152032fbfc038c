// SPDX-License-Identifier: MIT
// Tasks that are spawned, awaited, yield, lock and sleep.
use crate::on_runtime;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::{yield_now, JoinHandle};
use tokio::time::{sleep, timeout};

const BATCH: u64 = 10_000;
const LOCKERS: u64 = 8;

/// What the tasks return, summed.
async fn join_all(tasks: impl IntoIterator<Item = JoinHandle<u64>>) -> u64 {
    let mut sum = 0;

    for task in tasks {
        sum += task.await.unwrap();
    }
    sum
}

pub async fn spawn(n: u64) -> u64 {
    let mut batch = Vec::with_capacity(BATCH as usize);
    let mut sum = 0;

    for first in (0..n).step_by(BATCH as usize) {
        for i in first..n.min(first + BATCH) {
            batch.push(tokio::spawn(async move { i }));
        }
        sum += join_all(batch.drain(..)).await;
    }
    sum
}

pub async fn spawn_one(n: u64) -> u64 {
    let mut sum = 0;

    for i in 0..n {
        sum += tokio::spawn(async move { i }).await.unwrap();
    }
    sum
}

pub async fn skynet(leaves: u64) -> u64 {
    skynet_node(0, leaves).await.unwrap()
}

/// The handle of the child is what the recursion needs: no other box.
fn skynet_node(number: u64, leaves: u64) -> JoinHandle<u64> {
    tokio::spawn(async move {
        if leaves == 1 {
            return number;
        }
        let size = leaves / 10;
        let children: [JoinHandle<u64>; 10] = std::array::from_fn(|i| {
            skynet_node(number + i as u64 * size, size)
        });
        join_all(children).await
    })
}

pub async fn yields(threads: usize, n: u64) -> u64 {
    let tasks: Vec<_> = (0..2 * threads)
        .map(|_| {
            tokio::spawn(async move {
                let mut count = 0;

                while count < n {
                    yield_now().await;
                    count += 1;
                }
                count
            })
        })
        .collect();

    join_all(tasks).await
}

pub async fn mutex(n: u64) -> u64 {
    let counter = Arc::new(Mutex::new(0));
    let tasks: Vec<_> = (0..LOCKERS)
        .map(|k| {
            let counter = Arc::clone(&counter);
            let rounds = n / LOCKERS + u64::from(k < n % LOCKERS);

            tokio::spawn(async move {
                for _ in 0..rounds {
                    *counter.lock().await += 1;
                }
                rounds
            })
        })
        .collect();

    join_all(tasks).await;
    let count = *counter.lock().await;
    count
}

pub async fn timeouts(n: u64) -> u64 {
    let mut count = 0;

    for _ in 0..n {
        if timeout(Duration::from_secs(10), yield_now()).await.is_ok() {
            count += 1;
        }
    }
    count
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap();

    pages * 4096
}

static ASLEEP: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The memory is what the first run made the process grow by: later ones take
/// again what the allocator kept, and from other threads' heaps.
pub fn sleepers(threads: usize, n: u64, runs: usize) {
    on_runtime(threads, async move {
        let before = resident();

        all_asleep(n).await;
        let bytes = BYTES.load(Relaxed).saturating_sub(before) / n.max(1);
        for _ in 0..runs {
            let start = Instant::now();
            let count = all_asleep(n).await;

            println!("{} {count} {bytes}", start.elapsed().as_nanos());
        }
    });
}

/// How many slept; the last that lies down looks at the memory.
async fn all_asleep(n: u64) -> u64 {
    ASLEEP.store(0, Relaxed);
    let tasks: Vec<_> = (0..n)
        .map(|_| {
            tokio::spawn(async move {
                if ASLEEP.fetch_add(1, Relaxed) + 1 == n {
                    BYTES.store(resident(), Relaxed);
                }
                sleep(Duration::from_secs(1)).await;
                1
            })
        })
        .collect();

    join_all(tasks).await
}
