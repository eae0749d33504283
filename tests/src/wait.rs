//! Waiting with a deadline, for what cannot be made to happen at once.

use std::time::{Duration, Instant};

/// The longest that anything here is waited for. Far beyond what a healthy run needs, even on a machine that builds meanwhile.
const DEADLINE: Duration = Duration::from_secs(30);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `look` gives something.
///
/// # Panics
/// When it has not within half a minute; `what` says what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// What `future` gives.
///
/// # Panics
/// When it has not ended within half a minute.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
