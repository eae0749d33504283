//! The very script, run in Lua over a Redis of a few lines whose clock the test moves, against the meters of one node.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use mlua::{Lua, Value as LuaValue, Variadic};
use parking_lot::Mutex;
use portreeve_plugin::{Allowance, Spread, units};
use proptest::prelude::*;
use redis::Value;

use super::script::{Answer, Ask, Words, read};
use crate::account::Account;
use crate::meter::{Limit, Moment, Wait, compile_all};

/// As much of Redis as the script uses.
#[derive(Default)]
struct Redis {
    /// Microseconds since 1970.
    now: u64,
    keys: HashMap<String, (Stored, u64)>,
}

enum Stored {
    List(VecDeque<String>),
    Text(String),
}

impl Redis {
    fn call(&mut self, words: &[String]) -> Result<Option<Vec<String>>, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let now = self.now;
        self.keys.retain(|_, (_, gone_at)| *gone_at > now);
        let one = |text: String| Ok(Some(vec![text]));
        match words.as_slice() {
            ["TIME"] => Ok(Some(vec![(now / 1_000_000).to_string(), (now % 1_000_000).to_string()])),
            ["GET", key] => Ok(self.keys.get(*key).and_then(|(stored, _)| match stored {
                Stored::Text(text) => Some(vec![text.clone()]),
                Stored::List(_) => None,
            })),
            ["SET", key, text, "PX", millis] => {
                let gone_at = now + millis.parse::<u64>().map_err(|error| format!("{millis}: {error}"))? * 1000;
                self.keys.insert((*key).to_owned(), (Stored::Text((*text).to_owned()), gone_at));
                one("OK".to_owned())
            }
            ["PEXPIRE", key, millis] => {
                let millis: u64 = millis.parse().map_err(|error| format!("{millis}: {error}"))?;
                self.keys.get_mut(*key).ok_or("no such key")?.1 = now + millis * 1000;
                one("1".to_owned())
            }
            ["LLEN", key] => one(self.keys.get(*key).map_or(0, |(stored, _)| stored.list().len()).to_string()),
            ["LINDEX", key, index] => {
                let list = self.keys.get(*key).ok_or("no such key")?.0.list();
                let index: isize = index.parse().map_err(|error| format!("{index}: {error}"))?;
                Ok(list.get(place(list, index)?).map(|item| vec![item.clone()]))
            }
            ["LSET", key, index, text] => {
                let Stored::List(list) = &mut self.keys.get_mut(*key).ok_or("no such key")?.0 else {
                    return Err("no list".into());
                };
                let place = place(list, index.parse().map_err(|error| format!("{index}: {error}"))?)?;
                (*text).clone_into(&mut list[place]);
                one("OK".to_owned())
            }
            ["LPOP", key] => {
                let Stored::List(list) = &mut self.keys.get_mut(*key).ok_or("no such key")?.0 else {
                    return Err("no list".into());
                };
                Ok(list.pop_front().map(|item| vec![item]))
            }
            ["RPUSH", key, items @ ..] => {
                let stored = self.keys.entry((*key).to_owned()).or_insert((Stored::List(VecDeque::new()), u64::MAX));
                let Stored::List(list) = &mut stored.0 else { return Err("no list".into()) };
                list.extend(items.iter().map(ToString::to_string));
                one(list.len().to_string())
            }
            other => Err(format!("the script uses {other:?}")),
        }
    }
}

impl Stored {
    fn list(&self) -> &VecDeque<String> {
        match self {
            Self::List(list) => list,
            Self::Text(_) => panic!("a text where a list was due"),
        }
    }
}

fn place(list: &VecDeque<String>, index: isize) -> Result<usize, String> {
    let length = isize::try_from(list.len()).unwrap();
    usize::try_from(if index < 0 { length + index } else { index }).map_err(|_| format!("index {index}"))
}

/// A server that runs the script.
struct Server {
    lua: Lua,
    redis: Arc<Mutex<Redis>>,
}

/// 2026-06-01T00:00:00Z.
const START: u64 = 1_780_272_000_000_000;

