//! What was asked, and when: every request with the times of its arrival and of its answer.
//!
//! From these times follows how many round trips a client needed one after another ([`chain`]) and how many requests it
//! had in flight. `control` gives the ledger out as JSON.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

/// Requests kept: more than any test makes; older ones are counted but forgotten.
const KEPT: usize = 200_000;

/// The status of a request whose client hung up before it was answered. Nothing can have waited for it.
pub const GIVEN_UP: u16 = 499;

/// One request.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The method, or LIST.
    pub method: String,
    /// The bucket.
    pub bucket: String,
    /// The key; for a LIST its prefix.
    pub key: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// Which condition it bore (`If-Match` or `If-None-Match`, with its value).
    pub condition: Option<String>,
    /// The status it was answered with; 0 while it is not.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Microseconds from the ledger's beginning to the arrival.
    pub arrived: u64,
    /// And to the answer.
    pub answered: u64,
}

/// Sums over all requests since the last reset.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sums {
    /// Requests.
    pub requests: u64,
    /// Bytes of bodies sent.
    pub bytes_down: u64,
    /// Most requests at one time.
    pub peak_in_flight: u64,
    /// Requests one after another that each waited for the one before, at most.
    pub chain: usize,
    /// Milliseconds from the first arrival to the last answer.
    pub wall_ms: f64,
    /// Requests by method.
    pub by: BTreeMap<String, u64>,
    /// Requests by status.
    pub by_status: BTreeMap<u16, u64>,
}

/// The record of a server.
#[derive(Debug)]
pub struct Ledger {
    begun: Instant,
    /// Of the period before a reset; an answer to it is not counted in the next.
    period: u64,
    entries: Vec<Entry>,
    dropped: u64,
    in_flight: u64,
    sums: Sums,
}

/// Names a request that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    period: u64,
    at: Option<usize>,
}

impl Default for Ledger {
    fn default() -> Self {
        let sums = Sums::default();
        Self { begun: Instant::now(), period: 0, entries: Vec::new(), dropped: 0, in_flight: 0, sums }
    }
}

impl Entry {
    /// A request that has just come, with neither range nor condition.
    pub fn new(method: &str, bucket: &str, key: &str) -> Self {
        let (method, bucket, key) = (method.to_owned(), bucket.to_owned(), key.to_owned());
        Self { method, bucket, key, range: None, condition: None, status: 0, bytes: 0, arrived: 0, answered: 0 }
    }
}

impl Ledger {
    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self { period: self.period + 1, ..Self::default() };
    }

    /// A request has come.
    pub fn arrive(&mut self, mut entry: Entry) -> Ticket {
        entry.arrived = self.now();
        self.sums.requests += 1;
        *self.sums.by.entry(entry.method.clone()).or_default() += 1;
        self.in_flight += 1;
        self.sums.peak_in_flight = self.sums.peak_in_flight.max(self.in_flight);
        let at = (self.entries.len() < KEPT).then_some(self.entries.len());
        match at {
            Some(_) => self.entries.push(entry),
            None => self.dropped += 1,
        }
        Ticket { period: self.period, at }
    }

    /// Its answer is about to leave.
    pub fn answer(&mut self, ticket: Ticket, status: u16, bytes: u64) {
        if ticket.period != self.period {
            return;
        }
        self.in_flight -= 1;
        self.sums.bytes_down += bytes;
        *self.sums.by_status.entry(status).or_default() += 1;
        let now = self.now();
        if let Some(entry) = ticket.at.and_then(|at| self.entries.get_mut(at)) {
            (entry.status, entry.bytes, entry.answered) = (status, bytes, now);
        }
    }

    /// Sums of what was answered so far.
    pub fn sums(&self) -> Sums {
        let done = || self.entries.iter().filter(|entry| !matches!(entry.status, 0 | GIVEN_UP));
        let first = done().map(|entry| entry.arrived).min().unwrap_or(0);
        let last = done().map(|entry| entry.answered).max().unwrap_or(0);
        let mut sums = self.sums.clone();
        sums.chain = chain(done().map(|entry| (entry.arrived, entry.answered)).collect());
        sums.wall_ms = (last - first) as f64 / 1000.0;
        sums
    }

    /// All requests that are kept.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The most spans of time of which none begins before the one before it has ended.
///
/// That is how many requests can have waited for each other: one that arrived before another was answered cannot have
/// needed that answer.
pub fn chain(mut spans: Vec<(u64, u64)>) -> usize {
    // Always taking the span that ends first leaves the most room for the others.
    spans.sort_by_key(|span| span.1);
    let mut free = 0;
    let mut found = 0;
    for (begin, end) in spans {
        if found == 0 || begin >= free {
            found += 1;
            free = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str) -> Entry {
        Entry::new("GET", "b", key)
    }

    #[test]
    fn a_chain_counts_what_can_have_waited() {
        assert_eq!(chain(vec![]), 0);
        assert_eq!(chain(vec![(0, 20), (1, 21), (2, 22)]), 1);
        assert_eq!(chain(vec![(0, 20), (20, 40), (41, 61), (5, 25)]), 3);
        // Sixty-four at a time, two hundred of them: four trips.
        assert_eq!(chain((0..200).map(|i| (i / 64 * 20, i / 64 * 20 + 20)).collect()), 4);
        // One long request beside three short ones.
        assert_eq!(chain(vec![(0, 100), (0, 20), (30, 50), (60, 80)]), 3);
    }

    #[test]
    fn a_reset_forgets_what_was_under_way() {
        let mut ledger = Ledger::default();
        let old = ledger.arrive(entry("old"));
        ledger.reset();
        let new = ledger.arrive(entry("new"));
        ledger.answer(old, 200, 5);
        ledger.answer(new, 206, 7);
        let sums = ledger.sums();
        assert_eq!((sums.requests, sums.bytes_down, sums.peak_in_flight, sums.chain), (1, 7, 1, 1));
        assert_eq!(sums.by_status, BTreeMap::from([(206, 1)]));
        assert_eq!(ledger.entries()[0].key, "new");
    }
}
