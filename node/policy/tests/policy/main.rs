//! Tests of the policy language from outside: data files with their runners, and a naive oracle.

#[cfg(test)]
mod common;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod determinism;
#[cfg(test)]
mod diffs;
#[cfg(test)]
mod digests;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod layouts;
#[cfg(test)]
mod lints;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod places;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod sizes;
#[cfg(test)]
mod spots;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod traces;
