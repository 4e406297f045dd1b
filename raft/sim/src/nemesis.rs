//! What goes wrong, and when.

use tollbook_storage::Crash;

use crate::members::{self, Members};
use crate::plan::Fault;
use crate::world::{Machine, Standing, World};

/// Strikes from time to time.
#[derive(Debug)]
pub(crate) struct Nemesis {
    next_us: u64,
    /// When the ways that were cut are whole again.
    mends_us: u64,
    pub(crate) members: Members,
}

impl Nemesis {
    pub(crate) fn new() -> Self {
        Self {
            next_us: 3_000_000,
            mends_us: 0,
            members: Members::default(),
        }
    }

    pub(crate) fn strike(&mut self, world: &mut World) {
        self.members.tend(world);
        if self.mends_us > 0 && self.mends_us <= world.now_us {
            self.mends_us = 0;
            world.trace.note(0, format_args!("all ways are whole"));
            world.net.mend();
        }
        if world.now_us < self.next_us {
            return;
        }
        self.next_us = world.now_us + world.rng.between(50_000, world.plan.between_us);
        let faults = world.plan.faults.clone();
        let nodes: Vec<u64> = world.machines.keys().copied().collect();
        let (Some(fault), Some(node)) = (
            world.rng.pick(&faults).copied(),
            world.rng.pick(&nodes).copied(),
        ) else {
            return;
        };
        match fault {
            Fault::Clocks => clocks(world, node),
            Fault::Crashes => crashes(world, node),
            Fault::Disks => disks(world, node),
            Fault::Members => self.members.change(world, node),
            Fault::Network => self.network(world, node, &nodes),
            Fault::Pauses => pauses(world, node),
        }
    }

    fn network(&mut self, world: &mut World, node: u64, nodes: &[u64]) {
        let kind = world.rng.below(5);
        if kind == 4 {
            world.trace.note(node, format_args!("its streams break"));
            return world.net.break_streams(node);
        }
        for other in nodes.iter().filter(|other| **other != node) {
            let (out, back) = match kind {
                0 => (true, true),
                1 => (true, false),
                2 => (false, true),
                // Swizzle-clog: every way for itself.
                _ => (world.rng.chance(500), world.rng.chance(500)),
            };
            world.net.cut(node, *other, out);
            world.net.cut(*other, node, back);
        }
        let us = match world.rng.below(12) {
            // Longer than a commit is waited for.
            0 => world.rng.between(15_000_000, 25_000_000),
            _ => world.rng.between(100_000, 6_000_000),
        };
        self.mends_us = world.now_us + us;
        world
            .trace
            .note(node, format_args!("its ways are cut ({kind})"));
    }
}

fn clocks(world: &mut World, node: u64) {
    let by_us = match world.rng.below(4) {
        0 => -i64::try_from(world.rng.below(120_000_000)).unwrap_or(0),
        1 => i64::try_from(world.rng.below(4_000_000)).unwrap_or(0),
        _ => i64::try_from(world.rng.below(90_000_000)).unwrap_or(0),
    };
    if let Some(machine) = world.machines.get(&node) {
        world
            .trace
            .note(node, format_args!("its clock jumps by {by_us} us"));
        machine.clocks.jump(by_us);
    }
}

fn crashes(world: &mut World, node: u64) {
    // Now and then all at once.
    let all = world.rng.chance(100);
    let nodes: Vec<u64> = if all {
        world.machines.keys().copied().collect()
    } else {
        vec![node]
    };
    for node in nodes {
        let crash = if world.rng.chance(600) {
            Crash::Power {
                seed: world.rng.next(),
            }
        } else {
            Crash::Process
        };
        let away_us = match world.rng.below(10) {
            0 => world.rng.between(5_000_000, 15_000_000),
            _ => world.rng.between(1000, 3_000_000),
        };
        world.trace.note(node, format_args!("dies: {crash:?}"));
        world.kill(node, crash, away_us);
        rots(world, node);
    }
}

/// What was durable is no more what was written. Rarely, and at one machine of a run: the others
/// must be able to go on without it, so nobody may be on the way in or out, and three must vote.
fn rots(world: &mut World, node: u64) {
    let allowed = world.plan.faults.contains(&Fault::Disks) && world.plan.nodes > 2;
    let one = world.machines.values().any(|machine| machine.damaged);
    if !allowed || one || !world.rng.chance(40) {
        return;
    }
    let is_out = |machine: &&Machine| machine.standing == Standing::Out;
    let machines = world.machines.len() - world.machines.values().filter(is_out).count();
    let settled = members::serving(world).iter().any(|gateway| {
        let members = gateway.cluster.status().members;
        let voters = members.values().filter(|member| member.voter).count();
        voters > 2 && voters == members.len() && voters == machines
    });
    if !settled {
        return;
    }
    let seed = world.rng.next();
    if let Some(machine) = world.machines.get_mut(&node)
        && machine.process.is_none()
    {
        machine.damaged = true;
        machine.disk.rot(seed);
        world.trace.note(node, format_args!("its disk rots"));
    }
}

fn disks(world: &mut World, node: u64) {
    let kind = world.rng.below(4);
    let steps = world.rng.between(1, 40);
    let Some(machine) = world.machines.get_mut(&node) else {
        return;
    };
    if machine.process.is_none() {
        return;
    }
    let what = match kind {
        _ if machine.disk.is_full() => {
            machine.disk.fill(false);
            "has room again"
        }
        0 => {
            machine.excused = true;
            machine.disk.fail_at(steps);
            "loses its power in a write"
        }
        1 => {
            machine.excused = true;
            machine.disk.fail_sync();
            "fails to sync"
        }
        2 => {
            machine.excused = true;
            machine.disk.fill(true);
            "runs full"
        }
        _ => {
            let us = world.rng.between(50_000, 2_000_000);
            machine.disk.stall(us);
            "stalls in a sync"
        }
    };
    world.trace.note(node, format_args!("its disk {what}"));
}

fn pauses(world: &mut World, node: u64) {
    let until = world.now_us + world.rng.between(10_000, 4_000_000);
    if let Some(machine) = world.machines.get_mut(&node)
        && machine.process.is_some()
    {
        machine.stands_until_us = Some(until);
        world
            .trace
            .note(node, format_args!("stands still until {} ms", until / 1000));
    }
}
