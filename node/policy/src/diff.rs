//! What one policy means that another does not. Two rules are the same when their canonical forms
//! are, wherever they stand.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use self::rules::{Step, compare_limits, compare_rules};
use crate::check::shortened;
use crate::digest::digest;
use crate::finding::{push_index, push_token};
use crate::json::Value;

mod rules;

/// What a change does to verdicts, all else and the counters being equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It can turn denials into permissions, and nothing else.
    Loosens,
    /// It can turn permissions into denials, and nothing else.
    Tightens,
    /// It may do either: what it does is not certain from the texts alone.
    Changes,
    /// No verdict depends on it: messages, order, descriptions, what the book keeps.
    Neutral,
}

impl Direction {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loosens => "loosens",
            Self::Tightens => "tightens",
            Self::Changes => "changes",
            Self::Neutral => "neutral",
        }
    }

    fn reversed(self) -> Self {
        match self {
            Self::Loosens => Self::Tightens,
            Self::Tightens => Self::Loosens,
            Self::Changes | Self::Neutral => self,
        }
    }

    /// Of two changes at once.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Neutral, one) | (one, Self::Neutral) => one,
            (one, two) if one == two => one,
            (_, _) => Self::Changes,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it does to verdicts.
    pub direction: Direction,
    /// The tool that it is about, if it is about one; `*` for the rules of all.
    pub tool: Option<String>,
    /// RFC 6901, into the old document; none of what is added.
    pub old: Option<String>,
    /// RFC 6901, into the new document; none of what is dropped.
    pub new: Option<String>,
    /// For people.
    pub text: String,
}

/// What changes from one document to the other. Both have passed [`crate::check`]. Empty exactly
/// where their digests are equal.
pub fn diff(old: Value<'_>, new: Value<'_>) -> Vec<Change> {
    if digest(old) == digest(new) {
        return Vec::new();
    }
    let mut changes = Changes::default();
    changes.default_action(old, new);
    changes.names(old, new, &HIDE);
    changes.tools(old, new);
    changes.names(old, new, &METHODS_ALLOW);
    changes.names(old, new, &METHODS_DENY);
    for (name, text) in [
        ("audit", "what the book keeps of arguments changes"),
        ("description", "the description changes"),
        ("$schema", "the schema that it names changes"),
    ] {
        let (one, two) = (old.get(name), new.get(name));
        if one.map(digest) != two.map(digest) {
            let place = |value: Option<Value<'_>>| value.map(|_| format!("/{name}"));
            changes.add(
                Direction::Neutral,
                None,
                (place(one), place(two)),
                text.into(),
            );
        }
    }
    if changes.all.is_empty() {
        let text = "written otherwise: an order, or a default spelt out; nothing decides otherwise";
        changes.add(Direction::Neutral, None, (None, None), text.into());
    }
    changes.all
}

