//! Admission: what a decided call must still pass at apply, in this order: its grant is live, it
//! was
//! decided under the revisions in force, its limits hold, and open calls are within their bounds.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::State;
use crate::book::{Entry, PolicyName, Proposer};
use crate::command::{
    Cause, Decision, Element, GrantId, Intent, List, PolicyDigest, Refused, Scope, ServerId, Window,
};
use crate::effects::{
    AdmittedCall, Bound, CommandResult, Denial, DeniedBy, ElementResult, Rejection, Unauthorised,
};
use crate::genesis::too_large;
use crate::limits;
use crate::planted::{self, Bug};
use crate::quota::{Spent, Tally, Why};
use crate::rows::{Grant, Hold, OpenCall, Policy, Row};
use crate::text;
use tollbook_audit::record::{Intent as IntentRecord, Reservation, Verdict};
use tollbook_audit::{self as audit, Record, hex};

/// `source` of the `deny_auth` record of a grant that died between decision and commit: an intent
/// does not say where the client is, and the node that asks has authenticated it already.
const SOURCE_ADMISSION: &str = "admission";
/// `source` of refusals counted for a grant that is not there.
const SOURCE_UNKNOWN: &str = "unknown";

/// What a call was decided under.
#[derive(Clone, Copy, Debug)]
struct Revisions {
    grant: GrantId,
    grant_revision: u64,
    server: ServerId,
    server_revision: u64,
    policy: Option<PolicyDigest>,
}

/// Whom a call concerns, all at the revisions it was decided under.
#[derive(Clone, Copy)]
struct Parties<'a> {
    grant: &'a Grant,
    policy: Option<&'a Policy>,
}

/// One element, judged but not yet recorded.
enum Judged {
    Allow(Vec<Hold>),
    Deny(Ruling),
}

/// Why an element is denied, in the policy's words.
struct Ruling {
    by: DeniedBy,
    rule: String,
    pointer: Option<String>,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl State {
    pub(crate) fn intent(
        &mut self,
        entry: &mut Entry,
        by: Proposer,
        intent: &Intent,
    ) -> CommandResult {
        let revisions = Revisions {
            grant: intent.grant,
            grant_revision: intent.grant_revision,
            server: intent.server,
            server_revision: intent.server_revision,
            policy: intent.policy,
        };
        if let Err(why) = self.live(entry, &intent.grant) {
            return self.deny_auth(entry, &intent.grant, why);
        }
        let Some(parties) = self.parties(&revisions) else {
            return CommandResult::Stale;
        };
        if let Err(rejection) = self.check(intent) {
            return CommandResult::Rejected(rejection);
        }
        let mut tally = Tally::new(&self.counters, parties.grant, entry.t);
        let judged: Result<Vec<Judged>, Rejection> = intent
            .elements
            .iter()
            .map(|element| judge(parties.policy, &mut tally, element))
            .collect();
        let judged = match judged {
            Ok(judged) => judged,
            Err(rejection) => return CommandResult::Rejected(rejection),
        };
        if judged
            .iter()
            .any(|judged| matches!(judged, Judged::Deny(_)))
        {
            return self.record_denials(entry, intent, judged);
        }
        if let Some(bound) = self.bound_reached(&intent.grant, judged.len(), &tally) {
            return CommandResult::Full(bound);
        }
        let added = tally.into_added().collect();
        self.charge(entry, added);
        self.record_admission(entry, by, intent, judged)
    }

    pub(crate) fn list(&mut self, entry: &mut Entry, list: &List) -> CommandResult {
        let revisions = Revisions {
            grant: list.grant,
            grant_revision: list.grant_revision,
            server: list.server,
            server_revision: list.server_revision,
            policy: list.policy,
        };
        if let Err(why) = self.live(entry, &list.grant) {
            return self.deny_auth(entry, &list.grant, why);
        }
        let Some(policy) = self.parties(&revisions).map(|parties| parties.policy) else {
            return CommandResult::Stale;
        };
        let policy = policy.map(PolicyName::of);
        let gs = self.next_gs(entry, &list.grant);
        let record = Record::List(audit::record::List {
            gs,
            grant: &text::grant(&list.grant),
            server: &text::server(&list.server),
            offered: list.offered,
            shown: list.shown,
            offered_hash: &hex(&list.offered_hash),
            shown_hash: &hex(&list.shown_hash),
            policy: policy.as_ref().map(PolicyName::as_ref),
        });
        let first = self.write(entry, None, &record);
        CommandResult::Recorded { first, count: 1 }
    }

    /// Counted refusals. A grant that is not there cannot have a `gs`: its refusals are recorded
    /// as a stranger's, so that no count is lost.
    pub(crate) fn refused(&mut self, entry: &mut Entry, refused: &Refused) -> CommandResult {
        let rows = refused.grants.len().saturating_add(refused.strangers.len());
        if let Err(rejection) = too_large("refusals", rows, limits::REFUSED_ROWS) {
            return CommandResult::Rejected(rejection);
        }
        let first = self.next_index(entry);
        for (grant, reason, count) in refused.grants.iter().filter(|row| row.2 > 0) {
            if self.grants.contains_key(grant) {
                let gs = self.next_gs(entry, grant);
                let grant = &text::grant(grant);
                let record = audit::record::Refused {
                    gs,
                    grant,
                    reason,
                    count: *count,
                };
                self.write(entry, None, &Record::Refused(record));
            } else {
                self.deny_auth_record(entry, SOURCE_UNKNOWN, reason, None, *count);
            }
        }
        for (source, reason, grant, count) in refused.strangers.iter().filter(|row| row.3 > 0) {
            self.deny_auth_record(entry, source, reason, grant.as_ref(), *count);
        }
        self.recorded_since(entry, first)
    }

    /// Step 1: by the log's time, which every replica has.
    fn live(&self, entry: &Entry, id: &GrantId) -> Result<(), Unauthorised> {
        let grant = self.grants.get(id).ok_or(Unauthorised::Unknown)?;
        if grant.revoked_at.is_some() && !planted::is(Bug::DropRevocation) {
            return Err(Unauthorised::Revoked);
        }
        if grant.expires.is_some_and(|end| entry.t >= end) {
            return Err(Unauthorised::Expired);
        }
        if grant.not_before.is_some_and(|start| entry.t < start) {
            return Err(Unauthorised::NotYetValid);
        }
        Ok(())
    }

    /// Step 2: none if any revision differs.
    fn parties(&self, decided: &Revisions) -> Option<Parties<'_>> {
        let grant = self.grants.get(&decided.grant)?;
        let server = self.servers.get(&decided.server)?;
        let policy = grant
            .policy
            .as_deref()
            .and_then(|name| self.policies.get(name));
        let same = grant.revision == decided.grant_revision
            && grant.server == decided.server
            && server.revision == decided.server_revision
            && policy.map(|policy| policy.digest) == decided.policy;
        (same || planted::is(Bug::DropRevisionCheck)).then_some(Parties { grant, policy })
    }

