//! Random joins, starts, memberships, leaders and versions against an oracle of plain lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

use crate::world::{HOUR, World, genesis, join, join_token, members};
use tollbook_state::command::{Command, Join, JoinTokenPut, Micros};
use tollbook_state::{CommandResult, JoinRefusal, Payload, limits};

#[derive(Clone, Debug)]
enum Step {
    Join {
        token: u8,
        name: u8,
        forged: bool,
    },
    Key(u8),
    Lead {
        elected: bool,
        node: u32,
    },
    Members(Vec<u32>),
    Recover,
    Start {
        node: u32,
        boot: u64,
        start: u64,
        speaks: u16,
    },
    Token {
        token: u8,
        life: u64,
    },
    Version(u16),
    Wait(u64),
}

#[derive(Clone)]
struct Token {
    expires: u64,
    /// Node and name.
    joined: Option<(u32, String)>,
    refusals: u32,
}

/// Everything that ever happened, as far as the answers depend on it.
#[derive(Default)]
struct Oracle {
    tokens: BTreeMap<u8, Token>,
    members: BTreeSet<u32>,
    ever: BTreeSet<u32>,
    given: BTreeSet<u32>,
    /// All starts that were accepted: (node, start, boot, speaks).
    starts: Vec<(u32, u64, u64, u16)>,
    refused: BTreeSet<(u32, u64)>,
    version: u16,
    leads: Vec<(u64, u32)>,
    keys: Vec<String>,
    epochs: u32,
}

impl Oracle {
    fn newest(&self, node: u32) -> Option<(u64, u64, u16)> {
        let of_node = self.starts.iter().filter(|start| start.0 == node);
        of_node
            .map(|(_, start, boot, speaks)| (*start, *boot, *speaks))
            .max()
    }

    fn removed(&self, node: u32) -> bool {
        self.ever.contains(&node) && !self.members.contains(&node)
    }

    /// What a join comes to, and whether it is recorded.
    fn join(&mut self, token: u8, name: &str, forged: bool, now: u64) -> (CommandResult, bool) {
        let keep = limits::JOIN_TOKEN_KEEP_US;
        self.tokens.retain(|_, token| now < token.expires + keep);
        let refused = |why| (CommandResult::JoinRefused(why), false);
        let Some(found) = self.tokens.get(&token).cloned() else {
            return refused(JoinRefusal::Unknown);
        };
        if forged {
            return refused(JoinRefusal::WrongHash);
        }
        if let Some((node, first)) = found.joined {
            if first == name && !self.removed(node) {
                return (CommandResult::Joined { node }, false);
            }
            let refusals = &mut self.tokens.get_mut(&token).unwrap().refusals;
            *refusals += 1;
            let used = CommandResult::JoinRefused(JoinRefusal::Used { node });
            return (used, *refusals <= limits::JOIN_REFUSALS);
        }
        if now >= found.expires {
            return refused(JoinRefusal::Expired);
        }
        let holder = self
            .members
            .iter()
            .copied()
            .find(|node| format!("n{node}") == name);
        let pending = self.tokens.values().filter(|token| now < token.expires);
        let pending = pending.filter_map(|token| token.joined.as_ref());
        let pending = pending.filter(|(node, of)| of == name && !self.removed(*node));
        if let Some(node) = holder.or_else(|| pending.map(|(node, _)| *node).next()) {
            return refused(JoinRefusal::NameTaken { node });
        }
        let node = self
            .ever
            .union(&self.given)
            .max()
            .map_or(1, |highest| highest + 1);
        self.given.insert(node);
        self.tokens.get_mut(&token).unwrap().joined = Some((node, name.into()));
        (CommandResult::Joined { node }, true)
    }

    /// The refusal of a version, if there is one.
    fn deaf(&self, version: u16) -> Option<CommandResult> {
        let speaks = |node: &u32| self.newest(*node).map_or(0, |(_, _, speaks)| speaks);
        let deaf = self.members.iter().find(|node| speaks(node) < version);
        deaf.map(|node| CommandResult::NotSpoken {
            node: *node,
            speaks: speaks(node),
        })
    }
}

