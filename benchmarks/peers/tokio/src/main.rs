// SPDX-License-Identifier: MIT
// Tokio: the multi-thread runtime.
mod channels;
#[cfg(feature = "mimalloc")]
mod mimalloc;
mod rows;
mod tasks;

use std::future::Future;
use tokio::runtime::Builder;

fn usage() -> ! {
    eprintln!("usage: peer list | version | ROW THREADS SIZE RUNS");
    std::process::exit(2)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();

    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => rows::NAMES.iter().for_each(|name| println!("{name}")),
        ["version"] => println!("{}", env!("PEER_VERSION")),
        [name, threads, size, runs] => {
            match (threads.parse(), size.parse(), runs.parse()) {
                (Ok(threads), Ok(size), Ok(runs))
                    if rows::NAMES.contains(&name) =>
                {
                    rows::run(name, threads, size, runs)
                }
                _ => usage(),
            }
        }
        _ => usage(),
    }
}

/// Run `work` as a task: the thread that blocks here is not a worker, and what
/// it would spawn and wake goes the long way.
fn on_runtime<F>(threads: usize, work: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_time()
        .build()
        .expect("no runtime");

    runtime.block_on(async { tokio::spawn(work).await.expect("row failed") });
}