    /// What no sound proposer sends, before anything is judged or charged.
    fn check(&self, intent: &Intent) -> Result<(), Rejection> {
        if intent.elements.is_empty() {
            return Err(Rejection::Empty);
        }
        too_large("elements", intent.elements.len(), limits::ELEMENTS)?;
        let mut calls = BTreeSet::new();
        for element in &intent.elements {
            let used =
                self.open.contains_key(&element.call) || self.settled.contains_key(&element.call);
            if used || !calls.insert(element.call) {
                return Err(Rejection::DuplicateCall);
            }
            too_large(
                "commitments",
                element.commitments.len(),
                limits::COMMITMENTS,
            )?;
            for (path, _) in &element.commitments {
                too_large("commitment path", path.len(), limits::COMMITMENT_PATH_BYTES)?;
            }
            match &element.decision {
                Decision::Allow { charges } => {
                    too_large("charges", charges.len(), limits::CHARGES)?;
                }
                Decision::Deny(_) => {}
            }
        }
        Ok(())
    }

    /// Step 4.
    fn bound_reached(&self, grant: &GrantId, calls: usize, tally: &Tally<'_>) -> Option<Bound> {
        let over = |now: usize, more: usize, limit| now.saturating_add(more) > limit;
        if over(self.open_count_of(grant), calls, limits::OPEN_PER_GRANT) {
            Some(Bound::OpenPerGrant)
        } else if over(self.open.len(), calls, limits::OPEN) {
            Some(Bound::Open)
        } else if over(self.counters.len(), tally.new_counters(), limits::COUNTERS) {
            Some(Bound::Counters)
        } else {
            None
        }
    }

