//! What changes of a target without its address arrives at picks, and what cannot be found takes nobody out. Backends
//! are equal whatever their `ext`, so that pingora-load-balancing itself would see no change in most of this.

use super::*;

/// A pool of the targets in a file, which is written anew as a list in YAML.
struct FromFile {
    folder: tempfile::TempDir,
    registry: TargetRegistry,
    pool: Pool,
}

impl FromFile {
    async fn new(more: Value, targets: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("targets.yaml"), targets).unwrap();
        let registry = TargetRegistry::default();
        let pool = started(&Self::config(&folder, more), &Names::new(&[]), &registry, None).await;
        Self { folder, registry, pool }
    }

    fn config(folder: &tempfile::TempDir, mut settings: Value) -> UpstreamConfig {
        settings["discover"] = json!({ "file": folder.path().join("targets.yaml") });
        config(settings)
    }

    /// The file says something else from now on, and has been looked at since.
    async fn says(&self, targets: &str) {
        std::fs::write(self.folder.path().join("new"), targets).unwrap();
        std::fs::rename(self.folder.path().join("new"), self.folder.path().join("targets.yaml")).unwrap();
        pass(3).await;
    }

    /// The same file under another configuration.
    async fn reload(&mut self, more: Value) {
        let names = Names::new(&[]);
        let config = Self::config(&self.folder, more);
        self.pool = started(&config, &names, &self.registry, Some(&self.pool)).await;
    }
}

/// How often each is picked of so many times.
fn counts<const N: usize>(pool: &Pool, addresses: [&str; N], picks: usize) -> [usize; N] {
    let mut counts = [0; N];
    for _ in 0..picks {
        let address = pool.pick(0, &[]).unwrap().0.target.address.to_string();
        counts[addresses.iter().position(|known| *known == address).unwrap()] += 1;
    }
    counts
}

const TWO: [&str; 2] = ["10.0.0.1:80", "10.0.0.2:80"];

#[tokio::test(start_paused = true)]
async fn a_changed_weight_alone_arrives_at_picks_after_discovery_and_after_a_reload() {
    let mut from = FromFile::new(json!({}), "- 10.0.0.1:80\n- 10.0.0.2:80\n").await;
    assert_eq!(counts(&from.pool, TWO, 40), [20, 20]);
    from.says("- 10.0.0.1:80\n- { address: 10.0.0.2:80, weight: 3 }\n").await;
    assert_eq!(counts(&from.pool, TWO, 40), [10, 30]);
    from.reload(json!({ "retry": { "attempts": 3 } })).await;
    assert_eq!(counts(&from.pool, TWO, 40), [10, 30], "what was found goes on");
    let weighed = |weight| config(json!({ "targets": [{ "address": TWO[0], "weight": weight }, TWO[1]] }));
    let before = started(&weighed(1), &Names::new(&[]), &from.registry, None).await;
    let after = started(&weighed(4), &Names::new(&[]), &from.registry, Some(&before)).await;
    assert_eq!((counts(&before, TWO, 40), counts(&after, TWO, 40)), ([20, 20], [32, 8]));
}

