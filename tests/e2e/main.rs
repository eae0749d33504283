//! Whole behaviours, through a real gateway on real sockets.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod acme;
#[cfg(test)]
mod adaptive;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod admin_port;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod balancing;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod builtin;
mod callers;
#[cfg(test)]
mod cancelled;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod circuit_breaker;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod connection_rate;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod exchanges;
mod failures;
#[cfg(test)]
mod farewell;
#[cfg(test)]
mod fetched;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod gathered;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hedging;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod interim;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod look_alikes;
#[cfg(test)]
mod multiplexed;
#[cfg(test)]
mod narrowed;
#[cfg(test)]
mod near;
#[cfg(test)]
mod no_way_around;
#[cfg(test)]
mod once;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod own_answers;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod reasons;
#[cfg(test)]
mod redis_topologies;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod rpc;
#[cfg(test)]
mod shaping;
#[cfg(test)]
mod shared_limits;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod stalls;
#[cfg(test)]
mod store_errors;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod tiers;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod told;
mod trailers;
#[cfg(test)]
mod uploads;
#[cfg(test)]
mod upstream_tls;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod zeros;