impl Server {
    fn new() -> Self {
        let (lua, redis) = (Lua::new(), Arc::new(Mutex::new(Redis { now: START, ..Redis::default() })));
        let table = lua.create_table().unwrap();
        let store = redis.clone();
        let call = lua.create_function(move |lua, words: Variadic<LuaValue>| {
            let is_time = matches!(words.first(), Some(LuaValue::String(word)) if word.to_str()? == "TIME");
            let text = |word: LuaValue| {
                lua.coerce_string(word)?.ok_or_else(|| mlua::Error::runtime("nil")).map(|s| s.to_string_lossy())
            };
            let words = words.into_iter().map(text).collect::<mlua::Result<Vec<String>>>()?;
            match store.lock().call(&words).map_err(mlua::Error::runtime)? {
                None => Ok(LuaValue::Boolean(false)),
                Some(items) if is_time => Ok(LuaValue::Table(lua.create_sequence_from(items)?)),
                Some(items) if words[0] == "LLEN" => Ok(LuaValue::Integer(items[0].parse().unwrap())),
                Some(items) => Ok(LuaValue::String(lua.create_string(&items[0])?)),
            }
        });
        table.set("call", call.unwrap()).unwrap();
        lua.globals().set("redis", table).unwrap();
        Self { lua, redis }
    }

    fn ask(&self, limits: &[Limit], ask: Ask, skew: i64) -> Answer {
        let wall = self.redis.lock().now.checked_add_signed(skew).unwrap() * 1000;
        let words = Words::new("portreeve", 7, limits, ask, wall);
        self.lua.globals().set("KEYS", words.keys).unwrap();
        self.lua.globals().set("ARGV", words.arguments).unwrap();
        let numbers: Vec<f64> = self.lua.load(include_str!("decide.lua")).eval().unwrap();
        // As Redis does with numbers of Lua: what is behind the point is cut off.
        #[expect(clippy::cast_possible_truncation, reason = "so does Redis")]
        let numbers = numbers.into_iter().map(|number| Value::Int(number as i64)).collect();
        read(&Value::Array(numbers), limits.len()).unwrap()
    }

    fn pass(&self, micros: u64) {
        self.redis.lock().now += micros;
    }

    fn moment(&self) -> Moment {
        let now = self.redis.lock().now;
        Moment { mono: (now - START) * 1000, wall: now * 1000 }
    }
}

fn rate(count: u32, seconds: u64) -> units::Rate {
    units::Rate { count: NonZeroU32::new(count).unwrap(), per: std::time::Duration::from_secs(seconds) }
}

fn quota(of: &str) -> units::Quota {
    units::Quota { time_zone: Some("Europe/Zurich".parse().unwrap()), ..units::Quota::calendar(of.parse().unwrap()) }
}

/// Limits of all kinds, whose times are whole microseconds.
fn limits() -> impl Strategy<Value = Box<[Limit]>> {
    let windows = (1_u32..9, 1_u32..30)
        .prop_map(|(short, long)| Allowance { rates: vec![rate(short, 1), rate(long, 60)], ..Allowance::default() });
    let spread =
        prop_oneof![(1_u32..9).prop_map(|burst| Spread::Burst(NonZeroU32::new(burst).unwrap())), Just(Spread::Smooth)];
    let bucket = (prop::sample::select(vec![1_u32, 2, 4, 5, 8, 10, 20]), spread)
        .prop_map(|(count, spread)| Allowance { rates: vec![rate(count, 1)], spread, quotas: Vec::new() });
    let calendar = prop::sample::select(vec!["20/h", "30/day", "40/month"])
        .prop_map(|of| Allowance { quotas: vec![quota(of)], ..Allowance::default() });
    prop::collection::vec(prop_oneof![windows, bucket, calendar], 1..3)
        .prop_filter_map("two over one span", |allowances| compile_all(&allowances).ok())
}