/// A list of names whose order does not matter.
struct Names {
    path: [&'static str; 2],
    pointer: &'static str,
    added: (Direction, &'static str),
    dropped: (Direction, &'static str),
}

const HIDE: Names = Names {
    path: ["hide", ""],
    pointer: "/hide",
    added: (Direction::Tightens, "hidden"),
    dropped: (Direction::Loosens, "no longer hidden"),
};
const METHODS_ALLOW: Names = Names {
    path: ["methods", "allow"],
    pointer: "/methods/allow",
    added: (Direction::Loosens, "is among the methods that are allowed"),
    dropped: (
        Direction::Tightens,
        "is no longer among the methods that are allowed",
    ),
};
const METHODS_DENY: Names = Names {
    path: ["methods", "deny"],
    pointer: "/methods/deny",
    added: (Direction::Tightens, "is among the methods that are denied"),
    dropped: (
        Direction::Loosens,
        "is no longer among the methods that are denied",
    ),
};

impl Names {
    fn of<'d>(&self, root: Value<'d>) -> Vec<(usize, Cow<'d, str>)> {
        let [first, second] = self.path;
        let list = root.get(first);
        let list = if second.is_empty() {
            list
        } else {
            list.and_then(|section| section.get(second))
        };
        let names = list.into_iter().flat_map(Value::elements);
        let names = names.filter_map(Value::as_str);
        names.enumerate().collect()
    }
}

#[derive(Default)]
struct Changes {
    all: Vec<Change>,
}

impl Changes {
    fn add(
        &mut self,
        direction: Direction,
        tool: Option<&str>,
        (old, new): (Option<String>, Option<String>),
        text: String,
    ) {
        self.all.push(Change {
            direction,
            tool: tool.map(String::from),
            old,
            new,
            text,
        });
    }

    fn default_action(&mut self, old: Value<'_>, new: Value<'_>) {
        let place = |root: Value<'_>| root.get("default").map(|_| "/default".into());
        let (direction, text) = match (allows(old), allows(new)) {
            (false, true) => (Direction::Loosens, "deny becomes allow"),
            (true, false) => (Direction::Tightens, "allow becomes deny"),
            (true, true) | (false, false) => return,
        };
        let text = format!("{text} for tools and methods that nothing names");
        self.add(direction, None, (place(old), place(new)), text);
    }

    fn names(&mut self, old: Value<'_>, new: Value<'_>, names: &Names) {
        let (before, after) = (names.of(old), names.of(new));
        let place = |index: usize| {
            let mut pointer = String::from(names.pointer);
            push_index(&mut pointer, index);
            Some(pointer)
        };
        let both = [&before, &after].map(|names| names.iter().map(|(_, name)| name));
        let [known, kept] = both.map(BTreeSet::from_iter);
        for (index, name) in before.iter().filter(|(_, name)| !kept.contains(name)) {
            self.name(name, new, names, names.dropped, (place(*index), None));
        }
        for (index, name) in after.iter().filter(|(_, name)| !known.contains(name)) {
            self.name(name, old, names, names.added, (None, place(*index)));
        }
    }

    /// One name that is added or dropped; `other` is the document that has it not.
    fn name(
        &mut self,
        name: &str,
        other: Value<'_>,
        names: &Names,
        (direction, what): (Direction, &str),
        places: (Option<String>, Option<String>),
    ) {
        if names.path != HIDE.path {
            let text = format!("`{}` {what}", shortened(name));
            return self.add(direction, None, places, text);
        }
        // Where it is denied without being hidden, no verdict depends on that.
        let entry = member(other, name, None);
        let unlisted = entry.is_none() && !allows(other);
        if unlisted || entry.is_some_and(|entry| entry.get("deny").is_some()) {
            let text = format!("{what}; every call is denied with or without");
            self.add(Direction::Neutral, Some(name), places, text);
        } else {
            self.add(direction, Some(name), places, what.into());
        }
    }

    fn tools(&mut self, old: Value<'_>, new: Value<'_>) {
        let hidden = |root| HIDE.of(root).into_iter().map(|(_, name)| name);
        let (before, after): (BTreeSet<_>, BTreeSet<_>) =
            (hidden(old).collect(), hidden(new).collect());
        let tools = |root: Value<'_>| -> Vec<String> {
            let tools = root.get("tools").into_iter().flat_map(Value::entries);
            tools
                .filter_map(|(name, _)| name.as_str().map(Cow::into_owned))
                .collect()
        };
        let names: BTreeSet<String> = tools(old).into_iter().chain(tools(new)).collect();
        for name in &names {
            let tool =
                |root: Value<'_>| root.get("tools").is_some_and(|all| all.get(name).is_some());
            let start = self.all.len();
            match (tool(old), tool(new)) {
                (false, true) if name != "*" => self.listed(name, old, new),
                (true, false) if name != "*" => self.unlisted(name, old, new),
                (_, _) => self.tool(name, old, new),
            }
            if before.contains(&**name) && after.contains(&**name) {
                self.moot(start, "the tool is hidden before and after");
            }
        }
    }

    /// What was found from `start` on decides nothing.
    fn moot(&mut self, start: usize, why: &str) {
        for change in self.all.iter_mut().skip(start) {
            change.direction = Direction::Neutral;
            change.text = format!("{} ({why})", change.text);
        }
    }

    fn listed(&mut self, name: &str, old: Value<'_>, new: Value<'_>) {
        let place = (None, Some(pointer(name, "")));
        let entry = member(new, name, None);
        if allows(old) {
            let text = "listed; it was allowed by default".into();
            self.add(Direction::Neutral, Some(name), place, text);
            self.tool(name, old, new);
        } else if entry.is_some_and(|entry| entry.get("deny").is_some()) {
            let text = "listed, and every call denied: it is visible now".into();
            self.add(Direction::Neutral, Some(name), place, text);
        } else {
            let count = |what| member(new, name, Some(what)).map_or(0, Value::len);
            let text = format!(
                "newly allowed, under {} `require`, {} `deny_if` and {} `limits`",
                count("require"),
                count("deny_if"),
                count("limits")
            );
            self.add(Direction::Loosens, Some(name), place, text);
        }
    }

    fn unlisted(&mut self, name: &str, old: Value<'_>, new: Value<'_>) {
        let place = (Some(pointer(name, "")), None);
        let entry = member(old, name, None);
        if allows(new) {
            let text = "no longer listed; it is allowed by default".into();
            self.add(Direction::Neutral, Some(name), place, text);
            self.tool(name, old, new);
        } else if entry.is_some_and(|entry| entry.get("deny").is_some()) {
            let text = "no longer listed; every call was denied already".into();
            self.add(Direction::Neutral, Some(name), place, text);
        } else {
            let text = "no longer listed: every call is denied".into();
            self.add(Direction::Tightens, Some(name), place, text);
        }
    }

    /// A tool's rules; of a tool that is not listed, none.
    fn tool(&mut self, name: &str, old: Value<'_>, new: Value<'_>) {
        let both = |what| (member(old, name, Some(what)), member(new, name, Some(what)));
        let places = |(one, two): (Option<Value<'_>>, Option<Value<'_>>), what: &str| {
            let place = |value: Option<Value<'_>>| value.map(|_| pointer(name, what));
            (place(one), place(two))
        };
        let deny = both("deny");
        let place = places(deny, "/deny");
        match deny {
            (None, Some(_)) => {
                let text = "`deny` added: every call is denied".into();
                self.add(Direction::Tightens, Some(name), place, text);
            }
            (Some(_), None) => {
                let text = "`deny` dropped: calls are judged by the rules".into();
                self.add(Direction::Loosens, Some(name), place, text);
            }
            (Some(one), Some(two)) if digest(one) != digest(two) => {
                let text = "the message of `deny` changes".into();
                self.add(Direction::Neutral, Some(name), place, text);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let start = self.all.len();
        self.only(name, both("only"), places(both("only"), "/only"));
        for step in [Step::Require, Step::DenyIf] {
            let at = pointer(name, &format!("/{}", step.name()));
            let (one, two) = both(step.name());
            self.all.extend(compare_rules(step, name, &at, one, two));
        }
        let (one, two) = both("limits");
        let at = pointer(name, "/limits");
        self.all.extend(compare_limits(name, &at, one, two));
        if let (Some(_), Some(_)) = deny {
            self.moot(start, "`deny` refuses every call before and after");
        }
    }

    fn only(
        &mut self,
        name: &str,
        (old, new): (Option<Value<'_>>, Option<Value<'_>>),
        place: (Option<String>, Option<String>),
    ) {
        let set = |list: Value<'_>| -> BTreeSet<String> {
            let names = list.elements().filter_map(Value::as_str);
            names.map(|name| name.to_string()).collect()
        };
        match (old, new) {
            (None, Some(_)) => {
                let text = "`only` added: other arguments are denied".into();
                self.add(Direction::Tightens, Some(name), place, text);
            }
            (Some(_), None) => {
                let text = "`only` dropped: any argument may come".into();
                self.add(Direction::Loosens, Some(name), place, text);
            }
            (Some(old), Some(new)) => {
                let (before, after) = (set(old), set(new));
                for gone in before.difference(&after) {
                    let text = format!("argument `{}` is no longer allowed", shortened(gone));
                    self.add(Direction::Tightens, Some(name), place.clone(), text);
                }
                for come in after.difference(&before) {
                    let text = format!("argument `{}` is allowed too", shortened(come));
                    self.add(Direction::Loosens, Some(name), place.clone(), text);
                }
            }
            (None, None) => {}
        }
    }
}

/// Whether what nothing names is allowed.
fn allows(root: Value<'_>) -> bool {
    root.get("default")
        .is_some_and(|default| default.is_str("allow"))
}

/// A tool's entry, or a member of it.
fn member<'d>(root: Value<'d>, tool: &str, name: Option<&str>) -> Option<Value<'d>> {
    let entry = root.get("tools")?.get(tool)?;
    match name {
        Some(name) => entry.get(name),
        None => Some(entry),
    }
}

fn pointer(tool: &str, rest: &str) -> String {
    let mut pointer = String::from("/tools");
    push_token(&mut pointer, tool);
    pointer + rest
}
