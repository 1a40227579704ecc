//! Which request, and which body, suffers what. Counting alone: no socket, no clock.
//!
//! Every fault has its own count, and a request suffers one at most: a body that is stalled is not one of those of which every fifth
//! is cut. Otherwise every tenth, being a fifth too, would never be seen to stall.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the proxy does to what passes through; 0 is never.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Milliseconds before each request goes on.
    pub delay_ms: u64,
    /// Megabytes a second of each connection.
    pub mbps_per_connection: u64,
    /// Megabytes a second of all.
    pub mbps_total: u64,
    /// Every so many requests are answered with an error,
    pub fail_every: u64,
    /// with this status,
    pub fail_status: u16,
    /// and this `Retry-After`, in seconds, where it is not 0.
    pub retry_after: u64,
    /// Every so many requests are answered with a page of HTML,
    pub html_every: u64,
    /// with this status.
    pub html_status: u16,
    /// Every so many bodies end before their end: the connection is closed,
    pub cut_every: u64,
    /// after so many bytes, or in the middle where this is 0.
    pub cut_after: u64,
    /// Every so many bodies stop in their middle
    pub stall_every: u64,
    /// for so many milliseconds.
    pub stall_ms: u64,
    /// Every so many bodies are one half of what they were, and their `Content-Length` says so too.
    pub short_every: u64,
    /// Seconds by which `Date` is ahead.
    pub date_ahead: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            mbps_per_connection: 0,
            mbps_total: 0,
            fail_every: 0,
            fail_status: 503,
            retry_after: 0,
            html_every: 0,
            html_status: 200,
            cut_every: 0,
            cut_after: 0,
            stall_every: 0,
            stall_ms: 5000,
            short_every: 0,
            date_ahead: 0,
        }
    }
}

/// What a request or a body suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// An error status instead of an answer.
    Fail,
    /// HTML instead of an answer.
    Html,
    /// The connection ends within the body.
    Cut,
    /// The body stops for a while.
    Stall,
    /// The body, and its length, is half of what it was.
    Short,
}

/// Counts towards the next of each fault, and faults so far.
#[derive(Debug, Default)]
pub struct Faults {
    towards: BTreeMap<Fault, u64>,
    /// How many there were.
    pub injected: BTreeMap<Fault, u64>,
}

impl Faults {
    /// What the next request suffers.
    pub fn of_request(&mut self, settings: &Settings) -> Option<Fault> {
        self.first(&[(Fault::Html, settings.html_every), (Fault::Fail, settings.fail_every)])
    }

    /// What the body of the next answer suffers; empty ones are not asked about.
    pub fn of_body(&mut self, settings: &Settings) -> Option<Fault> {
        self.first(&[
            (Fault::Stall, settings.stall_every),
            (Fault::Short, settings.short_every),
            (Fault::Cut, settings.cut_every),
        ])
    }

    fn first(&mut self, faults: &[(Fault, u64)]) -> Option<Fault> {
        for &(fault, every) in faults.iter().filter(|(_, every)| *every > 0) {
            let towards = self.towards.entry(fault).or_default();
            *towards += 1;
            if *towards >= every {
                *towards = 0;
                *self.injected.entry(fault).or_default() += 1;
                return Some(fault);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth_request_fails() {
        let settings = Settings { fail_every: 4, ..Settings::default() };
        let mut faults = Faults::default();
        let found: Vec<bool> = (0..8).map(|_| faults.of_request(&settings) == Some(Fault::Fail)).collect();
        assert_eq!(found, [false, false, false, true, false, false, false, true]);
        assert_eq!(faults.injected, BTreeMap::from([(Fault::Fail, 2)]));
    }

    #[test]
    fn bodies_stall_though_others_are_cut() {
        let settings = Settings { cut_every: 5, stall_every: 10, ..Settings::default() };
        let mut faults = Faults::default();
        for _ in 0..100 {
            faults.of_body(&settings);
        }
        assert_eq!(faults.injected, BTreeMap::from([(Fault::Cut, 18), (Fault::Stall, 10)]));
        assert_eq!(faults.of_request(&settings), None);
    }
}
