//! Addresses and directories: what `url_in` and `path_in` mean.
//!
//! A text that two ordinary readers take for different places is in none of them: the server will
//! read it with a parser of its own, and the check is worth only what that one sees.

mod address;
mod directory;
mod disguise;

pub(crate) use self::address::Places;
pub(crate) use self::directory::Directories;
