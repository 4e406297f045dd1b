//! Bugs that are there on purpose, and how many seeds it takes to find each.

use tollbook_state::planted::{Bug, plant};

use crate::{Setting, Violation, run};

/// Seeds within which each bug must be found.
pub const SEEDS_LIMIT: u64 = 100;

/// What a planted bug came to.
#[derive(Clone, Debug)]
pub struct Found {
    /// The bug.
    pub bug: Bug,
    /// What it violated, and how many seeds that took; none within the limit.
    pub found: Option<(Violation, u64)>,
}

/// Plants each bug in turn and runs seeds from 0 on until one finds it.
pub fn find() -> impl Iterator<Item = Found> {
    Bug::ALL.into_iter().map(|bug| {
        plant(Some(bug));
        let found = (0..SEEDS_LIMIT).find_map(|seed| {
            let violation = run(seed, &Setting::default(), None).violation?;
            Some((violation, seed + 1))
        });
        plant(None);
        Found { bug, found }
    })
}
