//! The command line: what may be asked, who answers it, and what the program exits with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client::{Client, Place};

mod audit;
mod cluster;
mod failure;
mod findings;
mod grant;
mod init;
mod join;
mod out;
mod policy;
mod run;
mod server;

pub use failure::{Exit, Failure};
pub use out::{note, warn};

/// A gate with a book: lets MCP calls pass by rules, and enters each in a log that nobody can
/// change unseen.
#[derive(Debug, Parser)]
#[command(
    name = "tollbook",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How data is printed on stdout [default: table; of `policy eval`: jsonl]
    #[arg(long, global = true, value_enum, value_name = "FORM")]
    output: Option<Form>,
}

/// How data may be asked for. What only one command has is not in [`Output`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
    /// SARIF 2.1.0, of `policy check` only
    #[value(hide = true)]
    Sarif,
}

impl Form {
    /// The form that every command has.
    fn plain(self) -> Result<Output, Failure> {
        match self {
            Self::Table => Ok(Output::Table),
            Self::Json => Ok(Output::Json),
            Self::Jsonl => Ok(Output::Jsonl),
            Self::Sarif => Err(Failure::Argument {
                name: "--output",
                found: "sarif".to_owned(),
                wanted: "`table`, `json` or `jsonl`: only `policy check` has SARIF",
            }),
        }
    }
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: one node before the built-in sample server
    Dev(run::Dev),
    /// See it: an agent's calls, their verdicts, and the book verified
    Demo(run::Demo),
    /// Make the directory of a new node
    Init(init::Init),
    Join(join::JoinCluster),
    /// Run the node of a directory
    Serve(run::Serve),
    /// Upstream MCP servers
    #[command(subcommand)]
    Server(server::Server),
    /// Who may call which server, by which policy
    #[command(subcommand)]
    Grant(grant::Grant),
    /// The nodes that keep one book
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Rules for calls
    #[command(subcommand)]
    Policy(policy::Policy),
    /// The book
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Print the version of this program
    Version,
}

/// Which node a command talks to.
#[derive(Args, Debug)]
struct Node {
    /// Directory of the node; it holds the address and the admin token [env: `TOLLBOOK_DIR`]
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Address of the node's admin listener, as `http://127.0.0.1:7301` [env: `TOLLBOOK_ADDR`]
    #[arg(long, value_name = "URL")]
    addr: Option<String>,
    /// File that holds an admin token [env: `TOLLBOOK_TOKEN_FILE`]
    #[arg(long, value_name = "F")]
    token_file: Option<PathBuf>,
}

impl Node {
    fn client(self) -> Result<Client, Failure> {
        let place = Place {
            dir: self.dir,
            addr: self.addr,
            token_file: self.token_file,
        };
        Ok(Client::find(&place, |name| std::env::var_os(name))?)
    }
}

/// Runs one command line; the first argument is the program's name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli.command, cli.output) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

fn run(command: Command, asked: Option<Form>) -> Result<Exit, Failure> {
    let form = asked.unwrap_or(Form::Table);
    match command {
        Command::Dev(dev) => run::dev(dev),
        Command::Demo(demo) => run::demo(&demo),
        Command::Init(init) => init::run(init, form.plain()?),
        Command::Join(join) => join::run(join, form.plain()?),
        Command::Serve(serve) => run::serve(serve),
        Command::Server(server) => server::run(server, form.plain()?),
        Command::Grant(grant) => grant::run(grant, form.plain()?),
        Command::Cluster(cluster) => cluster::run(cluster, form.plain()?),
        Command::Policy(policy) => policy::run(policy, form, asked),
        Command::Audit(audit) => audit::run(audit, form.plain()?),
        Command::Version => version(form.plain()?),
    }
}

fn version(output: Output) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        Output::Table => out::line(&format!("tollbook {version}"))?,
        Output::Json | Output::Jsonl => {
            out::json(&serde_json::json!({ "name": "tollbook", "version": version }))?;
        }
    }
    Ok(Exit::Done)
}

/// What clap answers by itself: help and version on stdout, everything else is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return match out::text(&text) {
            Ok(()) => Exit::Done.into(),
            Err(failure) => failure.report(),
        };
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    note(&format!("error[TB-USAGE]: {}", text.trim_end()));
    Exit::Usage.into()
}
