//! What a node is put together from: the way to peers, consensus on its disk, its own names.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use tollbook_raft::{Cluster, Failure, Options, Quic, QuicSettings};
use tollbook_storage::{Paths, Rocks};

use super::{NodeError, Start};
use crate::clock::Stamps;
use crate::config::Config;
use crate::dir::Dir;
use crate::inbound::Names;
use crate::joining::{self, Late};
use crate::membership;

/// Binds the address for peers. With port 0 it is another one at each start, and members are told.
pub(super) async fn bind_peers(
    dir: &Dir,
    config: &Config,
    start: &Start,
    late: Late,
) -> Result<Arc<Quic>, NodeError> {
    let clock = start.clock;
    dir.make_node_key(&config.node.name)?;
    dir.make_peer_keys(config, clock.wall())?;
    let address = config.listen.peer.to_string();
    let listen = tokio::net::lookup_host(&address)
        .await
        .and_then(|mut found| found.next().ok_or_else(|| ErrorKind::NotFound.into()));
    let listen = listen.map_err(|source| NodeError::Bind { address, source })?;
    let settings = QuicSettings {
        listen,
        identity: dir.peer_identity(config)?,
        clock: Arc::new(move || clock.wall()),
        on_join: Some(joining::hook(late)),
    };
    Ok(Quic::bind(settings)?)
}

pub(super) fn options(
    dir: &Dir,
    config: &Config,
    start: &Start,
    stamps: &Arc<Stamps>,
) -> Result<Options, NodeError> {
    let mut boot = [0; 8];
    getrandom::fill(&mut boot).map_err(|error| NodeError::Begin {
        reason: error.to_string(),
    })?;
    let boot = u64::from_le_bytes(boot);
    let stamps = Arc::clone(stamps);
    let mut options = Options::new(config.node.id, boot, Arc::new(move || stamps.stamp()));
    options.cluster.clone_from(&config.cluster.origin);
    options.begins = membership::begins(config);
    options.max_signed = dir.max_signed()?.map(|signed| tollbook_raft::MaxSigned {
        size: signed.size,
        root: signed.root,
    });
    options.on_frames.clone_from(&start.on_frames);
    let marked = dir.clone();
    options.on_failure = Arc::new(move |failure| {
        if matches!(failure, Failure::RolledBack { .. })
            && let Err(error) = marked.mark_rolled_back(&failure.to_string())
        {
            tracing::error!(%error, "the directory is not marked as rolled back");
        }
        // At once, and without a backtrace: the log line that says why is written by then.
        std::process::abort()
    });
    Ok(options)
}

pub(super) async fn open_cluster(dir: &Dir, options: Options) -> Result<Cluster, NodeError> {
    let paths = Paths {
        database: dir.db(),
        segments: dir.log().join("seg"),
    };
    let engine = tokio::task::spawn_blocking(move || Rocks::open(&paths)).await;
    let engine = engine.map_err(|error| NodeError::Begin {
        reason: error.to_string(),
    })??;
    Ok(Cluster::start(options, engine).await?)
}

/// Loopback names, the listener's own address, and what the configuration adds.
pub(super) fn names(config: &Config, data: SocketAddr) -> Names {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    if !data.ip().is_unspecified() {
        hosts.push(data.ip().to_string());
    }
    hosts.push(
        config
            .listen
            .data
            .host()
            .trim_matches(['[', ']'])
            .to_ascii_lowercase(),
    );
    let without_port = |host: &String| {
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                name
            } else {
                host
            }
        });
        name.trim_matches(['[', ']']).to_ascii_lowercase()
    };
    hosts.extend(config.http.allowed_hosts.iter().map(without_port));
    Names {
        hosts,
        origins: config.http.allowed_origins.clone(),
    }
}
