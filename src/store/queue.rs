//! Whose turn it is to ask a store, and how many may ask at a time: a state machine without a runtime or a clock.
//!
//! [`Permits`](super::permits) keeps one for each store and wakes whoever is admitted. Those that wait are served demand
//! before read-ahead, and in the order in which they came; a request that is repeated keeps its first number, so that it
//! is not behind all that came since. The last places are never taken by read-ahead, whose bodies may be long.
//!
//! A service that has too much to do is asked by fewer at a time. Answers are counted in rounds, each as long as
//! there are requests in flight, so that one moment of trouble narrows the queue once. A narrower queue that is told "too
//! busy" as often as the wider one was is no remedy: some services refuse a share of all requests, however few there are.

use std::collections::BTreeSet;

use super::Urgency;

/// The queue is never narrower: with fewer requests at a time a service that has recovered would be noticed late, and
/// nothing that still works is overrun by four.
const NARROWEST: usize = 4;
/// Of the places, one in so many is kept from read-ahead: a reader who waits finds one free at once, and read-ahead does
/// not miss it.
const KEPT: usize = 8;
/// While both wait, one place in so many goes to read-ahead all the same: a reader may have come to wait for just that
/// answer, and nobody waits for ever.
const SHARE: u32 = 16;
/// Answers in a round, at least: fewer would make a rule of one refusal.
const ROUND: u32 = 16;
/// A round is one of trouble where more than one answer in so many was "too busy". Services refuse one in hundreds on the
/// best of days.
const RARE: u32 = 16;
/// Narrowing helped where at most so large a part of the refusals is left, ...
const HELPED: f64 = 0.5;
/// ... or where granted answers became so much more frequent. A service that grants so many at a time, or a second, and refuses
/// all others grants twice as large a share of half as many requests, or all; one that refuses by chance, the same. This lies
/// midway, since rounds are short and chance has much to say.
const MORE: f64 = 1.5;
/// A share of refusals that is larger than the one that is borne by so many standard deviations is no chance: it happens by
/// itself in one round of a hundred.
const CHANCE: f64 = 2.5;
/// A round in which more was refused than this is taken for a sign of too much to do, however few were asked at a time.
const MOST: f64 = 0.5;
/// While all is well, or no better if fewer are asked, the queue grows by this part of its width a round, by one at least.
const GROWTH: usize = 8;

/// A request's place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    number: u64,
    ahead: bool,
}

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its place in the order, should it have to wait again.
    pub ticket: Ticket,
    /// In which round it began.
    round: u64,
}

/// What waits and what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Requests that wait for their turn and that somebody waits for.
    pub demand: usize,
    /// Requests that wait for their turn and read ahead.
    pub ahead: usize,
    /// Requests under way.
    pub in_flight: usize,
    /// How many may be under way at the moment.
    pub width: usize,
}

/// Who is next.
#[derive(Debug)]
pub struct Queue {
    most: usize,
    width: usize,
    demand: BTreeSet<Ticket>,
    ahead: BTreeSet<Ticket>,
    in_flight: usize,
    ahead_in_flight: usize,
    next: u64,
    /// Admissions of demand since the last of read-ahead, while that waited.
    passed: u32,
    /// Grows when a round ends: answers to what began before say nothing of the round that follows.
    round: u64,
    answers: u32,
    refused: u32,
    /// Most requests in flight during the round.
    peak: usize,
    last: Last,
}

/// What was done at the end of the last round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    /// Nothing, or the queue grew.
    Grew,
    /// It was narrowed from `width`, when this share of the answers was "too busy".
    Narrowed { width: usize, share: f64 },
    /// Narrowing had been no remedy against this share of refusals, or could be none, and it is borne.
    Borne { share: f64 },
}

impl Queue {
    /// A queue in which at most `most` requests are under way.
    pub fn new(most: usize) -> Queue {
        let most = most.max(1);
        Queue {
            most,
            width: most,
            demand: BTreeSet::new(),
            ahead: BTreeSet::new(),
            in_flight: 0,
            ahead_in_flight: 0,
            next: 0,
            passed: 0,
            round: 0,
            answers: 0,
            refused: 0,
            peak: 0,
            last: Last::Grew,
        }
    }

    /// The place in the order of a request that comes now.
    pub fn ticket(&mut self, urgency: Urgency) -> Ticket {
        self.next += 1;
        Ticket { number: self.next, ahead: urgency == Urgency::Ahead }
    }

    /// `ticket` waits for its turn.
    pub fn wait(&mut self, ticket: Ticket) {
        self.waiting(ticket).insert(ticket);
    }

