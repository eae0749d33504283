//! Whole behaviours, through a real gateway on real sockets.

#[cfg(test)]
mod acme;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod builtin;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod health;
#[cfg(test)]
mod interim;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod no_way_around;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod own_answers;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod rpc;
#[cfg(test)]
mod stalls;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod uploads;
#[cfg(test)]
mod upstream_tls;
#[cfg(test)]
mod wire;