    fn record_admission(
        &mut self,
        entry: &mut Entry,
        by: Proposer,
        intent: &Intent,
        judged: Vec<Judged>,
    ) -> CommandResult {
        let mut calls = Vec::with_capacity(judged.len());
        for (element, judged) in intent.elements.iter().zip(judged) {
            let held = match judged {
                Judged::Allow(held) => held,
                Judged::Deny(_) => Vec::new(),
            };
            let index = self.intent_record(entry, intent, element, Verdict::Allow, &held);
            let (call, t) = (element.call, entry.t);
            self.open_insert(OpenCall {
                call,
                grant: intent.grant,
                node: by.node,
                boot: by.boot,
                admitted: t,
                index,
                held,
            });
            entry.touch(Row::Open(call));
            calls.push(AdmittedCall {
                call,
                t,
                index,
                frame: [0; 32],
            });
        }
        CommandResult::Admitted(calls)
    }

    /// Only the denied elements are recorded: the others were neither forwarded nor judged to the
    /// end, and an `intent` that says `allow` is one that may have run.
    fn record_denials(
        &mut self,
        entry: &mut Entry,
        intent: &Intent,
        judged: Vec<Judged>,
    ) -> CommandResult {
        let mut results = Vec::with_capacity(judged.len());
        for (element, judged) in intent.elements.iter().zip(judged) {
            let call = element.call;
            let ruling = match judged {
                Judged::Allow(_) => {
                    results.push(ElementResult::NotRun(call));
                    continue;
                }
                Judged::Deny(ruling) => ruling,
            };
            let verdict = Verdict::Deny {
                rule: &ruling.rule,
                pointer: ruling.pointer.as_deref(),
                reason: ruling.reason,
                message: ruling.message.as_deref(),
            };
            let index = self.intent_record(entry, intent, element, verdict, &[]);
            let Ruling {
                by,
                rule,
                pointer,
                reason,
                message,
            } = ruling;
            let (t, frame) = (entry.t, [0; 32]);
            results.push(ElementResult::Denied(Denial {
                call,
                t,
                index,
                frame,
                by,
                rule,
                pointer,
                reason,
                message,
            }));
        }
        CommandResult::Denied(results)
    }

    fn intent_record(
        &mut self,
        entry: &mut Entry,
        intent: &Intent,
        element: &Element,
        verdict: Verdict<'_>,
        held: &[Hold],
    ) -> u64 {
        let gs = self.next_gs(entry, &intent.grant);
        let grant = self.grants.get(&intent.grant).expect("admission found it");
        let server = self
            .servers
            .get(&intent.server)
            .expect("admission found it");
        let policy = grant
            .policy
            .as_deref()
            .and_then(|name| self.policies.get(name));
        let policy = policy.map(PolicyName::of);
        let named = |key: &&str| key.len() <= limits::ARGUMENT_KEY_BYTES;
        let keys: Vec<&str> = element
            .argument_keys
            .iter()
            .map(String::as_str)
            .filter(named)
            .take(limits::ARGUMENT_KEYS)
            .collect();
        let unnamed = element.argument_keys.len().saturating_sub(keys.len());
        let unnamed = u32::try_from(unnamed).unwrap_or(u32::MAX);
        let commitments: Vec<(&str, String)> = element
            .commitments
            .iter()
            .map(|(path, c)| (path.as_str(), hex(c)))
            .collect();
        let commitments: Vec<(&str, &str)> = commitments
            .iter()
            .map(|(path, c)| (*path, c.as_str()))
            .collect();
        let session = text::hex_option(intent.session.as_ref());
        let tool_definition = text::hex_option(element.tool_definition.as_ref());
        let rpc_id = text::hex_option(element.rpc_id.as_ref());
        let record = Record::Intent(IntentRecord {
            gs,
            grant: &text::grant(&intent.grant),
            label: &grant.label,
            owner: grant.owner.as_deref(),
            client: &intent.client,
            session: session.as_deref(),
            server: &text::server(&server.id),
            server_name: &server.name,
            method: &element.method,
            tool: element.tool.as_deref(),
            tool_definition: tool_definition.as_deref(),
            verdict,
            policy: policy.as_ref().map(PolicyName::as_ref),
            grant_revision: intent.grant_revision,
            server_revision: intent.server_revision,
            reservations: &reservations(held),
            argument_keys: &keys,
            argument_keys_more: element.argument_keys_more.saturating_add(unnamed),
            commitments: &commitments,
            traceparent: element.traceparent.as_deref(),
            rpc_id: rpc_id.as_deref(),
        });
        self.write(entry, Some(&element.call), &record)
    }

    fn deny_auth(
        &mut self,
        entry: &mut Entry,
        grant: &GrantId,
        why: Unauthorised,
    ) -> CommandResult {
        self.deny_auth_record(entry, SOURCE_ADMISSION, why.text(), Some(grant), 1);
        CommandResult::Unauthorised(why)
    }

