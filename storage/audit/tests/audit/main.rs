//! Tests of the book, from outside: what a producer and an auditor can call.

#[cfg(test)]
mod book;
#[cfg(test)]
mod files;
#[cfg(test)]
mod head;
#[cfg(test)]
mod notes;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod records;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod trust;
