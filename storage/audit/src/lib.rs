//! The book: records, frames, chain, tree, checkpoints and their verifier. Knows no cluster,
//! socket, clock, database or policy, and trusts no byte that it reads back.
//!
//! `FORMAT.md` beside this crate is the normative page. Everything but [`dir`] is `no_std`.

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod calls;
pub mod check;
#[cfg(feature = "std")]
pub mod dir;
mod encode;
pub mod frame;
pub mod head;
pub mod layout;
pub mod limits;
pub mod note;
pub mod read;
pub mod record;
pub mod report;
pub mod tree;
pub mod trust;
pub mod verify;

use alloc::string::String;

pub use frame::{Frame, FrameError, FrameView, next_frame};
pub use head::{EntryMeta, Head, Sealed};
pub use record::{Common, Micros, Record};

/// Lower-case hex, as records write every digest.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}
