//! The whole comparison: ours, the plain way, and Cedar, straightforward and at its best.
//!
//! Cedar judges the same call by 24 policies of the same meaning, with `like` where ours has
//! patterns, since it has no regular expressions. *Straightforward*: the body through `serde_json`,
//! all arguments into a context, all policies asked. *Best*: our own reader, only the arguments
//! that policies name, only the policies of the tool that is called.
//!
//! Cedar needs `serde_json` with `preserve_order`, which makes the plain way slower than it is by
//! itself: its ratio is the one that `decision` prints.

use std::ffi::OsString;
use std::process::ExitCode;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, RestrictedExpression,
};

use tollbook_bench::policy::{BODY_BYTES_MAX, CALLED, OTHERS};
use tollbook_bench::ways::{Plain, Tollbook};
use tollbook_bench::{Way, large, table};
use tollbook_mcp::{Limits, Reader};
use tollbook_policy::json::Value;

/// The policies of the called tool: what it may, and what it may not.
fn called_policies() -> String {
    let action = format!(r#"action == Action::"{CALLED}""#);
    format!(
        r#"permit(principal, {action}, resource) when {{
            (context.url like "https://docs.acme.com*" || context.url like "https://api.acme.com*"
                || context.url like "https://github.com/acme/*")
            && ["POST", "PUT"].contains(context.method)
            && context.body_bytes <= {BODY_BYTES_MAX}
            && context.meta.region == "eu"
        }};
        forbid(principal, {action}, resource) when {{
            context.url like "*pastebin.com*" || context.url like "*requestbin*"
            || context.url like "*hookbin*" || context.url like "*webhook.site*"
            || context.url like "*ngrok.io*"
        }};
        forbid(principal, {action}, resource) unless {{
            ["public", "internal"].contains(context.class)
        }};"#
    )
}

/// All 24: those of the called tool, of two hidden tools, and of the other listed ones.
fn all_policies() -> String {
    let mut text = called_policies();
    for hidden in ["delete_channel", "archive_channel"] {
        text += &format!(r#"forbid(principal, action == Action::"{hidden}", resource);"#);
    }
    for other in OTHERS {
        text += &format!(
            r#"permit(principal, action == Action::"{other}", resource)
                when {{ ["ops", "dev"].contains(context.team) }};"#
        );
    }
    for other in &OTHERS[..8] {
        text += &format!(
            r#"forbid(principal, action == Action::"{other}", resource)
                when {{ context.dry_run == false }};"#
        );
    }
    text
}

/// Cedar with some policies, and what of a request is the same for every call.
struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    principal: EntityUid,
    resource: EntityUid,
}

impl Cedar {
    fn new(policies: &str, count: usize) -> Self {
        let policies: PolicySet = policies.parse().expect("the policies are valid");
        assert_eq!(policies.policies().count(), count);
        let uid = |text: &str| text.parse().expect("a valid uid");
        Self {
            authorizer: Authorizer::new(),
            policies,
            entities: Entities::empty(),
            principal: uid(r#"Grant::"g1""#),
            resource: uid(r#"Server::"s1""#),
        }
    }

    fn allows(&self, tool: &str, context: Context) -> bool {
        let Ok(action) = format!(r#"Action::"{tool}""#).parse() else {
            return false;
        };
        let (principal, resource) = (self.principal.clone(), self.resource.clone());
        let Ok(request) = Request::new(principal, action, resource, context, None) else {
            return false;
        };
        let answer = self
            .authorizer
            .is_authorized(&request, &self.policies, &self.entities);
        answer.decision() == Decision::Allow
    }
}

fn straightforward(cedar: &Cedar, body: &[u8]) -> bool {
    let Ok(mut call) = serde_json::from_slice::<serde_json::Value>(body) else {
        return false;
    };
    if call["method"] != "tools/call" {
        return false;
    }
    let arguments = call["params"]["arguments"].take();
    let (Some(tool), Ok(context)) = (
        call["params"]["name"].as_str(),
        Context::from_json_value(arguments, None),
    ) else {
        return false;
    };
    cedar.allows(tool, context)
}

/// What the policies name of the arguments.
fn named(arguments: Value<'_>) -> Option<Context> {
    let text = |value: Value<'_>| {
        let text = value.as_str()?.into_owned();
        Some(RestrictedExpression::new_string(text))
    };
    let number = arguments.get("body_bytes")?.number_text()?.parse().ok()?;
    let region = text(arguments.get("meta")?.get("region")?)?;
    let meta = RestrictedExpression::new_record([("region".to_owned(), region)]).ok()?;
    Context::from_pairs([
        ("url".to_owned(), text(arguments.get("url")?)?),
        ("method".to_owned(), text(arguments.get("method")?)?),
        ("class".to_owned(), text(arguments.get("class")?)?),
        (
            "body_bytes".to_owned(),
            RestrictedExpression::new_long(number),
        ),
        ("meta".to_owned(), meta),
    ])
    .ok()
}

fn best(cedar: &Cedar, reader: &mut Reader, memory: &mut Vec<u8>, body: &[u8]) -> bool {
    let mut arrived = std::mem::take(memory);
    arrived.clear();
    arrived.extend_from_slice(body);
    let Ok(message) = reader.read(arrived) else {
        return false;
    };
    let allowed = message.tool_call().is_some_and(|call| {
        let context = call.arguments.and_then(named);
        context.is_some_and(|context| cedar.allows(&call.name, context))
    });
    *memory = reader.recycle(message);
    allowed
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let file = match arguments.as_slice() {
        [] => None,
        [flag, file] if flag == "--svg" => Some(file),
        _ => {
            println!("usage: comparison [--svg FILE]");
            return ExitCode::from(2);
        }
    };
    let (mut ours, plain) = (Tollbook::default(), Plain::default());
    let all = Cedar::new(&all_policies(), 24);
    let called = Cedar::new(&called_policies(), 3);
    let (mut reader, mut memory) = (Reader::new(Limits::DEFAULT), Vec::new());
    let mut ways = [
        Way::new("tollbook", |body| ours.allows(body)),
        Way::new("serde_json + regex", |body| plain.allows(body)),
        Way::new("cedar", |body| straightforward(&all, body)),
        Way::new("cedar at its best", |body| {
            best(&called, &mut reader, &mut memory, body)
        }),
    ];
    let rows = table::print(&mut ways);
    println!();
    large::print();
    let Some(file) = file else {
        return ExitCode::SUCCESS;
    };
    match std::fs::write(file, table::picture(&ways, &rows)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("comparison: cannot write {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
