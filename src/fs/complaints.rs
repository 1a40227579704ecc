//! Log lines of failed requests: at once for each cause, and then one a minute with a count.
//!
//! A store that is away fails every page of every reader. Whoever reads the log wants to know that once, with what to
//! do, and again as long as it lasts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same complaint is not written again before this: long enough that a night without a network is some hundred
/// lines, short enough that whoever looks sees that it goes on.
const QUIET: Duration = Duration::from_secs(60);
/// Different complaints remembered. A broken store may have any number; past this the oldest knowledge goes, and a
/// line may come early.
const REMEMBERED: usize = 1024;

/// What was complained of lately.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: Mutex<HashMap<String, Told>>,
}

#[derive(Debug)]
struct Told {
    when: Instant,
    withheld: u64,
}

impl Complaints {
    /// The line to write for a complaint about `subject`, if it is time for one.
    pub(super) fn line(&self, subject: String, line: &str, now: Instant) -> Option<String> {
        // Counts only, each whole by itself.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = told.get_mut(&subject) {
            let passed = now.saturating_duration_since(told.when);
            if passed < QUIET {
                told.withheld += 1;
                return None;
            }
            let withheld = std::mem::take(&mut told.withheld);
            told.when = now;
            return Some(match withheld {
                0 => line.to_owned(),
                count => format!("{line} (and {count} more like this in the last {} s)", passed.as_secs()),
            });
        }
        if told.len() >= REMEMBERED {
            told.retain(|_, told| now.saturating_duration_since(told.when) < QUIET);
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(subject, Told { when: now, withheld: 0 });
        Some(line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_told_once_a_minute_and_other_causes_at_once() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut lines = Vec::new();
        for page in 0..10_000u64 {
            lines.extend(complaints.line("s3://b unreachable".into(), "no route", at(page * 10)));
        }
        assert_eq!(lines, ["no route", "no route (and 5999 more like this in the last 60 s)"]);
        assert!(complaints.line("s3://other unreachable".into(), "no route", at(0)).is_some());
        assert_eq!(
            complaints.line("s3://b unreachable".into(), "no route", at(900_000)).unwrap().matches("more").count(),
            1
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let complaints = Complaints::default();
        let now = Instant::now();
        for number in 0..5 * REMEMBERED {
            assert!(complaints.line(number.to_string(), "line", now).is_some());
            assert!(complaints.told.lock().unwrap().len() <= REMEMBERED);
        }
    }
}
