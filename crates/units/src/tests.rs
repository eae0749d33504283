//! The words and numbers of a configuration: what is read, and how what is not is told.

use super::*;

fn error<T: std::str::FromStr<Err = UnitError>>(text: &str) -> String {
    text.parse::<T>().err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_duration_is_a_whole_number_and_a_unit() {
    for (text, millis) in [("800ms", 800), ("5s", 5_000), ("1m", 60_000), ("12h", 43_200_000), ("30d", 2_592_000_000)] {
        let duration: Duration = text.parse().unwrap();
        assert_eq!(duration.get().as_millis(), millis);
        assert_eq!(duration.to_string(), text);
    }
}

#[test]
fn a_duration_may_be_nothing_where_that_means_something() {
    for (text, millis, shown) in [("0s", 0, "0s"), ("0ms", 0, "0s"), ("0d", 0, "0s"), ("5s", 5000, "5s")] {
        let duration: DurationOrZero = text.parse().unwrap();
        assert_eq!((duration.get().as_millis(), duration.to_string().as_str()), (millis, shown));
    }
    assert!("0s".parse::<DurationOrZero>().unwrap() < "1ms".parse().unwrap());
    for text in ["0", "-1s", "0x", "400d", ""] {
        assert!(text.parse::<DurationOrZero>().is_err(), "{text}");
    }
}

#[test]
fn an_authority_is_a_host_with_or_without_a_port() {
    for (text, expected) in [
        ("API.internal.", "api.internal"),
        ("api.internal:8443", "api.internal:8443"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::0:1]:80", "[::1]:80"),
        ("[::1]", "[::1]"),
    ] {
        assert_eq!(text.parse::<Authority>().unwrap().as_str(), expected);
    }
    for text in
        ["", ":80", "a:", "a:+1", "a:65536", "a b", "u@a", "a/b", "::1", "[a]", "a..b", "https://a", "a\r\nb", "[::1"]
    {
        assert!(text.parse::<Authority>().is_err(), "{text}");
    }
}

#[test]
fn what_is_not_a_duration_says_what_is() {
    assert_eq!(error::<Duration>("5"), "5 has no unit; write 5s, 5ms or 5m");
    assert!(error::<Duration>("0s").contains("no time at all"));
    assert!(error::<Duration>("367d").contains("longer than 366d"));
    for text in ["", "s", "1.5s", "-1s", "5 s", "1m30s", "٣s"] {
        assert!(error::<Duration>(text).contains("is not a duration"), "{text}");
    }
}

#[test]
fn ninety_seconds_stay_seconds() {
    assert_eq!(Duration::from_secs(90).to_string(), "90s");
}

#[test]
fn sizes_know_both_kinds_of_kilo() {
    for (text, bytes) in [("0B", 0), ("1KB", 1000), ("64KiB", 65_536), ("200MiB", 209_715_200), ("1GB", 1_000_000_000)]
    {
        assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes);
    }
    assert_eq!(Size::from_bytes(1 << 20).to_string(), "1MiB");
    assert!(error::<Size>("99999999999999GiB").contains("more bytes"));
}

#[test]
fn a_bare_size_is_answered_with_what_was_probably_meant() {
    assert_eq!(error::<Size>("1048576"), "1048576 has no unit; write 1048576B or 1MiB");
    assert_eq!(error::<Size>("5"), "5 has no unit; write 5KiB, 5MiB or 5B");
}

#[test]
fn a_rate_has_a_count_and_a_span() {
    let rate: Rate = "100/min".parse().unwrap();
    assert_eq!((rate.count.get(), rate.per.as_secs()), (100, 60));
    assert_eq!(rate.to_string(), "100/min");
    assert!(error::<Rate>("0/s").contains("nothing"));
    assert!(error::<Rate>("4294967296/s").contains("more than"));
    assert!(error::<Rate>("10/minute").contains("is not a rate"));
}

#[test]
fn a_percentage_is_between_0_and_100() {
    for (text, fraction) in [("0%", 0.0), ("20%", 0.2), ("0.5%", 0.005), ("99.99%", 0.9999), ("100%", 1.0)] {
        let percent: Percent = text.parse().unwrap();
        assert!((percent.fraction() - fraction).abs() < 1e-12);
        assert_eq!(percent.to_string(), text);
    }
    assert!(error::<Percent>("100.01%").contains("more than 100%"));
    assert!(error::<Percent>("999999%").contains("more than 100%"));
    assert_eq!(error::<Percent>("20"), "20 has no unit; write 20%");
    for text in ["%", ".5%", "5.%", "-1%", "1.234%"] {
        assert!(error::<Percent>(text).contains("is not a share"), "{text}");
    }
}