    /// The grant is named only where it exists: a stranger's token does not put text in the log.
    fn deny_auth_record(
        &mut self,
        entry: &mut Entry,
        source: &str,
        reason: &str,
        grant: Option<&GrantId>,
        count: u64,
    ) {
        let grant = grant
            .filter(|grant| self.grants.contains_key(grant))
            .map(text::grant);
        let grant = grant.as_deref();
        let record = audit::record::DenyAuth {
            source,
            reason,
            grant,
            count,
        };
        self.write(entry, None, &Record::DenyAuth(record));
    }

    /// The next number of the grant's gapless counter.
    pub(crate) fn next_gs(&mut self, entry: &mut Entry, grant: &GrantId) -> u64 {
        entry.touch(Row::Gs(*grant));
        let gs = self.gs.entry(*grant).or_default();
        *gs = gs.saturating_add(1);
        *gs
    }
}

/// Holds as records name them.
pub(crate) fn reservations(held: &[Hold]) -> Vec<Reservation<'_>> {
    let of = |hold| {
        let Hold { key, amount }: &Hold = hold;
        Reservation {
            counter: &key.counter,
            window: match key.window {
                Window::Minute => "minute",
                Window::Hour => "hour",
                Window::Day => "day",
                Window::Month => "month",
            },
            scope: match key.account.scope() {
                Scope::Grant => "grant",
                Scope::Policy => "policy",
                Scope::Server => "server",
                Scope::Owner => "owner",
            },
            window_start: key.start,
            amount: *amount,
        }
    };
    held.iter().map(of).collect()
}

/// The permit's own verdict as it is; what it allows is charged (step 3).
fn judge(
    policy: Option<&Policy>,
    tally: &mut Tally<'_>,
    element: &Element,
) -> Result<Judged, Rejection> {
    match &element.decision {
        Decision::Allow { charges } => {
            // No policy denies all, whoever says otherwise.
            let policy = policy.ok_or(Rejection::Decision)?;
            let rows: Result<Vec<_>, Rejection> = charges
                .iter()
                .map(|charge| Ok((*charge, row(&policy.limits, charge.limit)?)))
                .collect();
            match tally.reserve(rows?.into_iter()) {
                Ok(held) => Ok(Judged::Allow(held)),
                Err(spent) => spent_ruling(policy, spent).map(Judged::Deny),
            }
        }
        Decision::Deny(cause) => cause_ruling(policy, element, *cause).map(Judged::Deny),
    }
}

fn spent_ruling(policy: &Policy, spent: Spent) -> Result<Ruling, Rejection> {
    let limit = row(&policy.limits, spent.row)?;
    Ok(Ruling {
        by: DeniedBy::Limit(spent.row),
        rule: limit.rule.clone(),
        pointer: Some(limit.pointer.clone()),
        reason: Some(match spent.why {
            Why::Amount => "amount",
            Why::Max => "limit",
        }),
        message: limit.message.clone(),
    })
}

fn cause_ruling(
    policy: Option<&Policy>,
    element: &Element,
    cause: Cause,
) -> Result<Ruling, Rejection> {
    let place = |rule: &str, pointer: Option<&str>| Ruling {
        by: DeniedBy::Policy(cause),
        rule: rule.into(),
        pointer: pointer.map(String::from),
        reason: None,
        message: None,
    };
    match (cause, policy) {
        (Cause::NoPolicy, None) => Ok(Ruling {
            reason: Some("no_policy"),
            ..place("/default", None)
        }),
        (Cause::NoPolicy, Some(_)) | (_, None) => Err(Rejection::Decision),
        (Cause::Default | Cause::Method { listed: false }, Some(_)) => {
            Ok(place("/default", Some("/default")))
        }
        (Cause::Method { listed: true }, Some(_)) => {
            Ok(place("/methods/deny", Some("/methods/deny")))
        }
        (Cause::Hidden, Some(_)) => {
            let tool = element.tool.as_deref().unwrap_or_default();
            Ok(place(&format!("/hide/{tool}"), Some("/hide")))
        }
        (
            Cause::Rule {
                rule,
                indeterminate,
            },
            Some(policy),
        ) => {
            let row = row(&policy.rules, rule)?;
            Ok(Ruling {
                reason: indeterminate.then_some("indeterminate"),
                message: row.message.clone(),
                ..place(&row.rule, Some(&row.pointer))
            })
        }
    }
}

fn row<T>(table: &[T], row: u32) -> Result<&T, Rejection> {
    let at = usize::try_from(row).map_err(|_| Rejection::Row { row })?;
    table.get(at).ok_or(Rejection::Row { row })
}
