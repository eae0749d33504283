//! Slices of a limit that a node draws from the store beforehand, so that a request does not wait for it.
//!
//! A node never holds more than one slice of a key: it asks for what is missing to one, one draw at a time. Redis counts a
//! slice as used when it is drawn, so that all slices drawn in any span are within the limit; what is used of them in a span
//! may have been drawn before it, which is one slice on each node. Hence the bound: limit + nodes × slice.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use portreeve_plugin::prelude::*;
use tokio::sync::mpsc;

use super::link::Link;
use super::script::{Answer, Ask};
use super::{Request, call};
use crate::account::{Decision, Standings};
use crate::meter::Limit;

const SHARDS: usize = 64;

/// Draws that wait for the background; with more, requests draw for themselves.
const QUEUE: usize = 4096;

/// Draws under way at the same time in the background.
const AT_ONCE: usize = 256;

/// The slices that this node holds.
#[derive(Debug)]
pub(crate) struct Leases {
    share: f64,
    link: Arc<Link>,
    prefix: String,
    clock: Clock,
    shards: Box<[Mutex<HashMap<u128, Slice>>]>,
    wanted: mpsc::Sender<(Request, Ask)>,
}

/// What is left of one key's slice.
#[derive(Debug, Default)]
struct Slice {
    left: u64,
    /// A draw is under way.
    is_drawing: bool,
    /// How the key stood when it was drawn.
    standings: Standings,
    /// When it was last touched, on the clock of the table.
    used_at: u64,
}

/// What can be said of a request at once.
#[derive(Debug)]
pub(crate) enum Held {
    Admitted(Decision),
    /// The store has to be asked for this request alone: a draw is under way.
    Ask,
    /// The store has to be asked for this request and for a slice: so much in all.
    Draw(u64),
}

/// A draw under way. Until it is dropped, no other begins for its key.
pub(super) struct Drawing<'l> {
    leases: &'l Leases,
    tag: u128,
}

impl Drawing<'_> {
    /// Keeps what was drawn beyond the cost of the request that waited for it.
    pub(super) fn done(self, request: &Request, answer: Answer) -> Decision {
        let Answer { decision, granted } = answer;
        let kept = if decision.verdict.is_ok() { granted.saturating_sub(request.cost) } else { 0 };
        self.leases.keep(request, kept, &decision.standings);
        decision
    }
}

impl Drop for Drawing<'_> {
    fn drop(&mut self) {
        let Some(shard) = self.leases.shard(self.tag) else { return };
        if let Some(slice) = shard.lock().get_mut(&self.tag) {
            slice.is_drawing = false;
        }
    }
}

impl Leases {
    pub(super) fn new(
        share: units::Percent,
        link: Arc<Link>,
        prefix: String,
        clock: Clock,
    ) -> (Self, mpsc::Receiver<(Request, Ask)>) {
        let (wanted, draws) = mpsc::channel(QUEUE);
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        (Self { share: share.fraction(), link, prefix, clock, shards, wanted }, draws)
    }

    /// How much a node holds of these limits at most: the share of the smallest, and one at least.
    pub(crate) fn slice(&self, limits: &[Limit]) -> u64 {
        let smallest = limits.iter().map(Limit::most).min().unwrap_or(0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of at most 2^53"
        )]
        let slice = (smallest as f64 * self.share).ceil() as u64;
        slice.max(1)
    }

    /// Takes from the slice if it is enough, and asks for more in the background when half of it is gone.
    pub(super) fn take(&self, request: &Request) -> Held {
        let whole = self.slice(&request.policy.limits);
        let Some(shard) = self.shard(request.tag) else { return Held::Ask };
        let mut shard = shard.lock();
        make_room(&mut shard, request);
        let slice = shard.entry(request.tag).or_default();
        slice.used_at = request.now.mono;
        let Some(left) = slice.left.checked_sub(request.cost) else {
            if std::mem::replace(&mut slice.is_drawing, true) {
                return Held::Ask;
            }
            // What is left stays; the cost is used at once and is no part of what is held.
            return Held::Draw(request.cost.saturating_add(whole.saturating_sub(slice.left)));
        };
        slice.left = left;
        let standings = slice
            .standings
            .iter()
            .map(|standing| crate::meter::Standing { remaining: standing.remaining.saturating_add(left), ..*standing });
        let decision = Decision { verdict: Ok(()), standings: standings.collect() };
        if left <= whole / 2 && !std::mem::replace(&mut slice.is_drawing, true) {
            let ask = Ask::Draw(1, whole - left);
            if self.wanted.try_send((request.clone(), ask)).is_err() {
                slice.is_drawing = false;
            }
        }
        Held::Admitted(decision)
    }

    /// Marks the draw that `take` asked for.
    pub(super) fn drawing(&self, request: &Request) -> Drawing<'_> {
        Drawing { leases: self, tag: request.tag }
    }

    /// Draws what `take` asked for, until the step is gone.
    pub(super) async fn draw_all(self: Arc<Self>, mut draws: mpsc::Receiver<(Request, Ask)>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = under_way.next() => {}
                draw = draws.recv(), if under_way.len() < AT_ONCE => match draw {
                    Some((request, ask)) => under_way.push(self.draw(request, ask)),
                    None => return,
                },
            }
        }
    }

    async fn draw(&self, request: Request, ask: Ask) {
        let _drawing = self.drawing(&request);
        let answer = call(&self.link, &self.prefix, &request, ask, &self.clock).await;
        let granted = answer.as_ref().ok().filter(|answer| answer.decision.verdict.is_ok());
        let standings = granted.map(|answer| answer.decision.standings.clone()).unwrap_or_default();
        self.keep(&request, granted.map_or(0, |answer| answer.granted), &standings);
    }

    pub(super) fn keep(&self, request: &Request, amount: u64, standings: &Standings) {
        let Some(shard) = self.shard(request.tag) else { return };
        let mut shard = shard.lock();
        // Gone meanwhile: then what was drawn is lost, which admits less, never more.
        if let Some(slice) = shard.get_mut(&request.tag) {
            let whole = self.slice(&request.policy.limits);
            slice.left = slice.left.saturating_add(amount).min(whole);
            if !standings.is_empty() {
                slice.standings.clone_from(standings);
            }
        }
    }

    /// What this node holds of a key.
    pub(super) fn held(&self, tag: u128) -> u64 {
        self.shard(tag).and_then(|shard| Some(shard.lock().get(&tag)?.left)).unwrap_or(0)
    }

    /// Lets go of what this node holds of a key. A draw under way is lost.
    pub(super) fn forget(&self, tag: u128) {
        if let Some(shard) = self.shard(tag) {
            shard.lock().remove(&tag);
        }
    }

    fn shard(&self, tag: u128) -> Option<&Mutex<HashMap<u128, Slice>>> {
        let [.., home] = tag.to_le_bytes();
        self.shards.get(usize::from(home) % SHARDS)
    }
}

/// Forgets slices that were not touched for an hour when there are too many; all of them, if that is not enough.
fn make_room(shard: &mut HashMap<u128, Slice>, request: &Request) {
    const HOUR: u64 = 3_600_000_000_000;
    if shard.len() > request.max_keys / SHARDS && !shard.contains_key(&request.tag) {
        shard.retain(|_, slice| slice.is_drawing || slice.used_at.saturating_add(HOUR) > request.now.mono);
        if shard.len() > request.max_keys / SHARDS {
            shard.clear();
        }
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
