//! `tollbook grant …`.

use clap::{Args, Subcommand};
use http::Method;

use super::{Exit, Failure, Node, Output, note, out};
use crate::admin::api::{self, GrantMade, GrantNew, GrantRotated, GrantStatus, GrantTurn};

#[derive(Debug, Subcommand)]
pub(super) enum Grant {
    /// Let a client call a server; prints its token, this once
    Create(Create),
    /// List all grants
    List(List),
    /// Show one grant
    Show(Named),
    /// Give a grant a new token; the former one stays valid for a while
    Rotate(Rotate),
    /// Take a grant back for good
    Revoke(Named),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tollbook grant create ci-bot --server github --policy \
                        read-only --expires 30d > token"
)]
pub(super) struct Create {
    /// What to call it
    name: String,
    /// Name or id of the server
    #[arg(long, value_name = "S")]
    server: String,
    /// Name of the policy; without one every call is denied
    #[arg(long, value_name = "P")]
    policy: Option<String>,
    /// The person it belongs to
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    /// How long it is valid, as `90d` or `12h`, or until when, as `2027-01-31T00:00:00Z`
    #[arg(long, value_name = "TIME", default_value = "90d")]
    expires: String,
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

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tollbook grant rotate ci-bot > token\n  \
                        tollbook grant rotate ci-bot --overlap 0s > token")]
pub(super) struct Rotate {
    /// Its name or id
    name: String,
    /// How long the former token stays valid, at most `30d`; `0s` ends it at once
    #[arg(long, value_name = "TIME", default_value = "1h")]
    overlap: String,
    #[command(flatten)]
    node: Node,
}

pub(super) fn run(grant: Grant, output: Output) -> Result<Exit, Failure> {
    match grant {
        Grant::Create(create) => self::create(create, output)?,
        Grant::List(List { node }) => {
            let grants: Vec<api::Grant> = node.client()?.get(&["grants"])?;
            let heads = [
                "name", "id", "server", "policy", "owner", "status", "expires",
            ];
            out::list(output, &grants, &heads, |grant| {
                vec![
                    grant.name.clone(),
                    grant.id.clone(),
                    grant.server.clone(),
                    out::or_dash(grant.policy.as_deref()),
                    out::or_dash(grant.owner.as_deref()),
                    status(grant.status).to_owned(),
                    out::or_dash(grant.expires.as_deref()),
                ]
            })?;
        }
        Grant::Show(Named { name, node }) => {
            let grant: api::Grant = node.client()?.get(&["grants", &name])?;
            show(&grant, output)?;
        }
        Grant::Rotate(rotate) => self::rotate(rotate, output)?,
        Grant::Revoke(Named { name, node }) => {
            let grant: api::Grant = node.client()?.delete(&["grants", &name])?;
            match output {
                Output::Table => {
                    let when = out::or_dash(grant.revoked.as_deref());
                    out::line(&format!("revoked {} ({}) at {when}", grant.name, grant.id))?;
                }
                Output::Json | Output::Jsonl => out::json(&grant)?,
            }
        }
    }
    Ok(Exit::Done)
}

fn create(create: Create, output: Output) -> Result<(), Failure> {
    let client = create.node.client()?;
    let new = GrantNew {
        name: create.name,
        server: create.server,
        policy: create.policy,
        owner: create.owner,
        expires: Some(create.expires),
    };
    let made: GrantMade = client.send(Method::POST, &["grants"], &new)?;
    match output {
        // Alone, so that it can go straight into a file or a variable.
        Output::Table => out::line(&made.token)?,
        Output::Json | Output::Jsonl => out::json(&made)?,
    }
    let policy = made
        .policy
        .as_deref()
        .unwrap_or("none: every call is denied");
    note(&format!("grant    {} ({})", made.name, made.id));
    note(&format!("endpoint {}", made.endpoint));
    note(&format!("policy   {policy}"));
    note(&format!(
        "expires  {}",
        made.expires.as_deref().unwrap_or("never")
    ));
    note("the token is shown this once; the node keeps only its hash");
    Ok(())
}

fn rotate(rotate: Rotate, output: Output) -> Result<(), Failure> {
    let client = rotate.node.client()?;
    let turn = GrantTurn {
        overlap: Some(rotate.overlap),
    };
    let path = ["grants", &rotate.name, "rotate"];
    let rotated: GrantRotated = client.send(Method::POST, &path, &turn)?;
    match output {
        // Alone, so that it can go straight into a file or a variable.
        Output::Table => out::line(&rotated.token)?,
        Output::Json | Output::Jsonl => out::json(&rotated)?,
    }
    note(&format!("grant    {} ({})", rotated.name, rotated.id));
    note(&match &rotated.former_until {
        Some(until) => format!("former   valid until {until}"),
        None => "former   ended".to_owned(),
    });
    note("the token is shown this once; the node keeps only its hash");
    Ok(())
}

fn show(grant: &api::Grant, output: Output) -> Result<(), Failure> {
    let rows = [
        ("name", grant.name.clone()),
        ("id", grant.id.clone()),
        ("server", grant.server.clone()),
        ("policy", out::or_dash(grant.policy.as_deref())),
        ("owner", out::or_dash(grant.owner.as_deref())),
        ("status", status(grant.status).to_owned()),
        ("expires", out::or_dash(grant.expires.as_deref())),
        ("revoked", out::or_dash(grant.revoked.as_deref())),
        (
            "former token until",
            out::or_dash(grant.former_until.as_deref()),
        ),
        ("endpoint", grant.endpoint.clone()),
        ("created", grant.created.clone()),
        ("revision", grant.revision.to_string()),
    ];
    out::object(output, grant, &rows)
}

fn status(status: GrantStatus) -> &'static str {
    match status {
        GrantStatus::Expired => "expired",
        GrantStatus::Live => "live",
        GrantStatus::NotYet => "not yet valid",
        GrantStatus::Revoked => "revoked",
    }
}
