//! `tollbook server …`.

use clap::{Args, Subcommand};
use http::Method;
use serde::Serialize;
use serde_json::json;

use super::{Exit, Failure, Node, Output, out, warn};
use crate::admin::api::{self, Header, ServerNew};

#[derive(Debug, Subcommand)]
pub(super) enum Server {
    /// Put a gate in front of an MCP server
    Add(Add),
    /// List all servers
    List(List),
    /// Show one server
    Show(Named),
    /// Remove a server that no live grant points at
    Remove(Named),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tollbook server add github --url https://mcp.example/mcp \\\n    \
                        --header 'Authorization: file:/etc/tollbook/github.header'"
)]
pub(super) struct Add {
    /// What to call it
    name: String,
    /// Where it is; `https`, or `http` on a network that you trust
    #[arg(long, value_name = "URL")]
    url: String,
    /// A header for every request, its value by reference; may be repeated
    #[arg(long = "header", value_name = "NAME: file:PATH|env:VAR", value_parser = header)]
    headers: Vec<Header>,
    #[command(flatten)]
    node: Node,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    node: Node,
}

#[derive(Args, Debug)]
pub(super) struct Named {
    /// Its name or id
    name: String,
    #[command(flatten)]
    node: Node,
}

/// What is printed of a new server.
#[derive(Serialize)]
struct Added {
    id: String,
    name: String,
    url: String,
    endpoint: String,
}

pub(super) fn run(server: Server, output: Output) -> Result<Exit, Failure> {
    match server {
        Server::Add(add) => self::add(add, output)?,
        Server::List(List { node }) => {
            let servers: Vec<api::Server> = node.client()?.get(&["servers"])?;
            out::list(
                output,
                &servers,
                &["name", "id", "url", "endpoint"],
                |server| {
                    vec![
                        server.name.clone(),
                        server.id.clone(),
                        server.url.clone(),
                        server.endpoint.clone(),
                    ]
                },
            )?;
        }
        Server::Show(Named { name, node }) => {
            let server: api::Server = node.client()?.get(&["servers", &name])?;
            show(&server, output)?;
        }
        Server::Remove(Named { name, node }) => {
            let server: api::Server = node.client()?.delete(&["servers", &name])?;
            removed(&server, output)?;
        }
    }
    Ok(Exit::Done)
}

fn add(add: Add, output: Output) -> Result<(), Failure> {
    let client = add.node.client()?;
    let new = ServerNew {
        name: add.name,
        url: add.url,
        headers: add.headers,
    };
    let server: api::Server = client.send(Method::POST, &["servers"], &new)?;
    for warning in &server.warnings {
        warn(warning);
    }
    let api::Server {
        id,
        name,
        url,
        endpoint,
        ..
    } = server;
    let added = Added {
        id,
        name,
        url,
        endpoint,
    };
    let rows = [
        ("name", added.name.clone()),
        ("id", added.id.clone()),
        ("url", added.url.clone()),
        ("endpoint", added.endpoint.clone()),
    ];
    out::object(output, &added, &rows)
}

fn show(server: &api::Server, output: Output) -> Result<(), Failure> {
    let headers: Vec<String> = server
        .headers
        .iter()
        .map(|header| format!("{}: {}", header.name, header.from))
        .collect();
    let rows = [
        ("name", server.name.clone()),
        ("id", server.id.clone()),
        ("url", server.url.clone()),
        ("endpoint", server.endpoint.clone()),
        (
            "headers",
            out::or_dash(Some(headers.join(", ").as_str()).filter(|h| !h.is_empty())),
        ),
        ("revision", server.revision.to_string()),
        ("created", server.created.clone()),
    ];
    out::object(output, server, &rows)
}

fn removed(server: &api::Server, output: Output) -> Result<(), Failure> {
    match output {
        Output::Table => out::line(&format!("removed {}", server.name)),
        Output::Json | Output::Jsonl => {
            out::json(&json!({ "id": server.id, "name": server.name, "removed": true }))
        }
    }
}

/// Splits `Name: reference`. Whether both are good the node says, which is to use them.
fn header(text: &str) -> Result<Header, &'static str> {
    let (name, from) = text.split_once(':').ok_or(
        "give `Name: file:PATH` or `Name: env:VAR`; a secret itself stays out of the command line",
    )?;
    Ok(Header {
        name: name.trim().to_owned(),
        from: from.trim().to_owned(),
    })
}
