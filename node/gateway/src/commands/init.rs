//! `tollbook init`.

use std::net::UdpSocket;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::{Exit, Failure, Output, note, out};
use crate::config::{Address, Config, Listen, is_log_origin};
use crate::dir::Dir;

/// Makes a directory with configuration, keys, an admin token and a trust policy for the auditor.
/// A directory that holds anything is refused.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tollbook init --dir /var/lib/tollbook --origin acme.example\n  \
                        tollbook serve --dir /var/lib/tollbook"
)]
pub(super) struct Init {
    /// Directory to make; it must not exist or be empty
    #[arg(long, value_name = "D", env = "TOLLBOOK_DIR")]
    dir: PathBuf,
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
    /// Whose book it is; the log is named `NAME/tollbook/<uuid>`
    #[arg(long, value_name = "NAME", default_value = "local")]
    origin: String,
}

/// What was made.
#[derive(Serialize)]
struct Made {
    dir: String,
    origin: String,
    log_key: String,
    admin_token_file: String,
    trust_policy: String,
}

pub(super) fn run(init: Init, output: Output) -> Result<Exit, Failure> {
    let mut config = Config::default();
    config.node.id = 1;
    config.node.name = "node-1".to_owned();
    config.listen = listen(init.listen, init.admin, init.peer, init.advertise_peer)?;
    config.cluster.origin = log_origin(&init.origin)?;
    let dir = Dir::init(&init.dir, &config)?;
    let shown = init.dir.display();
    let made = Made {
        dir: shown.to_string(),
        origin: config.cluster.origin,
        log_key: dir.log_key()?.verifier().to_string(),
        admin_token_file: dir.admin_token_file().display().to_string(),
        trust_policy: dir.trust_policy().display().to_string(),
    };
    let rows = [
        ("directory", made.dir.clone()),
        ("log", made.origin.clone()),
        ("log key", made.log_key.clone()),
        ("admin token", made.admin_token_file.clone()),
        ("trust policy", made.trust_policy.clone()),
    ];
    out::object(output, &made, &rows)?;
    note(&format!(
        "give the auditor a copy of {}; start the node with `tollbook serve --dir {shown}`",
        made.trust_policy
    ));
    Ok(Exit::Done)
}

/// Where a node listens. One whose data port is any free one is a trial, so its peers' is too; but
/// that one is chosen once, since the others remember it.
pub(super) fn listen(
    data: Address,
    admin: Address,
    peer: Option<Address>,
    advertise_peer: Option<Address>,
) -> Result<Listen, Failure> {
    let default = if data.port() == 0 {
        "127.0.0.1:0"
    } else {
        "127.0.0.1:7302"
    };
    let wrong = |found: &str| Failure::Argument {
        name: "--peer",
        found: found.to_owned(),
        wanted: "HOST:PORT of this machine",
    };
    let mut peer = peer
        .or_else(|| Address::parse(default))
        .ok_or_else(|| wrong(default))?;
    if peer.port() == 0 {
        let socket = UdpSocket::bind(peer.to_string());
        let free = socket.and_then(|socket| socket.local_addr());
        let free = free.map_err(|_| wrong(&peer.to_string()))?;
        let chosen = format!("{}:{}", peer.host(), free.port());
        peer = Address::parse(&chosen).ok_or_else(|| wrong(&chosen))?;
    }
    Ok(Listen {
        data,
        admin,
        peer,
        advertise_peer,
    })
}

/// The log's name: whose it is, and a part that no other log has.
fn log_origin(name: &str) -> Result<String, Failure> {
    let origin = format!("{name}/tollbook/{}", Uuid::new_v4());
    if name.is_empty() || !is_log_origin(&origin) {
        return Err(Failure::Argument {
            name: "--origin",
            found: name.to_owned(),
            wanted: "a name without spaces or `+`, such as `acme.example`",
        });
    }
    Ok(origin)
}

pub(super) fn address(text: &str) -> Result<Address, &'static str> {
    Address::parse(text).ok_or("give HOST:PORT, such as `127.0.0.1:7300`")
}
