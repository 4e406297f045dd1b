//! What befalls the nodes, drawn from the seed: processes that die or stop, and weather between
//! them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::NODES;
use super::nodes::{self, Node};
use super::proxy::{Link, Proxy};
use super::seed::Seed;
use crate::peers::PeerError;

/// How often what was done.
pub(super) type Tally = BTreeMap<&'static str, u64>;

/// Kills and stops nodes until `end`; all run again when it returns.
pub(super) fn processes(nodes: &[Node], mut seed: Seed, end: Instant) -> Result<Tally, PeerError> {
    let mut tally = Tally::new();
    loop {
        pause(seed.between(500, 2_500), end);
        // Drawn in any case, so that what the cluster does changes none of what follows.
        let (kind, any, held) = (seed.below(12), seed.below(NODES), seed.between(200, 4_000));
        if Instant::now() >= end {
            return Ok(tally);
        }
        let leader = nodes::leader(nodes);
        let (name, place) = match kind {
            0..=2 => ("kill -9 of the leader", leader.unwrap_or(any)),
            3..=4 => ("kill -9", any),
            5..=6 => ("stop of the leader", leader.unwrap_or(any)),
            7..=8 => ("stop", any),
            9 => ("kill -9 of all three", NODES),
            _ => ("leadership handed over", any),
        };
        *tally.entry(name).or_default() += 1;
        if name.starts_with("leadership") {
            // It may fail: the weather is what it is.
            nodes
                .get(any)
                .map(|node| node.command(&["cluster", "transfer"]).ok());
            continue;
        }
        let chosen = nodes.iter().enumerate();
        let chosen = chosen.filter(|(at, _)| place == NODES || place == *at);
        let chosen: Vec<_> = chosen.map(|(_, node)| node).collect();
        let stops = name.starts_with("stop");
        for node in &chosen {
            if stops {
                node.signal("-STOP")?;
            } else {
                node.kill()?;
            }
        }
        pause(held, end);
        for node in &chosen {
            if stops {
                node.signal("-CONT")?;
            } else {
                node.serve()?;
            }
        }
    }
}

/// Changes the weather until `end`; it is fine when it returns.
pub(super) fn weather(proxy: &Proxy, mut seed: Seed, end: Instant) -> Tally {
    let mut tally = Tally::new();
    while Instant::now() < end {
        pause(seed.between(300, 2_000), end);
        let place = seed.below(NODES);
        let other = (place + 1 + seed.below(NODES - 1)) % NODES;
        let cut = Link {
            cut: true,
            ..Link::default()
        };
        let all = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
        let of_one = all
            .clone()
            .filter(|(from, to)| (*from == place) != (*to == place));
        let (name, link, links): (_, _, Vec<_>) = match seed.below(7) {
            0 => ("cut one way", cut, vec![(place, other)]),
            1 => ("cut both ways", cut, vec![(place, other), (other, place)]),
            2 => ("cut off from all", cut, of_one.collect()),
            3 => {
                let loss = seed.between(5, 40);
                (
                    "loss",
                    Link {
                        loss,
                        ..Link::default()
                    },
                    all.collect(),
                )
            }
            4 => {
                let delay_us = seed.between(2_000, 150_000);
                (
                    "delay",
                    Link {
                        delay_us,
                        ..Link::default()
                    },
                    of_one.collect(),
                )
            }
            5 => {
                let reorder = seed.between(10, 50);
                (
                    "reorder",
                    Link {
                        reorder,
                        ..Link::default()
                    },
                    all.collect(),
                )
            }
            _ => {
                let duplicate = seed.between(10, 50);
                (
                    "duplicate",
                    Link {
                        duplicate,
                        ..Link::default()
                    },
                    all.collect(),
                )
            }
        };
        *tally.entry(name).or_default() += 1;
        for (from, to) in links {
            proxy.set(from, to, link);
        }
        pause(seed.between(500, 5_000), end);
        proxy.heal();
    }
    tally
}

/// Waits some milliseconds, but not beyond `end`.
fn pause(millis: u64, end: Instant) {
    let left = end.saturating_duration_since(Instant::now());
    std::thread::sleep(Duration::from_millis(millis).min(left));
}