fn step() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), 1_u64..200_000, Just(999_999), Just(1_000_000), Just(3_600_000_000)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the clocks of the nodes that ask.
    #[test]
    fn the_script_decides_for_all_nodes_as_one_node_decides_for_itself(
        limits in limits(),
        steps in prop::collection::vec((step(), 0_u64..4, -2_000_000_i64..=2_000_000), 1..150),
    ) {
        let (server, mut account) = (Server::new(), Account::default());
        for (step, cost, skew) in steps {
            server.pass(step);
            let ours = account.decide(&limits, cost, server.moment());
            let theirs = server.ask(&limits, Ask::Decide(cost), skew);
            prop_assert_eq!(theirs.granted, if ours.verdict.is_ok() { cost } else { 0 });
            prop_assert_eq!(&theirs.decision, &ours);
        }
    }

    #[test]
    fn whoever_waits_as_long_as_the_script_says_is_admitted(
        limits in limits(),
        steps in prop::collection::vec((step(), 1_u64..3), 1..60),
    ) {
        let server = Server::new();
        for (step, cost) in steps {
            server.pass(step);
            if let Err(refusal) = server.ask(&limits, Ask::Decide(cost), 0).decision.verdict
                && let Wait::For(wait) = refusal.wait
            {
                server.pass(wait.div_ceil(1000));
                prop_assert!(server.ask(&limits, Ask::Decide(cost), 0).decision.verdict.is_ok());
            }
        }
    }

    #[test]
    fn a_draw_takes_what_there_is_up_to_the_wish_and_never_more(
        count in 1_u32..50,
        steps in prop::collection::vec((0_u64..400_000, 1_u64..4, 0_u64..20), 1..80),
    ) {
        let limits = compile_all([&Allowance { rates: vec![rate(count, 1)], ..Allowance::default() }]).unwrap();
        let (server, mut drawn) = (Server::new(), Vec::new());
        for (step, cost, more) in steps {
            server.pass(step);
            let now = server.moment().mono;
            let answer = server.ask(&limits, Ask::Draw(cost, cost + more), 0);
            let used: u64 = drawn.iter().filter(|(at, _)| at + 1_000_000_000 > now).map(|(_, n)| n).sum();
            let left = u64::from(count) - used;
            prop_assert_eq!(answer.granted, if left >= cost { left.min(cost + more) } else { 0 });
            drawn.push((now, answer.granted));
        }
    }
}

#[test]
fn what_is_charged_afterwards_may_go_below_zero_and_is_waited_for() {
    let limits = compile_all([&Allowance { rates: vec![rate(3, 1)], ..Allowance::default() }]).unwrap();
    let server = Server::new();
    assert_eq!(server.ask(&limits, Ask::Take(10), 0).granted, 10);
    server.pass(999_999);
    let refusal = server.ask(&limits, Ask::Decide(1), 0).decision.verdict.unwrap_err();
    assert_eq!(refusal.wait, Wait::For(1000));
    server.pass(1);
    assert!(server.ask(&limits, Ask::Decide(3), 0).decision.verdict.is_ok());
}

#[test]
fn a_server_whose_clock_is_behind_after_a_failover_admits_less_never_more() {
    let both = Allowance { rates: vec![rate(3, 1)], quotas: vec![quota("5/h")], ..Allowance::default() };
    let limits = compile_all([&both]).unwrap();
    let server = Server::new();
    assert!(server.ask(&limits, Ask::Decide(2), 0).decision.verdict.is_ok());
    // Back into the hour before.
    server.redis.lock().now -= 2_000_000;
    assert!(server.ask(&limits, Ask::Decide(1), 0).decision.verdict.is_ok());
    let refusal = server.ask(&limits, Ask::Decide(1), 0).decision.verdict.unwrap_err();
    assert_eq!(refusal.wait, Wait::For(3_000_000_000));
    server.pass(3_000_000);
    // All three are in the hour that had begun.
    let answer = server.ask(&limits, Ask::Decide(2), 0);
    assert_eq!((answer.granted, answer.decision.standings[1].remaining), (2, 0));
}

#[test]
fn all_keys_of_a_decision_are_in_one_slot_of_a_cluster() {
    let both = Allowance { rates: vec![rate(2, 1), rate(5, 60)], quotas: vec![quota("5/h")], ..Allowance::default() };
    let words = Words::new("portreeve", 42, &compile_all([&both]).unwrap(), Ask::Decide(1), START * 1000);
    let tags: Vec<&str> = words.keys.iter().map(|key| key.split(['{', '}']).nth(1).unwrap()).collect();
    assert_eq!(tags, ["0000000000000000000000000000002a"; 3]);
    assert_eq!(words.keys[0], "portreeve:{0000000000000000000000000000002a}:w1000000");
}

/// Nodes with leases in a world whose clock the test moves: the admissions of any span against the stated bound.
mod leases {
    use std::time::Duration;

    use portreeve_plugin::Clock;
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::policy::Policy;
    use crate::store::Request;
    use crate::store::lease::{Held, Leases};
    use crate::store::link::Link;
    use crate::store::source::Source;

    fn node(share: &str) -> (Leases, Receiver<(Request, Ask)>) {
        let source = Source::Single(Box::new(redis::Client::open("redis://127.0.0.1:1").unwrap()));
        let clock = Clock::frozen(std::time::SystemTime::UNIX_EPOCH);
        let link = Arc::new(Link::new(source, 1, Duration::from_millis(1)));
        Leases::new(share.parse().unwrap(), link, "portreeve".into(), clock)
    }

