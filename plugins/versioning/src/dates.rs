//! Days as the header fields want them: seconds since 1970, and the IMF-fixdate of RFC 9110 §5.6.7.

use std::time::{Duration, SystemTime};

use portreeve_plugin::units::Date;

const DAY: u64 = 24 * 60 * 60;

/// Seconds from 1970 to the first moment (UTC) of a day.
pub(crate) fn unix_seconds(date: Date) -> u64 {
    // Days of the proleptic Gregorian calendar, years counted from March so that a leap day ends one.
    let (year, month) = (u64::from(date.year()), u64::from(date.month()));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + u64::from(date.day()) - 1;
    // 1970-01-01, counted the same way.
    (days - 719_468) * DAY
}

/// `Wed, 30 Jun 2027 00:00:00 GMT`
pub(crate) fn imf_fixdate(date: Date) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds(date)))
}
