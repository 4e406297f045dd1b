//! The state from outside: every entry is applied twice, stored, loaded again and compared.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod joins;
#[cfg(test)]
mod model;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod windows;
#[cfg(test)]
mod world;
