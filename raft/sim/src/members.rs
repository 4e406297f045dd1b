//! Machines that come and go: new ones are taken in and promoted, others are removed for good.

use std::collections::BTreeSet;

use tollbook_raft::Change;
use tollbook_state::State;

use crate::gateway::Gateway;
use crate::world::{Machine, Standing, World};

/// Members that a simulated cluster keeps, at least, and machines that it ever has, at most.
const KEEP: usize = 3;
const MACHINES: u64 = 8;
/// Between two looks at who is missing.
const TEND_US: u64 = 300_000;

/// Who is on the way in or out.
#[derive(Debug, Default)]
pub(crate) struct Members {
    joining: BTreeSet<u64>,
    next_us: u64,
}

impl Members {
    /// A machine comes, goes, or is to lead.
    pub(crate) fn change(&mut self, world: &mut World, node: u64) {
        match world.rng.below(3) {
            0 => transfer(world, node),
            1 => self.join(world),
            _ => remove(world, node),
        }
    }

    fn join(&mut self, world: &mut World) {
        let node = world.machines.keys().last().map_or(1, |last| last + 1);
        if node > MACHINES {
            return;
        }
        world.trace.note(node, format_args!("is to join"));
        world.add_machine(node);
        self.joining.insert(node);
    }

    /// Goes on with those that join, and lets those go that are members no more.
    pub(crate) fn tend(&mut self, world: &mut World) {
        if world.now_us < self.next_us {
            return;
        }
        self.next_us = world.now_us + TEND_US;
        let gateways = serving(world);
        let machines: Vec<u64> = world.machines.keys().copied().collect();
        for node in machines {
            let number = u32::try_from(node).unwrap_or(0);
            let removed = |state: &State| state.is_removed(number);
            if gateways.iter().any(|gateway| gateway.cluster.read(removed)) {
                self.joining.remove(&node);
                world.retire(node);
            }
        }
        let joining: Vec<u64> = self.joining.iter().copied().collect();
        for node in joining {
            let members = gateways
                .first()
                .map(|gateway| gateway.cluster.status().members);
            let member = members.and_then(|members| members.get(&node).cloned());
            if member.is_some_and(|member| member.voter) {
                self.joining.remove(&node);
            } else if let Some(gateway) = world.rng.pick(&gateways).cloned() {
                world.spawn(gateway.node, async move {
                    gateway.takes_in(node).await;
                });
            }
        }
    }

    /// Nobody is on the way in.
    pub(crate) fn settled(&self) -> bool {
        self.joining.is_empty()
    }
}

fn transfer(world: &mut World, node: u64) {
    let gateways = serving(world);
    if let Some(gateway) = world.rng.pick(&gateways).cloned() {
        world.trace.note(node, format_args!("is to lead"));
        world.spawn(gateway.node, async move {
            gateway.change(Change::Transfer { node }).await;
        });
    }
}

fn remove(world: &mut World, node: u64) {
    let gateways = serving(world);
    let is_in = |machine: &&Machine| machine.standing == Standing::In;
    let staying = world.machines.values().filter(is_in).count();
    let Some(gateway) = world.rng.pick(&gateways).cloned() else {
        return;
    };
    // With a disk that rots somewhere, unseen as yet, all the others are needed.
    let others_rot = world
        .machines
        .iter()
        .any(|(other, machine)| machine.damaged && *other != node);
    let Some(machine) = world.machines.get_mut(&node) else {
        return;
    };
    if others_rot || staying <= KEEP || machine.standing != Standing::In {
        return;
    }
    // The first node makes what the others work with; nobody would do it in its place.
    if node == 1 && !gateway.is_founded() {
        return;
    }
    machine.standing = Standing::Leaving;
    world.trace.note(node, format_args!("is to be removed"));
    world.spawn(gateway.node, async move {
        gateway.change(Change::Remove { node }).await;
    });
}

pub(crate) fn serving(world: &World) -> Vec<Gateway> {
    world
        .machines
        .values()
        .filter(|machine| machine.standing != Standing::Out && machine.stands_until_us.is_none())
        .filter_map(|machine| machine.process.as_ref()?.watch.gateway())
        .collect()
}
