//! What is counted of a request, and the sums of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, or its client left first.
    Served,
    /// It was answered 5xx, whoever made that answer.
    Error,
    /// The gateway itself answered it 4xx.
    Refused,
}

/// One request, at its end.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// What became of it.
    pub outcome: Outcome,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of the body of its answer.
    pub bytes_out: u64,
    /// What it cost.
    pub cost: u64,
    /// From its complete head to the last byte of its answer.
    pub duration: Duration,
}

/// Sums over requests. They saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Those that were answered 5xx.
    pub errors: u64,
    /// Those that the gateway itself answered 4xx.
    pub refused: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
    /// Bytes of the bodies of their answers.
    pub bytes_out: u64,
    /// What they cost.
    pub cost: u64,
}

impl Counts {
    /// Counts one request.
    pub(crate) fn record(&mut self, event: &Event) {
        self.add(&Self {
            requests: 1,
            errors: u64::from(event.outcome == Outcome::Error),
            refused: u64::from(event.outcome == Outcome::Refused),
            bytes_in: event.bytes_in,
            bytes_out: event.bytes_out,
            cost: event.cost,
        });
    }

    /// Adds other sums.
    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.requests, other.requests),
            (&mut self.errors, other.errors),
            (&mut self.refused, other.refused),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.cost, other.cost),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
    }
}
