// SPDX-License-Identifier: MIT
// Tasks that talk by channels.
use tokio::sync::mpsc;

const RING: u64 = 503;
const SIDES: u64 = 4;
const CAPACITY: usize = 128;

pub async fn pingpong(n: u64) -> u64 {
    let (to_pong, mut from_ping) = mpsc::channel::<u64>(1);
    let (to_ping, mut from_pong) = mpsc::channel::<u64>(1);

    let ping = tokio::spawn(async move {
        let mut count = 0;

        while count < n {
            to_pong.send(count).await.unwrap();
            count = from_pong.recv().await.unwrap();
        }
        count
    });
    let pong = tokio::spawn(async move {
        while let Some(count) = from_ping.recv().await {
            to_ping.send(count + 1).await.unwrap();
        }
    });

    let count = ping.await.unwrap();
    pong.await.unwrap();
    count
}

pub async fn ring(n: u64) -> u64 {
    let (start, mut rx) = mpsc::channel(1);
    let mut tasks = Vec::with_capacity(RING as usize);

    for number in 1..RING {
        let (tx, next) = mpsc::channel(1);

        tasks.push(tokio::spawn(pass_on(number, rx, tx)));
        rx = next;
    }
    tasks.push(tokio::spawn(pass_on(RING, rx, start.clone())));
    start.send(n).await.unwrap();
    drop(start);

    let mut answer = 0;
    for task in tasks {
        answer += task.await.unwrap();
    }
    answer
}

/// Passes the token until it has no passes left: the task's number then, and
/// all the others end as their channels are closed one by another: 0.
async fn pass_on(
    number: u64,
    mut rx: mpsc::Receiver<u64>,
    tx: mpsc::Sender<u64>,
) -> u64 {
    while let Some(left) = rx.recv().await {
        if left == 0 {
            return number;
        }
        tx.send(left - 1).await.unwrap();
    }
    0
}

/// Tokio has no such queue: async-channel is the usual one.
pub async fn mpmc(n: u64) -> u64 {
    let (tx, rx) = async_channel::bounded(CAPACITY);

    for k in 0..SIDES {
        let tx = tx.clone();

        tokio::spawn(async move {
            for i in (k..n).step_by(SIDES as usize) {
                tx.send(i).await.unwrap();
            }
        });
    }
    drop(tx);

    let consumers: Vec<_> = (0..SIDES)
        .map(|_| {
            let rx = rx.clone();

            tokio::spawn(async move {
                let mut sum = 0;

                while let Ok(i) = rx.recv().await {
                    sum += i;
                }
                sum
            })
        })
        .collect();

    let mut sum = 0;
    for consumer in consumers {
        sum += consumer.await.unwrap();
    }
    sum
}