struct Pair {
    world: World,
    oracle: Oracle,
    records: usize,
}

impl Pair {
    fn new() -> Self {
        let mut world = World::empty();
        world.entry(None, Payload::Blank);
        world.membership(&members(&[1]));
        world.one(Command::Genesis(genesis()));
        let oracle = Oracle {
            members: [1].into(),
            ever: [1].into(),
            version: 1,
            leads: vec![(1, 1)],
            keys: vec![genesis().log_key],
            ..Oracle::default()
        };
        let records = world.records().len();
        Self {
            world,
            oracle,
            records,
        }
    }

    /// The log's time of the next batch.
    fn next_time(&self) -> u64 {
        self.world.clock.max(self.world.state.now().0) + 1
    }

    /// That many records came.
    fn recorded(&mut self, count: usize) {
        self.records += count;
        assert_eq!(self.world.records().len(), self.records);
    }

    fn start(&mut self, node: u32, boot: u64, start: u64, speaks: u16) {
        (self.world.node, self.world.boot) = (node, boot);
        let software = "x".into();
        let result = self.world.one(Command::NodeStart {
            software,
            start,
            speaks,
        });
        let newest = self.oracle.newest(node);
        if speaks < self.oracle.version {
            assert!(matches!(result, CommandResult::Rejected(_)));
            return self.recorded(0);
        }
        match newest {
            Some((known, its, _)) if (start, boot) == (known, its) => self.recorded(0),
            Some((known, its, _)) if start <= known => {
                let refused = CommandResult::StartRefused {
                    start: known,
                    boot: its,
                };
                assert_eq!(result, refused);
                let first = self.oracle.refused.insert((node, boot));
                self.recorded(usize::from(first));
            }
            _ => {
                assert!(matches!(result, CommandResult::Recorded { count: 1, .. }));
                self.oracle.starts.push((node, start, boot, speaks));
                self.recorded(1);
            }
        }
    }

    fn members(&mut self, nodes: &[u32]) {
        let nodes: BTreeSet<u32> = nodes.iter().copied().collect();
        let list: Vec<u32> = nodes.iter().copied().collect();
        let changed = nodes != self.oracle.members;
        self.world.membership(&members(&list));
        let gone = self.oracle.members.difference(&nodes).copied();
        for node in gone.collect::<Vec<_>>() {
            self.oracle.starts.retain(|start| start.0 != node);
            self.oracle.refused.retain(|refused| refused.0 != node);
        }
        self.oracle.ever.extend(&nodes);
        self.oracle.members = nodes;
        self.oracle.epochs += u32::from(changed);
        self.recorded(usize::from(changed));
    }

    fn token(&mut self, token: u8, life: u64) {
        let now = self.next_time();
        let put = JoinTokenPut {
            expires: Micros(now + life),
            ..join_token(token)
        };
        let result = self.world.one(Command::JoinTokenPut(put));
        let keep = limits::JOIN_TOKEN_KEEP_US;
        self.oracle
            .tokens
            .retain(|_, token| now < token.expires + keep);
        let known = self.oracle.tokens.get(&token).map(|token| token.expires);
        match known {
            Some(expires) if expires != now + life => {
                assert_eq!(result, CommandResult::Conflict { revision: 1 });
                self.recorded(0);
            }
            known => {
                let (revision, changed) = (1, known.is_none());
                assert_eq!(result, CommandResult::Put { revision, changed });
                self.oracle.tokens.entry(token).or_insert(Token {
                    expires: now + life,
                    joined: None,
                    refusals: 0,
                });
                self.recorded(usize::from(changed));
            }
        }
    }