    /// What the background does at some time: nothing, ask the store for what is wanted, or hear what it answered.
    #[derive(Debug, Clone, Copy)]
    enum Background {
        Rests,
        Asks,
        Hears,
    }

    fn background() -> impl Strategy<Value = Background> {
        prop_oneof![Just(Background::Rests), Just(Background::Asks), Just(Background::Hears)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn nodes_with_leases_admit_no_more_than_one_slice_each_beyond_the_limit(
            count in 20_u32..200,
            (share, part) in prop::sample::select(vec![("1%", 100), ("5%", 20), ("10%", 10), ("25%", 4), ("50%", 2)]),
            steps in prop::collection::vec((0_u64..60_000, 0_usize..3, 1_u64..3, background()), 1..300),
        ) {
            let allowance = Allowance { rates: vec![rate(count, 1)], ..Allowance::default() };
            let policy = Arc::new(Policy::new("test", &[allowance], NonZeroU32::MIN).unwrap());
            let server = Server::new();
            let (nodes, mut wanted): (Vec<Leases>, Vec<_>) = (0..3).map(|_| node(share)).unzip();
            let slice = nodes[0].slice(&policy.limits);
            prop_assert_eq!(slice, u64::from(count).div_ceil(part));
            let mut answers = Vec::new();
            let mut admitted: Vec<(u64, u64)> = Vec::new();
            for (step, which, cost, background) in steps {
                server.pass(step);
                let now = server.moment();
                let request = Request { policy: policy.clone(), key: 7, tag: 7, cost, now, max_keys: 1000 };
                let node = &nodes[which];
                let passes = match node.take(&request) {
                    Held::Admitted(_) => true,
                    Held::Ask => server.ask(&policy.limits, Ask::Decide(cost), 0).granted > 0,
                    Held::Draw(wish) => {
                        let drawing = node.drawing(&request);
                        let answer = server.ask(&policy.limits, Ask::Draw(cost, wish), 0);
                        drawing.done(&request, answer).verdict.is_ok()
                    }
                };
                if passes {
                    admitted.push((now.mono, cost));
                    let recent = admitted.iter().filter(|(at, _)| at + 1_000_000_000 > now.mono);
                    let recent: u64 = recent.map(|(_, cost)| cost).sum();
                    prop_assert!(recent <= u64::from(count) + 3 * slice, "{} of {}, slice {}", recent, count, slice);
                }
                match background {
                    Background::Rests => {}
                    Background::Asks => for (node, wanted) in nodes.iter().zip(&mut wanted) {
                        while let Ok((request, ask)) = wanted.try_recv() {
                            let answer = server.ask(&policy.limits, ask, 0);
                            answers.push((node, node.drawing(&request), request, answer));
                        }
                    }
                    Background::Hears => for (node, drawing, request, answer) in answers.drain(..) {
                        node.keep(&request, answer.granted, &answer.decision.standings);
                        drop(drawing);
                    }
                }
            }
        }
    }

    /// Without this a lease of half a limit could be held to the bound of one of a hundredth and pass: here it is reached.
    #[test]
    fn the_bound_of_leases_is_reached_and_not_only_kept() {
        for (share, slice) in [("1%", 1), ("5%", 5), ("25%", 25), ("50%", 50)] {
            let allowance = Allowance { rates: vec![rate(100, 1)], ..Allowance::default() };
            let policy = Arc::new(Policy::new("test", &[allowance], NonZeroU32::MIN).unwrap());
            let server = Server::new();
            let (node, _wanted) = node(share);
            let request = |cost| {
                let now = server.moment();
                Request { policy: policy.clone(), key: 7, tag: 7, cost, now, max_keys: 1000 }
            };
            // One request draws a whole slice beside what it needs itself, which nobody uses for as long as a span.
            let Held::Draw(wish) = node.take(&request(1)) else { panic!("nothing is held yet") };
            let answer = server.ask(&policy.limits, Ask::Draw(1, wish), 0);
            assert!(node.drawing(&request(1)).done(&request(1), answer).verdict.is_ok());
            server.pass(1_000_000);
            let mut admitted = 0;
            for _ in 0..200 {
                admitted += match node.take(&request(1)) {
                    Held::Admitted(_) => 1,
                    Held::Ask | Held::Draw(_) => server.ask(&policy.limits, Ask::Decide(1), 0).granted,
                };
            }
            assert_eq!(admitted, 100 + slice, "{share}");
        }
    }
}
