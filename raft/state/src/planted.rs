//! Bugs that the simulator must find, planted one at a time, in this crate and in those above it.
//! Without the feature `planted`, which nothing that ships has, each is the constant `false`.

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An entry takes its leader's time, even where that goes back.
    ClockBack,
    /// A grant that was revoked goes on.
    DropRevocation,
    /// An intent is admitted whatever it was decided under.
    DropRevisionCheck,
    /// The log goes up to an index whose state is not on disk.
    PurgeEarly,
    /// A refund gives back twice what was reserved.
    RefundTwice,
    /// A write counts as durable before its sync.
    ReplyBeforeDurable,
    /// A seal may be signed before log and segments are synced.
    SignUnsynced,
    /// A batch has its effects each time that it commits.
    SkipDedup,
    /// A write counts as durable without a sync.
    SkipSync,
    /// A call may have a second outcome.
    TwoOutcomes,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ClockBack,
        Self::DropRevocation,
        Self::DropRevisionCheck,
        Self::PurgeEarly,
        Self::RefundTwice,
        Self::ReplyBeforeDurable,
        Self::SignUnsynced,
        Self::SkipDedup,
        Self::SkipSync,
        Self::TwoOutcomes,
    ];
}

/// Whether this thread runs with the bug.
#[cfg(not(feature = "planted"))]
#[must_use]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use switch::{is, plant};

#[cfg(feature = "planted")]
mod switch {
    extern crate std;

    use core::cell::Cell;

    use super::Bug;

    std::thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug on this thread, or takes it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this thread runs with the bug.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}
