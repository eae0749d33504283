//! Whole behaviours, through a real gateway on real sockets.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod builtin;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod no_way_around;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod strangers;