    fn lead(&mut self, elected: bool, node: u32) {
        self.world.term += u64::from(elected);
        self.world.node = node;
        self.world.entry(None, Payload::Blank);
        let lead = (self.world.term, node);
        let newer = self.oracle.leads.iter().all(|earlier| *earlier < lead);
        self.oracle.leads.push(lead);
        self.recorded(usize::from(newer));
    }

    fn version(&mut self, version: u16) {
        let result = self.world.one(Command::Version { version });
        let raised = version > self.oracle.version;
        if let Some(deaf) = self.oracle.deaf(version).filter(|_| raised) {
            assert_eq!(result, deaf);
            return self.recorded(0);
        }
        self.oracle.version = self.oracle.version.max(version);
        let put = CommandResult::Put {
            revision: u64::from(self.oracle.version),
            changed: raised,
        };
        assert_eq!(result, put);
        self.recorded(usize::from(raised));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join {
                token,
                name,
                forged,
            } => {
                let name = format!("n{name}");
                let mut ask = join(token, &name);
                if forged {
                    ask.hash.0[0] ^= 1;
                }
                let ask = Join { ..ask };
                let now = self.next_time();
                let (expected, recorded) = self.oracle.join(token, &name, forged, now);
                assert_eq!(self.world.one(Command::Join(ask)), expected);
                self.recorded(usize::from(recorded));
            }
            Step::Key(key) => {
                let log_key = format!("key{key}");
                let changed = self.oracle.keys.last() != Some(&log_key);
                self.oracle.keys.push(log_key.clone());
                let actor = "a".into();
                self.world.one(Command::KeyChange { actor, log_key });
                self.oracle.epochs += u32::from(changed);
                self.recorded(usize::from(changed));
            }
            Step::Lead { elected, node } => self.lead(elected, node),
            Step::Members(nodes) => self.members(&nodes),
            Step::Recover => {
                let (actor, reason) = ("a".into(), "r".into());
                self.world.one(Command::Recover { actor, reason });
                self.oracle.epochs += 1;
                self.recorded(2);
            }
            Step::Start {
                node,
                boot,
                start,
                speaks,
            } => self.start(node, boot, start, speaks),
            Step::Token { token, life } => self.token(token, life),
            Step::Version(version) => self.version(version),
            Step::Wait(us) => self.world.wait(us),
        }
        let (state, oracle) = (&self.world.state, &self.oracle);
        for node in 0..12 {
            assert_eq!(state.is_removed(node), oracle.removed(node), "{node}");
            let newest = oracle.newest(node).map(|(start, boot, _)| (start, boot));
            assert_eq!(state.starts(node), newest, "{node}");
        }
        assert_eq!(state.version(), oracle.version);
        assert_eq!(state.config_epoch(), oracle.epochs);
        assert_eq!(state.log_key(), oracle.keys.last().map(String::as_str));
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let forged = proptest::bool::weighted(0.1);
    prop_oneof![
        5 => (0..4_u8, 1..9_u8, forged)
            .prop_map(|(token, name, forged)| Step::Join { token, name, forged }),
        1 => (0..3_u8).prop_map(Step::Key),
        2 => (proptest::bool::ANY, 1..4_u32)
            .prop_map(|(elected, node)| Step::Lead { elected, node }),
        3 => vec(1..9_u32, 1..4).prop_map(Step::Members),
        1 => Just(Step::Recover),
        6 => (1..5_u32, 1..5_u64, 1..9_u64, 1..4_u16)
            .prop_map(|(node, boot, start, speaks)| Step::Start { node, boot, start, speaks }),
        3 => (0..4_u8, prop_oneof![Just(1), 1..2 * HOUR])
            .prop_map(|(token, life)| Step::Token { token, life }),
        2 => (0..5_u16).prop_map(Step::Version),
        2 => prop_oneof![1..HOUR, Just(25 * HOUR)].prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_nodes_do_the_state_agrees_with_the_oracle(steps in vec(steps(), 1..60)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
        }
    }
}
