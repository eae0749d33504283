//! The door with a bound that is found by latency, before a server that is asked for three times as much as it can do: in
//! virtual time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant as Virtual;

use super::*;

const WORKERS: u32 = 20;
const SERVICE: Duration = Duration::from_millis(50);
const BOUNDS: Bounds = Bounds { min: 4, max: 1000, tolerance: 0.5 };

/// What came of the requests of one tier after the first ten seconds.
#[derive(Debug, Default)]
struct Tally {
    came: AtomicU32,
    served: AtomicU32,
    /// Milliseconds.
    slowest: AtomicU32,
}

struct World {
    gate: Arc<Gate>,
    limit: Adaptive,
    workers: Semaphore,
    begun: Virtual,
}

impl World {
    async fn request(self: Arc<Self>, priority: u8, tally: Arc<Tally>) {
        let came = Virtual::now();
        let is_counted = came > self.begun + Duration::from_secs(10);
        tally.came.fetch_add(u32::from(is_counted), Ordering::Relaxed);
        let slot = match self.gate.enter(Entry { priority, capacity: self.limit.limit(), queue: 100 }) {
            Ok(Found::Slot(slot)) => slot,
            Ok(Found::Queue(waiting)) => {
                let Ok(slot) = waiting.turn((came + Duration::from_secs(1)).into_std()).await else { return };
                slot
            }
            Err(_) => return,
        };
        let admitted = Virtual::now();
        let _worker = self.workers.acquire().await.unwrap();
        tokio::time::sleep(SERVICE).await;
        let now = Duration::from_secs(1000) + self.begun.elapsed();
        self.limit.observe(now, self.gate.crowd().in_flight, Sample::Answered(admitted.elapsed()));
        drop(slot);
        if is_counted {
            tally.served.fetch_add(1, Ordering::Relaxed);
            tally.slowest.fetch_max(u32::try_from(came.elapsed().as_millis()).unwrap(), Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_three_times_the_capacity_the_higher_tier_is_served_whole_and_the_lowest_is_shed() {
    let world = Arc::new(World {
        gate: Arc::default(),
        limit: Adaptive::new(BOUNDS, None),
        workers: Semaphore::new(WORKERS as usize),
        begun: Virtual::now(),
    });
    let [free, paid] = [(); 2].map(|()| Arc::new(Tally::default()));
    // 400 a second can be served. 250 paid ones come, and 1000 free ones.
    for _ in 0..40 * 250 {
        for (priority, tally, count) in [(0, &free, 4), (5, &paid, 1)] {
            for _ in 0..count {
                tokio::spawn(world.clone().request(priority, tally.clone()));
            }
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    let count = |count: &AtomicU32| f64::from(count.load(Ordering::Relaxed));
    let share = |tally: &Tally| count(&tally.served) / count(&tally.came);
    let seconds = world.begun.elapsed().as_secs_f64() - 10.0;
    let goodput = (count(&paid.served) + count(&free.served)) / seconds;
    println!(
        "limit {}, {goodput:.0} a second; paid: {:.3}, {} ms at most; free: {:.3}",
        world.limit.limit(),
        share(&paid),
        count(&paid.slowest),
        share(&free)
    );
    assert!(goodput > 0.9 * 400.0, "{goodput}");
    assert!(share(&paid) > 0.99, "{paid:?}");
    assert!(share(&free) < 0.2, "{free:?}");
    assert!(count(&paid.slowest) < 250.0, "{paid:?}");
}

#[test]
fn what_an_attempt_tells_is_an_answer_a_failure_or_a_strain() {
    let by_status = |status: u16| AttemptOutcome::by_status(StatusCode::from_u16(status).unwrap());
    assert_eq!([200, 404, 429].map(by_status), [AttemptOutcome::Answered; 3]);
    assert_eq!([500, 502, 504].map(by_status), [AttemptOutcome::Failed; 3]);
    assert_eq!(by_status(503), AttemptOutcome::Strained);
    // A gRPC server that cannot serve says so in a head of 200; any other status of it is the call's own.
    let by_answer = |of_grpc: Option<u16>| AttemptOutcome::by_answer(StatusCode::OK, of_grpc);
    assert_eq!([None, Some(0), Some(5), Some(13)].map(by_answer), [AttemptOutcome::Answered; 4]);
    assert_eq!(by_answer(Some(14)), AttemptOutcome::Strained);
    assert_eq!(
        [Fault::AnswerTimeout, Fault::PerTryTimeout, Fault::Deadline].map(AttemptOutcome::by_fault),
        [AttemptOutcome::Strained; 3]
    );
    assert_eq!(
        [Fault::ConnectRefused, Fault::Reset, Fault::ConnectTimeout].map(AttemptOutcome::by_fault),
        [AttemptOutcome::Failed; 3]
    );
}
