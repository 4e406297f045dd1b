//! The newest sealed sizes of this node's own book, with their roots.

use std::collections::VecDeque;

use tollbook_audit::note::Checkpoint;

use super::Root;
use crate::limits::SEALS_REMEMBERED_LIMIT;

/// Where a size stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The book has not come so far, or its seal may not be signed yet.
    Ahead,
    /// Sealed here, with this root.
    Sealed(Root),
    /// Below the newest and not remembered.
    Gone,
}

/// The newest ones, in order of size.
#[derive(Debug, Default)]
pub(super) struct Seals(VecDeque<Checkpoint>);

impl Seals {
    /// Remembers a size above the newest; of an older one, which a replay offers again, nothing
    /// new is learnt. Whether the size had another root before: then the book is not what it was.
    pub(super) fn add(&mut self, checkpoint: Checkpoint) -> Result<(), Root> {
        match self.place(checkpoint.size) {
            Place::Ahead => {}
            Place::Sealed(root) if root != checkpoint.root => return Err(root),
            Place::Sealed(_) | Place::Gone => return Ok(()),
        }
        if self.0.len() == SEALS_REMEMBERED_LIMIT {
            self.0.pop_front();
        }
        self.0.push_back(checkpoint);
        Ok(())
    }

    pub(super) fn newest(&self) -> Option<&Checkpoint> {
        self.0.back()
    }

    pub(super) fn place(&self, size: u64) -> Place {
        if self.newest().is_none_or(|newest| newest.size < size) {
            return Place::Ahead;
        }
        let found = self.0.iter().find(|checkpoint| checkpoint.size == size);
        found.map_or(Place::Gone, |checkpoint| Place::Sealed(checkpoint.root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(size: u64, root: u8) -> Checkpoint {
        Checkpoint {
            origin: "o".to_owned(),
            size,
            root: [root; 32],
        }
    }

    #[test]
    fn sizes_are_ahead_sealed_or_gone() {
        let mut seals = Seals::default();
        assert_eq!(seals.place(0), Place::Ahead);
        assert_eq!(seals.add(checkpoint(5, 1)), Ok(()));
        assert_eq!(seals.add(checkpoint(9, 2)), Ok(()));
        assert_eq!(seals.place(4), Place::Gone);
        assert_eq!(seals.place(5), Place::Sealed([1; 32]));
        assert_eq!(seals.place(6), Place::Gone);
        assert_eq!(seals.place(10), Place::Ahead);
        // A replay.
        assert_eq!(seals.add(checkpoint(5, 1)), Ok(()));
        assert_eq!(seals.add(checkpoint(7, 1)), Ok(()));
        assert_eq!(seals.newest(), Some(&checkpoint(9, 2)));
        assert_eq!(seals.add(checkpoint(5, 3)), Err([1; 32]));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let mut seals = Seals::default();
        let limit = u64::try_from(SEALS_REMEMBERED_LIMIT).unwrap();
        for size in 1..=limit + 1 {
            assert_eq!(seals.add(checkpoint(size, 1)), Ok(()));
        }
        assert_eq!(seals.place(1), Place::Gone);
        assert_eq!(seals.place(2), Place::Sealed([1; 32]));
        assert_eq!(seals.0.len(), SEALS_REMEMBERED_LIMIT);
    }
}
