//! What is seen from outside: metrics and the access log. Every name of a metric is a constant beside what it measures.

mod access_log;
mod metrics;
mod tcp;
mod usage;

pub(crate) use access_log::{AccessLog, Line, RefusedLine};
pub(crate) use metrics::{Metrics, MirrorMetrics, RouteMetrics};
pub(crate) use tcp::{TcpLine, TcpMetrics};
pub(crate) use usage::{Ended, UsageKeeper, record as record_usage, settings as usage_settings};
