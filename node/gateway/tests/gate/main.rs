//! The gate from outside: raw requests in front, a real node on a real directory, real and
//! misbehaving servers behind.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod client;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod way;
#[cfg(test)]
mod wire;
