//! Targets that are processes of their own, killed, stopped and sick under load, one and half of them; and restarted, all of them,
//! one after the other: what clients notice.

use std::net::SocketAddr;

use portreeve_tests::{Gateway, Load, Sickness, Target, until};

use crate::failures::{Victim, before, struck};

/// How one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its process is killed.
    Killed,
    /// It is stopped: the system still makes connections and takes what is sent.
    Stopped,
    /// It is stopped in the middle of answers: nothing says that their connections are dead.
    HalfOpen,
    /// It lives, and answers so.
    Sick(Sickness),
}

struct Mortal {
    way: Way,
    target: Target,
}

impl Victim for Mortal {
    fn address(&self) -> SocketAddr {
        self.target.address()
    }

    fn breaks_off(&self) -> bool {
        self.way == Way::HalfOpen
    }

    async fn strike(&mut self, gateway: &Gateway) {
        match self.way {
            Way::Killed => self.target.kill().await,
            Way::Stopped => self.target.stop().await,
            Way::HalfOpen => {
                self.target.fall_sick(Sickness::Long);
                until("it is in the middle of an answer", async || {
                    let target = gateway.admin().target("pool", self.target.address()).await;
                    (target["in_flight"].as_u64() > Some(1)).then_some(())
                })
                .await;
                self.target.stop().await;
            }
            Way::Sick(sickness) => self.target.fall_sick(sickness),
        }
    }

    async fn heal(&mut self) {
        match self.way {
            Way::Killed => self.target.revive().await,
            Way::Stopped => self.target.go_on().await,
            Way::HalfOpen => {
                self.target.recover(Sickness::Long);
                self.target.go_on().await;
            }
            Way::Sick(sickness) => self.target.recover(sickness),
        }
    }

    async fn is_asked(&self, gateway: &Gateway) {
        is_asked(gateway, &self.target).await;
    }
}

/// Until a request is answered by this one.
async fn is_asked(gateway: &Gateway, target: &Target) {
    let address = target.address().to_string();
    until(&format!("{address} is asked"), async || {
        let answer = gateway.get("/").await;
        (answer.header("x-target") == Some(&*address)).then_some(())
    })
    .await;
}

async fn four() -> Vec<Target> {
    let mut targets = Vec::new();
    for _ in 0..4 {
        targets.push(Target::start().await);
    }
    targets
}

async fn one_and_half(way: Way) {
    for count in [1, 2] {
        let mortals = four().await.into_iter().map(|target| Mortal { way, target });
        struck(&format!("{way:?}"), mortals.collect(), count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_killed_are_not_noticed() {
    one_and_half(Way::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_stopped_are_not_noticed() {
    one_and_half(Way::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_stop_within_their_answers_cost_these_answers_only() {
    one_and_half(Way::HalfOpen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_reset_connections_are_not_noticed() {
    one_and_half(Way::Sick(Sickness::Resets)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_much_too_slow_are_not_noticed() {
    one_and_half(Way::Sick(Sickness::Slow)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_answer_500_are_not_noticed() {
    one_and_half(Way::Sick(Sickness::Errors)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_processes_killed_and_started_one_after_the_other_fail_no_idempotent_request() {
    let mut targets = four().await;
    let gateway = before(targets.iter().map(Target::address)).await;
    let load = Load::on(&gateway);
    load.serve(50).await;
    for target in &mut targets {
        target.kill().await;
        load.serve(50).await;
        target.revive().await;
        gateway.admin().finds("pool", target.address(), true).await;
        is_asked(&gateway, target).await;
    }
    load.serve(50).await;
    assert_eq!(load.end().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_processes_drained_before_they_are_killed_fail_no_request_of_any_kind() {
    let mut targets = four().await;
    let gateway = before(targets.iter().map(Target::address)).await;
    let admin = gateway.admin();
    // Nobody may send these twice.
    let load = Load::of(&gateway, "POST");
    load.serve(50).await;
    for target in &mut targets {
        let address = target.address();
        assert_eq!(admin.order("pool", address, "drain").await.status, 200);
        until("it is drained", async || (admin.target("pool", address).await["state"] == "drained").then_some(()))
            .await;
        target.kill().await;
        load.serve(50).await;
        target.revive().await;
        // What the checks found of the one before says nothing of this one.
        admin.finds("pool", address, true).await;
        assert_eq!(admin.order("pool", address, "enable").await.status, 200);
        is_asked(&gateway, target).await;
    }
    load.serve(50).await;
    assert_eq!(load.end().await, 0);
}
