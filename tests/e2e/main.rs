//! Whole behaviours, through a real gateway on real sockets.

#[cfg(test)]
mod chain;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod routing;
