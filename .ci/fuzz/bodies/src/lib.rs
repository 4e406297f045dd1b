//! What must hold of any bytes: the bodies of the fuzz targets. Nothing that ships uses it.
//!
//! `make fuzz` looks for bytes that break one; plain `cargo test` runs every file that was kept.

mod call;
mod dice;
mod documents;
mod naive;
mod outcome;
mod policy;
mod regex;
mod tree;

pub use self::call::call;
pub use self::dice::Dice;
pub use self::documents::document;
pub use self::outcome::Outcome;
pub use self::policy::policy;
pub use self::regex::regex;
pub use self::tree::{Spelling, Tree};

/// Panics unless what it tries holds of the bytes.
pub type Body = fn(&[u8]);

/// The targets by their names.
pub const TARGETS: [(&str, Body); 3] = [("call", call), ("policy", policy), ("regex", regex)];
