//! Times as S3 and HTTP write them. Both servers answer with dates; neither needs more of a calendar than this.

use std::time::{Duration, SystemTime};

const DAY: i64 = 86_400;

/// A time in UTC, by its parts.
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    /// 0 is Thursday, the first day of the epoch.
    weekday: usize,
}

/// Whole seconds since the epoch; times before it do not occur here and count as the epoch itself.
pub fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The time that is so many seconds after the epoch.
pub fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// A time moved by seconds of either sign.
pub fn moved(time: SystemTime, by: i64) -> SystemTime {
    at(seconds(time).saturating_add(by))
}

fn civil(time: SystemTime) -> Civil {
    let all = seconds(time);
    let (days, rest) = (all.div_euclid(DAY), all.rem_euclid(DAY));
    // Years that begin in March, in cycles of 400 years: leap days come last and every month has a fixed place.
    let shifted = days + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let part = (5 * day_of_year + 2) / 153;
    let month = if part < 10 { part + 3 } else { part - 9 };
    Civil {
        year: year_of_cycle + cycle * 400 + i64::from(month <= 2),
        month: month as u32,
        day: (day_of_year - (153 * part + 2) / 5 + 1) as u32,
        hour: (rest / 3600) as u32,
        minute: (rest / 60 % 60) as u32,
        second: (rest % 60) as u32,
        weekday: days.rem_euclid(7) as usize,
    }
}

/// As listings write it: `2026-01-31T08:00:00.000Z`.
pub fn iso(time: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// As headers write it: `Sat, 31 Jan 2026 08:00:00 GMT`.
pub fn http(time: SystemTime) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, hour, minute, second, weekday } = civil(time);
    let (weekday, month) = (WEEKDAYS[weekday], MONTHS[month as usize - 1]);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Seconds since the epoch of `20260131T080000Z`, as requests are signed with.
pub fn parse_compact(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    if text.len() != 16 || text.as_bytes()[8] != b'T' || text.as_bytes()[15] != b'Z' {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let from_march = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, year_of_cycle) = (from_march.0.div_euclid(400), from_march.0.rem_euclid(400));
    let day_of_year = (153 * from_march.1 + 2) / 5 + day - 1;
    let days = cycle * 146_097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year - 719_468;
    Some(days * DAY + number(9..11)? * 3600 + number(11..13)? * 60 + number(13..15)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        let time = at(1_769_846_400);
        assert_eq!(iso(time), "2026-01-31T08:00:00.000Z");
        assert_eq!(http(time), "Sat, 31 Jan 2026 08:00:00 GMT");
        for text in ["20260131T080000Z", "20240229T235959Z", "20000301T000000Z", "19991231T120000Z"] {
            let seconds = parse_compact(text).unwrap();
            let written = iso(at(seconds)).replace(['-', ':'], "").replace(".000", "");
            assert_eq!(written, text);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "2026", "20261331T080000Z", "20260131 080000Z", "2026é131T08000Z"] {
            assert_eq!(parse_compact(text), None, "{text}");
        }
    }
}
