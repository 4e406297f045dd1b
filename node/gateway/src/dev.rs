//! `tollbook dev`: one node before the built-in sample server, ready to be tried.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::node::Start;
use crate::serve::StopSignal;
use crate::trial::{Granted, Trial, TrialError};

/// The policy of the grant that is made, and its name.
const POLICY: &str = include_str!("../../../deploy/policies/refund-over-100.json");
const NAME: &str = "refund-over-100";

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// No temporary directory.
    #[error("cannot make a temporary directory; name one with `--dir`")]
    Temporary(#[source] std::io::Error),
    /// The gate.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// No signal handler.
    #[error("cannot listen for signals")]
    Signal(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT; `show` gets what to try. Without a directory a temporary one is
/// made, and removed at the end; a named one is kept, and each start revokes the grant of the last.
pub async fn run(
    dir: Option<PathBuf>,
    port: u16,
    show: &mut dyn FnMut(&str),
) -> Result<(), DevError> {
    let mut stop = StopSignal::new().map_err(DevError::Signal)?;
    let home = match dir {
        Some(dir) => Home::Kept(dir),
        None => {
            Home::Temporary(TempDir::with_prefix("tollbook-dev-").map_err(DevError::Temporary)?)
        }
    };
    let trial = Trial::start(&home.path(), port, Start::default()).await?;
    trial.apply(NAME, POLICY).await?;
    let before: Vec<_> = trial.running.node.cluster.read(|state| {
        let old = state
            .grants()
            .filter(|g| g.label == "dev" && g.revoked_at.is_none());
        old.map(|grant| grant.id).collect()
    });
    for grant in before {
        trial.revoke(grant).await?;
    }
    let grant = trial.grant("dev", trial.server, Some(NAME)).await?;
    show(&what_to_try(&trial, &grant, &home.path()));
    stop.wait().await;
    trial.stop().await;
    Ok(())
}

enum Home {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Home {
    fn path(&self) -> PathBuf {
        match self {
            Self::Kept(dir) => dir.clone(),
            Self::Temporary(dir) => dir.path().join("node"),
        }
    }
}

fn what_to_try(trial: &Trial, grant: &Granted, dir: &Path) -> String {
    let (endpoint, token) = (&grant.endpoint, grant.token.expose());
    let call = |amount: u32| {
        format!(
            "curl -s {endpoint} -H 'Authorization: Bearer {token}' \\\n    \
             -H 'Content-Type: application/json' \\\n    \
             -H 'Accept: application/json, text/event-stream' \\\n    \
             -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' \\\n    \
             -H 'Mcp-Name: create_refund' -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\
             \"method\":\"tools/call\",\"params\":{{\"name\":\"create_refund\",\
             \"arguments\":{{\"charge_id\":\"ch_105\",\"amount\":{amount}}},\"_meta\":{{\
             \"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\
             \"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}'"
        )
    };
    format!(
        "DEV MODE: not for production. A gate before the sample server at {sample}.\n\n\
         endpoint   {endpoint}\n\
         token      {token}\n\
         admin      http://{admin}   (token in {dir}/admin.token)\n\
         policy     {NAME}: refunds up to 100\n\n\
         Claude Code\n  claude mcp add --transport http tollbook {endpoint} \\\n    \
         --header 'Authorization: Bearer {token}'\n\
         Cursor (.cursor/mcp.json)\n  {{\"mcpServers\":{{\"tollbook\":{{\"url\":\"{endpoint}\",\
         \"headers\":{{\"Authorization\":\"Bearer {token}\"}}}}}}}}\n\
         Codex (~/.codex/config.toml)\n  [mcp_servers.tollbook]\n  url = \"{endpoint}\"\n  \
         http_headers = {{ Authorization = \"Bearer {token}\" }}\n\n\
         allowed\n  {allowed}\n\
         denied\n  {denied}\n\n\
         what stands in the book\n  tollbook audit tail --dir {dir}\n\n\
         Ctrl-C stops it{kept}.\n",
        sample = trial.sample.url(),
        admin = trial.running.admin,
        dir = dir.display(),
        allowed = call(50),
        denied = call(500_000),
        kept = if dir.starts_with(std::env::temp_dir()) {
            " and removes it all"
        } else {
            ""
        },
    )
}
