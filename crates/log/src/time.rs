//! The one form of time in both logs: RFC 3339 in UTC with microseconds, `2026-11-30T17:06:28.123456Z`.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment of the wall clock, in microseconds since 1970. Before 1970 there is only 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

const MICROS: u64 = 1_000_000;
const DAY: u64 = 86_400;

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// So many microseconds after the beginning of 1970.
    pub fn from_micros(micros: u64) -> Self {
        Self(micros)
    }
}

/// Writes moments, and keeps the text of the last second: that is made once a second, not once a line.
#[derive(Debug)]
pub(crate) struct Calendar {
    second: u64,
    /// `2026-11-30T17:06:28.`
    text: [u8; 20],
}

impl Default for Calendar {
    fn default() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00." }
    }
}

impl Calendar {
    /// Appends a moment.
    pub(crate) fn write(&mut self, moment: Moment, out: &mut Vec<u8>) {
        let (second, micros) = (moment.0 / MICROS, moment.0 % MICROS);
        if second != self.second {
            self.second = second;
            self.text = text(second);
        }
        out.extend_from_slice(&self.text);
        let digits = two_by_two([micros / 10_000, micros / 100 % 100, micros % 100]);
        out.extend_from_slice(&digits);
        out.push(b'Z');
    }
}

fn two_by_two(pairs: [u64; 3]) -> [u8; 6] {
    let [a, b, c] = pairs.map(pair);
    [a[0], a[1], b[0], b[1], c[0], c[1]]
}

/// The two digits of a number below 100.
fn pair(number: u64) -> [u8; 2] {
    let digit = |number: u64| b'0' + u8::try_from(number % 10).unwrap_or_default();
    [digit(number / 10), digit(number)]
}

/// The text of a second: years of four digits, which lasts until 9999.
fn text(second: u64) -> [u8; 20] {
    let (day, in_day) = (second / DAY, second % DAY);
    let (year, month, day) = date(day);
    let [century, year] = [pair(year / 100), pair(year % 100)];
    let [month, day] = [pair(month), pair(day)];
    let [hour, minute, second] = [pair(in_day / 3600), pair(in_day / 60 % 60), pair(in_day % 60)];
    [
        century[0], century[1], year[0], year[1], b'-', month[0], month[1], b'-', day[0], day[1], b'T', hour[0],
        hour[1], b':', minute[0], minute[1], b':', second[0], second[1], b'.',
    ]
}

/// Year, month and day of the month of a day since 1970, in the Gregorian calendar: `civil_from_days` of
/// <https://howardhinnant.github.io/date_algorithms.html>, for days from 1970 on.
fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds: u64, micros: u64) -> String {
        let mut out = Vec::new();
        Calendar::default().write(Moment::from_micros(seconds * MICROS + micros), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        // By `date -u -d @…`.
        for (seconds, micros, text) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000001Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000Z"),
            (1_709_164_800, 50, "2024-02-29T00:00:00.000050Z"),
            (1_735_689_599, 123_456, "2024-12-31T23:59:59.123456Z"),
            (1_796_058_388, 0, "2026-11-30T17:06:28.000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(written(seconds, micros), text);
        }
    }

    #[test]
    fn the_text_of_a_second_is_never_that_of_another() {
        let mut calendar = Calendar::default();
        for second in [5, 5, 6, 5, 86_400 * 365, 6] {
            let mut out = Vec::new();
            calendar.write(Moment::from_micros(second * MICROS), &mut out);
            assert_eq!(out, written(second, 0).into_bytes());
        }
    }
}