#[tokio::test(start_paused = true)]
async fn a_changed_zone_alone_arrives_at_picks_after_discovery_and_after_a_reload() {
    let list = |first, second| {
        format!("- {{ address: 10.0.0.1:80, zone: {first} }}\n- {{ address: 10.0.0.2:80, zone: {second} }}\n")
    };
    let of = |zone: &str| json!({ "failover": { "zone": zone } });
    let mut from = FromFile::new(of("eu-1"), &list("eu-1", "eu-2")).await;
    assert_eq!(counts(&from.pool, TWO, 40), [40, 0]);
    from.says(&list("eu-2", "eu-1")).await;
    assert_eq!(counts(&from.pool, TWO, 40), [0, 40]);
    assert_eq!(target(&from.pool, TWO[0]).zone.as_deref(), Some("eu-2"));
    from.reload(of("eu-2")).await;
    assert_eq!(counts(&from.pool, TWO, 40), [40, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_priority_alone_arrives_at_picks_after_discovery_and_after_a_reload() {
    let entry = |priority| format!("- {{ address: 10.0.0.1:80, priority: {priority} }}\n- 10.0.0.2:80\n");
    let from = FromFile::new(json!({}), &entry(1)).await;
    assert_eq!(counts(&from.pool, TWO, 40), [0, 40]);
    from.says(&entry(0)).await;
    assert_eq!(counts(&from.pool, TWO, 40), [20, 20]);
    from.says(&entry(2)).await;
    assert_eq!((counts(&from.pool, TWO, 40), target(&from.pool, TWO[0]).priority), ([0, 40], 2));
    let ranked = |priority| config(json!({ "targets": [{ "address": TWO[0], "priority": priority }, TWO[1]] }));
    let before = started(&ranked(1), &Names::new(&[]), &from.registry, None).await;
    let after = started(&ranked(0), &Names::new(&[]), &from.registry, Some(&before)).await;
    assert_eq!((counts(&before, TWO, 40), counts(&after, TWO, 40)), ([0, 40], [20, 20]));
}

#[tokio::test(start_paused = true)]
async fn a_changed_name_alone_arrives_at_picks_after_discovery_and_after_a_reload() {
    let names = Names::new(&[("one.test.", "10.0.0.1"), ("two.test.", "10.0.0.1")]);
    let (srv, registry) = ("_http._tcp.users.test", TargetRegistry::default());
    names.serves(srv, &[(1, 1, 80, "one.test.")]);
    let pool = started(&config(json!({ "discover": { "srv": srv } })), &names, &registry, None).await;
    let before = pool.pick(0, &[]).unwrap().0;
    assert_eq!(target(&pool, TWO[0]).name.as_deref(), Some("one.test"));
    names.serves(srv, &[(1, 1, 80, "two.test.")]);
    pass(12).await;
    let after = pool.pick(0, &[]).unwrap().0;
    assert_eq!(target(&pool, TWO[0]).name.as_deref(), Some("two.test"));
    assert!(Arc::ptr_eq(&before.target, &after.target), "the same target");
    assert!(!Arc::ptr_eq(&before, &after), "prepared anew for its name");
    // Over TLS a name of the file is whom the target must prove to be.
    names.is("a.test", &["10.0.0.1"]);
    names.is("b.test", &["10.0.0.1"]);
    let named = |name: &str| config(json!({ "targets": [format!("{name}:443")], "tls": {} }));
    let before = started(&named("a.test"), &names, &registry, None).await;
    let after = started(&named("b.test"), &names, &registry, Some(&before)).await;
    let proves = |pool: &Pool| pool.pick(0, &[]).unwrap().0.prepared.server_name().unwrap().to_str().into_owned();
    assert_eq!((proves(&before), proves(&after)), ("a.test".to_owned(), "b.test".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_discovery_that_fails_keeps_the_last_members_and_is_told() {
    let from = FromFile::new(json!({}), "- 10.0.0.1:80\n- { address: 10.0.0.2:80, weight: 3 }\n").await;
    for (broken, told) in
        [("- 10.0.0.3\n", "has no port"), ("- 10.0.0.3:80\n- {", "targets.yaml"), ("[]", "nobody was found")]
    {
        from.says(broken).await;
        // What is kept is kept for whatever makes a selection next.
        from.pool.members.publish();
        assert_eq!(counts(&from.pool, TWO, 40), [10, 30], "{broken}");
        let error = from.pool.status().sources[0].error.clone().unwrap();
        assert!(error.contains(told), "{broken}: {error}");
    }
    let counts_of = &from.pool.metrics.discoveries;
    assert_eq!((counts_of.counted("failed"), counts_of.counted("empty")), (2, 1));
    from.says("- 10.0.0.2:80\n").await;
    assert_eq!((picked(&from.pool), from.pool.status().sources[0].error.is_none()), (vec![TWO[1].to_owned()], true));
}

#[tokio::test(start_paused = true)]
async fn a_pick_goes_past_drained_ejected_and_full_targets_and_ends() {
    let addresses: Vec<_> = (1..=12).map(|n| format!("10.0.0.{n}:80")).collect();
    for balance in
        [json!("round_robin"), json!("least_connections"), json!("least_time"), json!("random_two"), json!("ip_hash")]
    {
        let settings = json!({
            "targets": addresses,
            "balance": balance,
            "limits": { "requests_per_target": 1 },
            "outlier": { "consecutive_failures": 1 },
        });
        let pool = started(&config(settings), &Names::new(&[]), &TargetRegistry::default(), None).await;
        pool.operate(&addresses[0], Operation::Drain, "x").unwrap();
        pool.operate(&addresses[1], Operation::Weight(Some(0)), "x").unwrap();
        let tried = [addresses[2].parse().unwrap()];
        let (member, failed) = pool.pick(7, &tried).unwrap();
        pool.report(&failed, AttemptOutcome::Failed);
        drop(failed);
        let ejected = member.target.address.to_string();
        assert_eq!(target(&pool, &ejected).state, TargetState::Ejected, "{balance}");
        // Eight are left of twelve, and each of them has room for one.
        let held: Vec<_> = (0..8).map(|n| pool.pick(n, &tried).unwrap()).collect();
        let mut at: Vec<_> = held.iter().map(|(member, _)| member.target.address.to_string()).collect();
        at.sort();
        let mut wanted: Vec<_> = addresses[3..].iter().filter(|address| **address != ejected).cloned().collect();
        wanted.sort();
        assert_eq!(at, wanted, "{balance}");
        assert!(matches!(pool.pick(7, &tried), Err(Fault::TargetsFull)), "{balance}");
        let all: Vec<_> = addresses[2..].iter().map(|address| address.parse().unwrap()).collect();
        assert!(matches!(pool.pick(7, &all), Err(Fault::NoTarget)), "{balance}");
        assert_eq!(pool.pick(7, &[]).unwrap().0.target.address, tried[0], "who was not tried has room: {balance}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_to_its_target_unless_that_is_full_or_another_has_its_place() {
    let settings = json!({ "targets": ["10.0.0.1:80", "10.0.0.2:80"], "limits": { "requests_per_target": 1 } });
    let pool = started(&config(settings), &Names::new(&[]), &TargetRegistry::default(), None).await;
    let wants = |place, address: &str| Wants {
        stay: Some(Stay { place, address: address.parse().unwrap() }),
        ..Wants::default()
    };
    let there = wants(1, TWO[1]);
    for _ in 0..10 {
        assert_eq!(pool.pick_for(&there, &[]).unwrap().0.target.address.to_string(), TWO[1]);
    }
    let _full = pool.pick_for(&there, &[]).unwrap();
    assert_eq!(pool.pick_for(&there, &[]).unwrap().0.target.address.to_string(), TWO[0]);
    assert!(pool.pick_for(&wants(0, "10.0.0.9:80"), &[]).is_ok());
    assert!(matches!(pool.pick_for(&there, &[TWO[0].parse().unwrap()]), Err(Fault::TargetsFull)));
}
