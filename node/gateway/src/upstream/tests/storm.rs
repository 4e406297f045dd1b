//! Many requests against servers that fail at random points: the pool's answers against what the
//! servers saw.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::io::AsyncWriteExt as _;

use super::*;

const CLIENTS: usize = 16;
const REQUESTS: usize = 60;

/// What a server did with a request, by the request's own name.
type Book = Arc<Mutex<HashMap<String, usize>>>;

/// Numbers that are the same in each run.
fn mixed(seed: usize) -> usize {
    let mut x = u64::try_from(seed)
        .expect("fits")
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((x ^ (x >> 31)) % 1_000_003).expect("fits")
}

async fn moody(number: usize, mut stream: TcpStream, seen: Arc<Seen>, book: Book) {
    for turn in 0.. {
        let mood = mixed(number * 1000 + turn) % 12;
        if mood == 0 {
            return;
        }
        if mood == 1 {
            stream.set_zero_linger().expect("linger");
            return;
        }
        let Some(request) = read_request(&mut stream, &seen).await else {
            return;
        };
        let name = request.rsplit("\r\n").next().expect("a body").to_owned();
        *book
            .lock()
            .expect("no panic")
            .entry(name.clone())
            .or_insert(0) += 1;
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{}\r\n{name}",
            name.len(),
            if mood == 2 {
                "connection: close\r\n"
            } else {
                ""
            }
        );
        let cut = match mood {
            3 => 0,
            4 => 10,
            5 => reply.len() - 1,
            _ => reply.len(),
        };
        if stream.write_all(&reply.as_bytes()[..cut]).await.is_err() || cut < reply.len() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_agrees_with_what_the_server_saw() {
    let bench = Arc::new(Bench::with(PoolLimits {
        connections: 6,
        ..PoolLimits::default()
    }));
    let book = Book::default();
    let kept = Arc::clone(&book);
    let (target, _seen) = bench
        .server(move |number, stream, seen| moody(number, stream, seen, Arc::clone(&kept)))
        .await;
    let clients = TaskTracker::new();
    let tally = Arc::new(Mutex::new([0_usize; 3]));
    for client in 0..CLIENTS {
        let (bench, target, book) = (Arc::clone(&bench), target.clone(), Arc::clone(&book));
        let tally = Arc::clone(&tally);
        clients.spawn(async move {
            for request in 0..REQUESTS {
                let name = format!("r{client}-{request}");
                let times = || {
                    book.lock()
                        .expect("no panic")
                        .get(&name)
                        .copied()
                        .unwrap_or(0)
                };
                let class = match bench.pool.send(&target, post(&name), soon(LONG)).await {
                    Err(_not_sent) => {
                        assert_eq!(times(), 0, "{name} was said to be not sent");
                        0
                    }
                    Ok(sent) => match sent.response(soon(LONG)).await {
                        Ok(reply) => match reply.into_body().whole(64, soon(LONG)).await {
                            Ok(body) => {
                                assert_eq!(body, name, "a reply to another request");
                                assert_eq!(times(), 1, "{name} was answered");
                                1
                            }
                            Err(_broken) => 2,
                        },
                        Err(_broken) => 2,
                    },
                };
                tally.lock().expect("no panic")[class] += 1;
            }
        });
    }
    clients.close();
    clients.wait().await;
    let book = book.lock().expect("no panic");
    assert!(
        book.values().all(|times| *times == 1),
        "sent twice: {book:?}"
    );
    let tally = *tally.lock().expect("no panic");
    // All of it happened, or this test has shown nothing.
    assert!(tally[1] > CLIENTS * REQUESTS / 2, "{tally:?}");
    assert!(tally[2] > 0, "{tally:?}");
}
