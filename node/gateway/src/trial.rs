//! A gate before the built-in sample server, for `tollbook dev`, `tollbook demo` and tests: a real
//! node on a real directory, with servers, policies and grants made as the admin API makes them.

use std::path::Path;

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use tollbook_state::CommandResult;
use tollbook_state::command::{Command, GrantId, GrantPut, Micros, ServerId, ServerPut, Upstream};

use crate::config::{Address, Config};
use crate::dir::{Dir, DirError};
use crate::node::{NodeError, Running, Start};
pub use crate::policies::policy_put;
use crate::sample::Sample;
use crate::token::{Class, Token};

/// Who a trial's changes are by, in the book.
const ACTOR: &str = "trial";

/// A node and the sample server.
#[derive(Debug)]
pub struct Trial {
    /// The node.
    pub running: Running,
    /// The sample server.
    pub sample: Sample,
    /// The sample server's id in the node.
    pub server: ServerId,
    tasks: TaskTracker,
}

/// A grant that was made, with its token.
#[derive(Debug)]
pub struct Granted {
    /// Its handle.
    pub id: GrantId,
    /// Its token, which is shown once.
    pub token: Token,
    /// Where its calls go.
    pub endpoint: String,
}

/// Why a trial does not begin.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A change was not taken.
    #[error("the node did not take `{what}`: {answer}")]
    Change {
        /// Of what.
        what: &'static str,
        /// What it said.
        answer: String,
    },
    /// The directory.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A policy with errors.
    #[error("the policy `{name}` has errors; see `tollbook policy check`")]
    Policy {
        /// Its name.
        name: String,
    },
    /// The sample server.
    #[error("the sample server does not start")]
    Sample(#[source] std::io::Error),
}

impl Trial {
    /// Starts both. The directory is made where it does not exist or is empty.
    pub async fn start(dir: &Path, port: u16, start: Start) -> Result<Self, TrialError> {
        // Only what is not there yet is made: a directory with something wrong must say so.
        let is_new = std::fs::read_dir(dir).map_or(true, |mut found| found.next().is_none());
        let dir = if is_new {
            Dir::init(dir, &config(port))?
        } else {
            Dir::open(dir)?
        };
        let config = dir.config()?;
        let tasks = TaskTracker::new();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(TrialError::Sample)?;
        let sample = Sample::start(listener, &tasks).map_err(TrialError::Sample)?;
        let running = Running::start(dir, config, start).await?;
        let mut trial = Self {
            running,
            sample,
            server: ServerId([0; 16]),
            tasks,
        };
        trial.server = trial.put_server("sample", trial.sample.url()).await?;
        Ok(trial)
    }

    /// Adds a server, or moves it to `url`: the sample server has another port at each start.
    pub async fn put_server(&self, name: &str, url: String) -> Result<ServerId, TrialError> {
        let known = self.running.node.cluster.read(|state| {
            state
                .server_by_name(name)
                .map(|server| (server.id, server.revision))
        });
        let (server, expected) =
            known.unwrap_or_else(|| (ServerId(Uuid::now_v7().into_bytes()), 0));
        let put = ServerPut {
            actor: ACTOR.to_owned(),
            server,
            name: name.to_owned(),
            upstream: Upstream::Http {
                url,
                headers: Vec::new(),
            },
            expected,
        };
        self.put("server", Command::ServerPut(put)).await?;
        Ok(server)
    }

    /// Applies a policy.
    pub async fn apply(&self, name: &str, text: &str) -> Result<(), TrialError> {
        let policy = tollbook_policy::check(text).map_err(|_findings| TrialError::Policy {
            name: name.to_owned(),
        })?;
        self.put(
            "policy",
            Command::PolicyPut(policy_put(ACTOR, name, text, &policy)),
        )
        .await
    }

    /// Makes a grant for a server under a policy, or with none.
    pub async fn grant(
        &self,
        label: &str,
        server: ServerId,
        policy: Option<&str>,
    ) -> Result<Granted, TrialError> {
        let token = Token::generate(Class::Grant).map_err(|error| TrialError::Change {
            what: "grant",
            answer: error.to_string(),
        })?;
        let id = GrantId(token.id());
        let put = GrantPut {
            actor: ACTOR.to_owned(),
            grant: id,
            label: label.to_owned(),
            owner: None,
            server,
            policy: policy.map(str::to_owned),
            token: token.hash(),
            not_before: None,
            expires: Some(self.later()),
            expected: 0,
        };
        self.put("grant", Command::GrantPut(put)).await?;
        Ok(Granted {
            id,
            token,
            endpoint: self.endpoint(server),
        })
    }

    /// Revokes a grant.
    pub async fn revoke(&self, grant: GrantId) -> Result<(), TrialError> {
        let revoke = Command::GrantRevoke {
            actor: ACTOR.to_owned(),
            grant,
            expected: None,
        };
        self.put("revocation", revoke).await
    }

    /// Where calls to a server go.
    pub fn endpoint(&self, server: ServerId) -> String {
        let base = self.running.node.base_url();
        format!("{base}/mcp/{}/", Uuid::from_bytes(server.0))
    }

    /// Stops both in good order.
    pub async fn stop(self) {
        self.running.stop().await;
        self.sample.stop();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn later(&self) -> Micros {
        const DAY_US: u64 = 86_400_000_000;
        Micros(self.running.node.clock.wall().0.saturating_add(DAY_US))
    }

    async fn put(&self, what: &'static str, command: Command) -> Result<(), TrialError> {
        match self.running.node.cluster.commit(&command).await {
            Ok(CommandResult::Put { .. }) => Ok(()),
            Ok(other) => Err(TrialError::Change {
                what,
                answer: format!("{other:?}"),
            }),
            Err(error) => Err(TrialError::Change {
                what,
                answer: error.to_string(),
            }),
        }
    }
}

/// A node on this machine alone; ports that are not asked for are any free ones.
fn config(port: u16) -> Config {
    let local = |port: u16| {
        Address::parse(&format!("127.0.0.1:{port}")).expect("an IPv4 address and a port")
    };
    let mut config = Config::default();
    config.node.id = 1;
    config.node.name = "trial".to_owned();
    config.listen.data = local(port);
    config.listen.admin = local(0);
    config.listen.peer = local(0);
    config.cluster.origin = format!("trial/tollbook/{}", Uuid::new_v4());
    config
}
