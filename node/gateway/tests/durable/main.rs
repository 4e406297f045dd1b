//! What must hold of quota, grants and book while calls come in crowds and processes die.

#[cfg(test)]
mod book;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod line;
#[cfg(test)]
mod signers;
