//! When to ask: at two thirds of a certificate's time, and after a failure later each time.

use std::time::{Duration, SystemTime};

/// The first wait after a failure; it doubles with each.
const FIRST: Duration = Duration::from_mins(1);
/// The longest wait after a failure.
const LONGEST: Duration = Duration::from_hours(6);

/// When to renew a certificate that is valid from and until these moments: at two thirds, or up to a twentieth of its time
/// before. `chance` is between 0 and 1.
pub(super) fn renewal(from: SystemTime, until: SystemTime, chance: f64) -> SystemTime {
    let life = until.duration_since(from).unwrap_or_default();
    let sooner = life.mul_f64(chance.clamp(0.0, 1.0) / 20.0);
    from + (life * 2 / 3).saturating_sub(sooner)
}

/// The wait after so many failures in a row, up to a tenth longer. `chance` is between 0 and 1.
pub(super) fn retry(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let wait = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    wait + wait.mul_f64(chance.clamp(0.0, 1.0) / 10.0)
}

/// The longest that anything is waited for after a failure.
pub(super) fn longest() -> Duration {
    LONGEST + LONGEST / 10
}

/// The soonest that a certificate which has just been issued is renewed, whatever it says: a wrong clock is no reason to ask
/// without end.
pub(super) fn soonest(now: SystemTime) -> SystemTime {
    now + FIRST
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_time_or_a_little_before() {
        let from = SystemTime::UNIX_EPOCH;
        assert_eq!(renewal(from, from + 90 * DAY, 0.0), from + 60 * DAY);
        assert_eq!(renewal(from, from + 90 * DAY, 1.0), from + 60 * DAY - DAY * 9 / 2);
        assert_eq!(renewal(from, from + 6 * DAY, 0.0), from + 4 * DAY);
        assert_eq!(renewal(from + DAY, from, 0.5), from + DAY, "a certificate that ends before it begins");
    }

    #[test]
    fn failures_wait_from_a_minute_to_six_hours() {
        assert_eq!(retry(1, 0.0), Duration::from_mins(1));
        assert_eq!(retry(2, 0.0), Duration::from_mins(2));
        assert_eq!(retry(9, 0.0), Duration::from_mins(256));
        assert_eq!(retry(10, 0.0), LONGEST);
        assert_eq!(retry(u32::MAX, 0.0), LONGEST);
        assert_eq!(retry(1, 1.0), Duration::from_secs(66));
    }
}
