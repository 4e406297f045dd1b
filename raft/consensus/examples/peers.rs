//! Round trips and messages a second between two nodes on loopback, over QUIC with certificates
//! and over plain TCP in the same run: `cargo run --no-default-features --example peers`.
#![expect(clippy::print_stdout, reason = "a measurement prints")]
#![expect(clippy::disallowed_methods, reason = "a measurement takes the time")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use tollbook_audit::Micros;
use tollbook_raft::{
    Authority, CERTIFICATE_LIFE, Channel, Clock, Identity, NodeId, NodeKey, Peer, Quic,
    QuicSettings, Service, Target, Transport, Urgency,
};

const CLUSTER: [u8; 16] = [1; 16];
const CALLS: usize = 5000;
const MESSAGES: u32 = 100_000;
const WITHIN: Duration = Duration::from_secs(10);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Answers with eight bytes; counts a channel's messages and says how many there were.
struct Server;

impl Service for Server {
    fn knows(&self, _from: NodeId, _key: &[u8; 32]) -> bool {
        true
    }

    fn call(&self, _from: NodeId, _message: Bytes) -> BoxFuture<'static, Bytes> {
        Box::pin(async { Bytes::from_static(&[0; 8]) })
    }

    fn open(&self, _from: NodeId, mut channel: Channel) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut count = 0_u32;
            while channel.receive.recv().await.is_some() {
                count += 1;
            }
            // Who asked has gone if this fails.
            drop(channel.send.send(count.to_be_bytes().to_vec().into()).await);
        })
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn clock() -> Clock {
    Arc::new(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Micros(u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX))
    })
}

fn node(authority: &Authority, node: NodeId) -> Result<Arc<Quic>, Box<dyn Error>> {
    let key = NodeKey::generate()?;
    let certificate = authority.issue(node, &key.proved(), clock()(), CERTIFICATE_LIFE)?;
    let trusted = vec![authority.certificate().clone()];
    Ok(Quic::bind(QuicSettings {
        listen: LOOPBACK,
        identity: Identity::new(CLUSTER, node, key, &certificate, trusted)?,
        clock: clock(),
        on_join: None,
    })?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let authority = Authority::generate(CLUSTER, clock()())?;
    let listener = node(&authority, 2)?;
    let target = Target {
        node: 2,
        peer: Peer {
            peer_address: listener.local_address().to_string(),
            ..Peer::default()
        },
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    // Each node on a runtime of its own thread, as in the program.
    let server = thread::spawn(move || {
        runtime()?.block_on(async {
            listener.serve(Arc::new(Server));
            let tcp = TcpListener::bind(LOOPBACK).await?;
            let gone = |_| std::io::Error::other("nobody waits for the address");
            tell.send(tcp.local_addr()?).map_err(gone)?;
            tokio::select! {
                _ = stopped => Ok(()),
                served = serve_tcp(tcp) => served,
            }
        })
    });
    let dialer = node(&authority, 1)?;
    runtime()?.block_on(async {
        dialer.serve(Arc::new(Server));
        let tcp = told.await?;
        for bytes in [64_u32, 4096] {
            let call = calls_quic(&dialer, &target, usize::try_from(bytes)?).await?;
            println!("{bytes:>5} B call    p50 {call:>8.1?} over QUIC");
            let call = calls_tcp(tcp, bytes).await?;
            println!("{bytes:>5} B call    p50 {call:>8.1?} over TCP");
        }
        let quic = pipelined_quic(&dialer, &target).await?;
        println!(" 4096 B messages {quic:>9.0} a second over QUIC");
        let tcp = pipelined_tcp(tcp).await?;
        println!(" 4096 B messages {tcp:>9.0} a second over TCP");
        dialer.close().await;
        Ok::<_, Box<dyn Error>>(())
    })?;
    stop.send(()).map_err(|()| "the server has stopped early")?;
    match server.join() {
        Ok(served) => Ok(served?),
        Err(_) => Err("the server has failed".into()),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

async fn calls_quic(quic: &Quic, to: &Target, bytes: usize) -> Result<Duration, Box<dyn Error>> {
    let message = Bytes::from(vec![7; bytes]);
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let call = quic.call(to.clone(), message.clone(), Urgency::Usual, WITHIN);
        drop(call.await?);
        times.push(begun.elapsed());
    }
    Ok(median(times))
}

async fn pipelined_quic(quic: &Quic, to: &Target) -> Result<f64, Box<dyn Error>> {
    let message = Bytes::from(vec![7; 4096]);
    let Channel { send, mut receive } = quic.open(to.clone(), Urgency::Usual, WITHIN).await?;
    let begun = Instant::now();
    for _ in 0..MESSAGES {
        send.send(message.clone()).await?;
    }
    drop(send);
    let count = receive.recv().await.ok_or("the channel broke")?;
    if count != MESSAGES.to_be_bytes()[..] {
        return Err("messages are missing".into());
    }
    Ok(f64::from(MESSAGES) / begun.elapsed().as_secs_f64())
}

/// Length, message; a length of nothing ends, and the count comes back.
async fn serve_tcp(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let single = stream.read_u8().await? == 1;
        let mut message = Vec::new();
        let mut reader = tokio::io::BufReader::with_capacity(64 << 10, &mut stream);
        let mut count = 0_u32;
        while let Ok(length) = reader.read_u32().await {
            if length == 0 {
                reader.get_mut().write_u32(count).await?;
                break;
            }
            message.resize(usize::try_from(length).unwrap_or_default(), 0);
            reader.read_exact(&mut message).await?;
            count += 1;
            if single {
                reader.get_mut().write_all(&[0; 8]).await?;
            }
        }
    }
}

async fn calls_tcp(to: SocketAddr, bytes: u32) -> Result<Duration, Box<dyn Error>> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    stream.write_u8(1).await?;
    let mut message = bytes.to_be_bytes().to_vec();
    message.resize(4 + usize::try_from(bytes)?, 7);
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        stream.write_all(&message).await?;
        stream.read_exact(&mut [0; 8]).await?;
        times.push(begun.elapsed());
    }
    Ok(median(times))
}

async fn pipelined_tcp(to: SocketAddr) -> Result<f64, Box<dyn Error>> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    stream.write_u8(2).await?;
    let mut message = 4096_u32.to_be_bytes().to_vec();
    message.resize(4 + 4096, 7);
    let mut writer = tokio::io::BufWriter::with_capacity(64 << 10, &mut stream);
    let begun = Instant::now();
    for _ in 0..MESSAGES {
        writer.write_all(&message).await?;
    }
    writer.write_u32(0).await?;
    writer.flush().await?;
    if stream.read_u32().await? != MESSAGES {
        return Err("messages are missing".into());
    }
    Ok(f64::from(MESSAGES) / begun.elapsed().as_secs_f64())
}
