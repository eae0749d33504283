//! Clients by the rules, before targets that are not: each failure must be told as what it is.

use crate::origins::body;
use crate::tally::Came;
use crate::visits::Guest;
use crate::visits::connection::Clear;

/// Targets that stall, reset, break off or do not speak HTTP.
pub(crate) async fn faulty(mut guest: Guest) -> Came {
    let (does, status) = [("stall", 504), ("reset", 502), ("garbage", 502), ("cut", 0)][guest.rng.usize(..4)];
    let path = format!("/faulty/{does}/20000/7");
    let answer = Clear::connect(guest.world.clear).await.ask(&path).await;
    match (status, answer) {
        // What was cut must not look whole, and what has not been sent by then need not be begun.
        (0, Err(_)) => {}
        (0, Ok(answer)) => assert!(answer.status == 502 && answer.is_problem(), "{path}: {}", answer.status),
        (_, Ok(answer)) => {
            assert!(answer.status == status && answer.is_problem(), "{path}: {} {}", answer.status, answer.text());
        }
        (_, other) => panic!("{path}: {other:?}"),
    }
    guest.pause(100).await;
    Came::right(1)
}

/// Two targets of which one, or both, may be dead: the right answer, or a failure that is told.
pub(crate) async fn flapping(mut guest: Guest) -> Came {
    let mut connection = Clear::connect(guest.world.clear).await;
    let mut came = Came::default();
    for _ in 0..guest.rng.u64(1..30) {
        let (id, length) = (guest.rng.u64(..), guest.rng.usize(..5_000));
        let does = ["bytes", "chunks", "trickle"][guest.rng.usize(..3)];
        let path = format!("/flapping/{does}/{length}/{id}");
        match connection.ask(&path).await {
            Ok(answer) if answer.status == 200 => {
                assert!(answer.body == body(id, length), "{path}: {} bytes, or others", answer.body.len());
                came.right += 1;
            }
            Ok(answer) => {
                assert!(
                    matches!(answer.status, 502..=504) && answer.is_problem(),
                    "{path}: {} {}",
                    answer.status,
                    answer.text()
                );
                came.excused += 1;
            }
            // Died in the middle of an answer.
            Err(_) => {
                came.excused += 1;
                break;
            }
        }
        guest.pause(20).await;
    }
    came
}