    /// `ticket` does not wait any more. Whether it did.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        self.waiting(ticket).remove(&ticket)
    }

    fn waiting(&mut self, ticket: Ticket) -> &mut BTreeSet<Ticket> {
        if ticket.ahead { &mut self.ahead } else { &mut self.demand }
    }

    /// Who may begin now, if anybody. To be asked until there is nobody.
    pub fn admit(&mut self) -> Option<Place> {
        let kept = self.kept();
        // What is kept is kept in a queue that was just narrowed, too, while many read-ahead are still under way.
        let held = self.in_flight - self.ahead_in_flight < kept && self.in_flight < self.most;
        let free = self.in_flight < self.width;
        let room = free && self.ahead_in_flight < (self.width - kept).max(1);
        let due = room && self.passed >= SHARE - 1;
        let ticket = match (self.demand.first().copied(), self.ahead.first().copied()) {
            (Some(demand), ahead) if (free || held) && !(due && ahead.is_some()) => {
                self.passed += u32::from(room && ahead.is_some());
                demand
            }
            (_, Some(ahead)) if room => {
                self.passed = 0;
                ahead
            }
            _ => return None,
        };
        self.leave(ticket);
        self.in_flight += 1;
        self.ahead_in_flight += usize::from(ticket.ahead);
        self.peak = self.peak.max(self.in_flight);
        Some(Place { ticket, round: self.round })
    }

    /// Whether the request at `place` would be admitted again at once, were it to leave: there is room for it, and nobody
    /// waits who comes first.
    pub fn stays(&self, place: Place) -> bool {
        let ahead_most = self.width.saturating_sub(self.kept()).max(1);
        let room = self.in_flight <= self.width && (!place.ticket.ahead || self.ahead_in_flight <= ahead_most);
        let before = if place.ticket.ahead { self.demand.first().or(self.ahead.first()) } else { self.demand.first() };
        let first = before.is_none_or(|first| *first > place.ticket && first.ahead == place.ticket.ahead);
        room && first
    }

    /// The request at `place` is repeated where it is: its answer counts in the round that it is repeated in.
    pub fn anew(&self, place: Place) -> Place {
        Place { round: self.round, ..place }
    }

    /// Places that read-ahead leaves free.
    fn kept(&self) -> usize {
        (self.width / KEPT).max(1)
    }

    /// The request at `place` is not under way any more.
    pub fn end(&mut self, place: Place) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.ahead_in_flight = self.ahead_in_flight.saturating_sub(usize::from(place.ticket.ahead));
    }

    /// The service answered the request at `place`; `busy`: that it has too much to do.
    pub fn answered(&mut self, place: Place, busy: bool) {
        if place.round != self.round {
            return;
        }
        self.answers += 1;
        self.refused += u32::from(busy);
        if self.answers >= ROUND.max(u32::try_from(self.peak).unwrap_or(u32::MAX)) {
            self.judge();
        }
    }

    /// What waits and what is under way.
    pub fn turns(&self) -> Turns {
        let (demand, ahead) = (self.demand.len(), self.ahead.len());
        Turns { demand, ahead, in_flight: self.in_flight, width: self.width }
    }

    fn grow(&mut self) {
        self.width = (self.width + (self.width / GROWTH).max(1)).min(self.most);
    }

    /// Ends a round.
    fn judge(&mut self) {
        let share = f64::from(self.refused) / f64::from(self.answers.max(1));
        let troubled = self.refused.saturating_mul(RARE) > self.answers;
        self.last = match self.last {
            _ if !troubled => {
                self.grow();
                Last::Grew
            }
            Last::Narrowed { width, share: before } if !helped(before, share) => {
                self.width = width;
                Last::Borne { share: share.max(before) }
            }
            Last::Borne { share: borne } if share <= borne + chance(borne, self.answers) => {
                self.grow();
                Last::Borne { share: borne }
            }
            // So few were asked at a time that half as wide a queue would have been no other.
            Last::Grew if self.peak <= self.width / 2 && share <= MOST => Last::Borne { share },
            _ => {
                let width = self.width;
                self.width = (width / 2).max(NARROWEST).min(self.most);
                Last::Narrowed { width, share }
            }
        };
        self.round += 1;
        (self.answers, self.refused, self.peak) = (0, 0, self.in_flight);
    }
}

/// How much more than `share` is refused by chance of so many answers.
fn chance(share: f64, answers: u32) -> f64 {
    CHANCE * (share * (1.0 - share) / f64::from(answers.max(1))).sqrt()
}

/// Whether refusals became fewer, or grants more frequent.
fn helped(before: f64, after: f64) -> bool {
    after <= before * HELPED || 1.0 - after >= (1.0 - before) * MORE
}

#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;