#[test]
fn a_date_is_a_day_of_the_calendar() {
    let date: Date = "2028-02-29".parse().unwrap();
    assert_eq!((date.year(), date.month(), date.day()), (2028, 2, 29));
    for text in ["2027-02-29", "2027-13-01", "2027-00-10", "2027-04-31", "1969-12-31"] {
        assert!(error::<Date>(text).contains("there is no day"), "{text}");
    }
    for text in ["2027-6-30", "30.06.2027", "2027-06-30T00:00:00Z", ""] {
        assert!(error::<Date>(text).contains("is not a date"), "{text}");
    }
}

#[test]
fn an_address_is_host_and_port() {
    for text in ["10.0.0.7:8080", "[::1]:80", "users.internal:8080", "_http._tcp.users:1", "localhost:65535"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    assert!(matches!("Users:80".parse::<Address>().unwrap().host, Host::Name(name) if name == "users"));
    for text in ["", ":80", "a b:80", "-a:80", "a-:80", "users:", "users:+80", "users:http", "[::1]", "user@host:80"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_loopback_too() {
    assert!("[::ffff:127.0.0.1]:1".parse::<BindAddress>().unwrap().is_loopback());
    assert!(!"[::]:1".parse::<BindAddress>().unwrap().is_loopback());
}

#[test]
fn a_name_is_kebab_case() {
    for text in ["users", "users-v2", "2", "a-1-b"] {
        assert_eq!(text.parse::<Name>().unwrap(), *text);
    }
    for (text, meant) in
        [("usersV2", "users-v2"), ("users_v2", "users-v2"), ("-users--v2-", "users-v2"), ("Ünïcode", "n-code")]
    {
        assert!(error::<Name>(text).ends_with(&format!("write {meant}")), "{}", error::<Name>(text));
    }
    assert!(error::<Name>(&"a".repeat(65)).contains("at most 64"));
}

#[test]
fn a_literal_secret_is_refused_without_being_repeated() {
    for text in ["hunter2", "", "env:", "env:2FA", "env:A B", "file:", "file:///etc/x"] {
        let message = error::<SecretSource>(text);
        assert!(!message.is_empty(), "{text}");
        assert!(!message.contains("hunter2"));
    }
}

#[test]
fn a_secret_never_shows() {
    let mut secret: Secret = serde_json::from_value("env:API_KEY".into()).unwrap();
    secret.set("hunter2".into());
    assert_eq!(secret.expose(), "hunter2");
    assert_eq!(format!("{secret:?}"), "***");
    assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
}

#[test]
fn a_secret_file_loses_its_last_line_break_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "  a b \r\n").unwrap();
    let source: SecretSource = "file:key".parse().unwrap();
    assert_eq!(source.read(&|_| None, folder.path()).unwrap(), "  a b ");
}

#[test]
fn header_names_fold_their_case_and_methods_do_not() {
    assert_eq!("X-User-Id".parse::<HeaderName>().unwrap().as_str(), "x-user-id");
    assert!(error::<HeaderName>("x user").contains("not a header name"));
    assert_eq!(error::<Method>("get"), "methods are written in capitals: GET");
}

#[test]
fn every_unit_refuses_the_empty_text_but_none_panics_on_odd_ones() {
    for unit in UNITS {
        assert!((unit.check)("").is_err(), "{}", unit.kind);
        for text in ["\u{0}", "é", "日本", "::", "://", "%", "/", "-", "9".repeat(400).as_str()] {
            let _either = (unit.check)(text);
        }
    }
}

#[test]
fn a_quota_has_an_amount_and_a_period() {
    let quota: Allotment = "20000/month".parse().unwrap();
    assert_eq!((quota.count.get(), quota.per, quota.to_string().as_str()), (20_000, Period::Month, "20000/month"));
    assert_eq!(error::<Allotment>("1000"), "1000 has no period; write 1000/day, 1000/week or 1000/month");
    assert!(error::<Allotment>("0/day").contains("lets nothing through"));
    assert!(error::<Allotment>("9007199254740992/day").contains("more than 9007199254740991/day"));
    for text in ["-1/day", "1/min", "1/", "/day", "1.5/day"] {
        assert!(error::<Allotment>(text).contains("is not a quota"), "{text}");
    }
}

#[test]
fn a_time_zone_is_one_of_the_iana_database() {
    assert_eq!("Europe/Zurich".parse::<TimeZone>().unwrap().to_string(), "Europe/Zurich");
    for text in ["", "Europe/Zuerich", "CET+1", "../../etc/passwd"] {
        assert!(error::<TimeZone>(text).contains("is not a time zone"), "{text}");
    }
}
