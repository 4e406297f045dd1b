//! `tollbook join`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use tollbook_raft::{Authority, CertError, Identity, NodeKey, cluster_id};

use super::init::{address, listen};
use super::run::{failure, runtime};
use super::{Exit, Failure, Output, note, out};
use crate::config::{Address, Config};
use crate::dir::{Making, read_secret};
use crate::join_token::Invitation;
use crate::joining::{self, Joiner, JoiningError, Welcome};

/// Makes a directory for a new member of the cluster at HOST:PORT, with what `tollbook cluster
/// token` printed there. A directory that holds anything is refused.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tollbook join 10.0.0.1:7302 --dir /var/lib/tollbook --token-file \
                        join.token\n  tollbook serve --dir /var/lib/tollbook\n  \
                        tollbook cluster promote node-b --dir /var/lib/tollbook"
)]
pub(super) struct JoinCluster {
    /// Where a node of the cluster listens for peers
    #[arg(value_name = "HOST:PORT", value_parser = address)]
    cluster: Address,
    /// Directory to make; it must not exist or be empty
    #[arg(long, value_name = "D", env = "TOLLBOOK_DIR")]
    dir: PathBuf,
    /// File that holds the join token
    #[arg(long, value_name = "F")]
    token_file: PathBuf,
    /// What people will call the node; default `node-` and a random part
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where clients connect; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7300", value_parser = address)]
    listen: Address,
    /// Where the admin API listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7301", value_parser = address)]
    admin: Address,
    /// Where other nodes connect, over UDP; default 127.0.0.1:7302, or any free port where
    /// `--listen` asks for one
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    peer: Option<Address>,
    /// What other nodes reach this one by, where it is not `--peer`
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    advertise_peer: Option<Address>,
}

/// What was made.
#[derive(Serialize)]
struct Made {
    dir: String,
    node: u32,
    name: String,
    origin: String,
    admin_token_file: String,
    trust_policy: String,
}

pub(super) fn run(join: JoinCluster, output: Output) -> Result<Exit, Failure> {
    let text = read_secret(&join.token_file)?;
    let invitation =
        Invitation::parse(&text).map_err(|error| failure("TB-JOIN-TOKEN", Exit::Usage, error))?;
    let mut config = Config::default();
    config.node.name = match join.name {
        Some(name) => name,
        None => random_name()?,
    };
    config.listen = listen(join.listen, join.admin, join.peer, join.advertise_peer)?;
    let making = Making::begin(&join.dir, &config.node.name)?;
    let key = NodeKey::generate().map_err(unusable)?;
    let listens = &config.listen;
    let peer = listens.advertise_peer.as_ref().unwrap_or(&listens.peer);
    let joiner = Joiner {
        name: &config.node.name,
        data: listens.data.to_string(),
        peer: peer.to_string(),
        verifier_key: making.dir().node_key()?.verifier().to_string(),
        key: &key,
    };
    let at = join.cluster.to_string();
    let welcome = runtime()?
        .block_on(joining::ask(&at, &invitation, &joiner))
        .map_err(refused)?;
    config.node.id = welcome.node;
    config.cluster.origin.clone_from(&welcome.origin);
    keep_peer_keys(&making, &config, key, &welcome)?;
    let dir = making.finish(&config, &welcome.keys)?;
    let shown = join.dir.display();
    let made = Made {
        dir: shown.to_string(),
        node: config.node.id,
        name: config.node.name,
        origin: config.cluster.origin,
        admin_token_file: dir.admin_token_file().display().to_string(),
        trust_policy: dir.trust_policy().display().to_string(),
    };
    let rows = [
        ("directory", made.dir.clone()),
        ("node", made.node.to_string()),
        ("name", made.name.clone()),
        ("log", made.origin.clone()),
        ("admin token", made.admin_token_file.clone()),
        ("trust policy", made.trust_policy.clone()),
    ];
    out::object(output, &made, &rows)?;
    note(&format!(
        "start the node with `tollbook serve --dir {shown}`; when it has caught up, give it a vote \
         with `tollbook cluster promote {}`",
        made.name
    ));
    Ok(Exit::Done)
}

fn keep_peer_keys(
    making: &Making,
    config: &Config,
    key: NodeKey,
    welcome: &Welcome,
) -> Result<(), Failure> {
    let cluster = cluster_id(&welcome.origin);
    let made = || {
        let authority = Authority::from_pem(cluster, &welcome.authority)?;
        let trusted = vec![authority.certificate().clone()];
        let node = config.node.id.into();
        Identity::new(cluster, node, key, &welcome.certificate, trusted)
    };
    let identity = made().map_err(unusable)?;
    making.dir().keep_authority(&welcome.authority)?;
    making.dir().keep_identity(&identity)?;
    Ok(())
}

fn random_name() -> Result<String, Failure> {
    let mut tail = [0; 4];
    getrandom::fill(&mut tail)
        .map_err(crate::dir::DirError::Random)
        .map_err(Failure::Dir)?;
    Ok(format!("node-{}", tollbook_audit::hex(&tail)))
}

fn unusable(error: CertError) -> Failure {
    failure("TB-JOIN-KEYS", Exit::Failed, error)
}

fn refused(error: JoiningError) -> Failure {
    let (code, exit) = match &error {
        JoiningError::Asking(_) => ("TB-JOIN-UNREACHABLE", Exit::Temporary),
        JoiningError::Answer { .. } => ("TB-JOIN-ANSWER", Exit::Failed),
        JoiningError::Key(_) => ("TB-JOIN-KEYS", Exit::Failed),
        JoiningError::Refused { .. } => ("TB-JOIN-REFUSED", Exit::NotPermitted),
    };
    failure(code, exit, error)
}
