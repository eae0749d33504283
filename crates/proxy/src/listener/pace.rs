//! How slowly a client may take what waits for it: a reader that takes a byte now and then would hold its answer, and the target
//! behind it, for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::rules::ListenerRules;

/// Nothing for `limits.stall` at most, and after that on average no less than `limits.min_body_rate`. Only time counts in which
/// something waits for the client.
#[derive(Debug)]
pub(super) struct Pace {
    stall: Duration,
    /// Bytes per second; 0 for none.
    rate: u64,
    taken: u64,
    /// Waiting since then, and before that for so long.
    since: Option<Instant>,
    waited: Duration,
}

impl Pace {
    pub(super) fn new(terms: &ListenerRules) -> Self {
        Self { stall: terms.stall, rate: terms.min_body_rate, taken: 0, since: None, waited: Duration::ZERO }
    }

    /// Another answer.
    pub(super) fn restart(&mut self) {
        (self.taken, self.since, self.waited) = (0, None, Duration::ZERO);
    }

    /// Something waits for the client: until when it may.
    pub(super) fn until(&mut self) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = match self.taken.checked_div(self.rate).map(Duration::from_secs) {
            Some(earned) => (self.stall + earned).saturating_sub(self.waited),
            None => self.stall,
        };
        since + left.min(self.stall)
    }

    /// The client has taken so many bytes.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(30);

    /// How long a client is served that takes `bytes` each time after it has taken nothing for `pause`; at most an hour.
    async fn served(rate: u64, bytes: usize, pause: Duration) -> Duration {
        let mut pace = Pace { stall: STALL, rate, taken: 0, since: None, waited: Duration::ZERO };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_hours(1) {
            let until = pace.until();
            if until < Instant::now() + pause {
                tokio::time::sleep_until(until).await;
                break;
            }
            tokio::time::sleep(pause).await;
            pace.took(bytes);
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_byte_now_and_then_is_given_up_and_who_keeps_to_the_rate_is_not() {
        let pause = Duration::from_secs(20);
        assert_eq!(served(256, 1, pause).await, STALL);
        // 100 bytes a second for those of 256 and half a minute.
        assert!(served(256, 2_000, pause).await < Duration::from_mins(1));
        assert!(served(256, 256 * 20, pause).await >= Duration::from_hours(1));
        assert!(served(0, 1, pause).await >= Duration::from_hours(1));
        // However much was taken before.
        assert_eq!(served(256, usize::from(u16::MAX), STALL * 2).await, STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_waits_is_not_the_clients() {
        let mut pace = Pace { stall: STALL, rate: 256, taken: 0, since: None, waited: Duration::ZERO };
        for _ in 0..10 {
            tokio::time::sleep(STALL * 10).await;
            pace.took(1);
        }
        assert_eq!(pace.until(), Instant::now() + STALL);
    }
}
