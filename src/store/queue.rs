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
mod tests {
    use super::*;

    fn enter(queue: &mut Queue, urgency: Urgency) -> Ticket {
        let ticket = queue.ticket(urgency);
        queue.wait(ticket);
        ticket
    }

    fn admitted(queue: &mut Queue) -> Vec<Place> {
        std::iter::from_fn(|| queue.admit()).collect()
    }

    /// A round of as many requests as fit, of which `refused` says whether the number (from 0) of so many is.
    fn round(queue: &mut Queue, refused: impl Fn(usize, usize) -> bool) {
        for _ in 0..queue.turns().width.max(ROUND as usize) {
            enter(queue, Urgency::Demand);
        }
        let before = queue.round;
        while queue.round == before {
            let places = admitted(queue);
            for (number, place) in places.iter().enumerate() {
                queue.end(*place);
                queue.answered(*place, refused(number, places.len()));
            }
        }
        queue.demand.clear();
    }

    #[test]
    fn demand_is_served_before_read_ahead_and_each_in_its_order() {
        let mut queue = Queue::new(1);
        let first = enter(&mut queue, Urgency::Demand);
        let under_way = queue.admit().unwrap();
        assert_eq!(under_way.ticket, first);
        let ahead = [enter(&mut queue, Urgency::Ahead), enter(&mut queue, Urgency::Ahead)];
        let demand = [enter(&mut queue, Urgency::Demand), enter(&mut queue, Urgency::Demand)];
        assert_eq!(queue.turns(), Turns { demand: 2, ahead: 2, in_flight: 1, width: 1 });
        let (mut order, mut place) = (Vec::new(), under_way);
        loop {
            assert_eq!(queue.admit(), None);
            queue.end(place);
            let Some(next) = queue.admit() else { break };
            order.push(next.ticket);
            place = next;
        }
        assert_eq!(order, [demand[0], demand[1], ahead[0], ahead[1]]);
        assert_eq!(queue.turns(), Turns { width: 1, ..Turns::default() });
    }

    #[test]
    fn a_repeated_request_goes_before_those_that_came_since() {
        let mut queue = Queue::new(1);
        let early = enter(&mut queue, Urgency::Demand);
        let place = queue.admit().unwrap();
        let late = enter(&mut queue, Urgency::Demand);
        queue.wait(place.ticket);
        queue.end(place);
        assert_eq!(queue.admit().map(|place| place.ticket), Some(early));
        assert!(queue.leave(late) && !queue.leave(late));
    }

    #[test]
    fn a_request_that_is_repeated_stays_unless_somebody_comes_first_or_the_queue_was_narrowed() {
        let mut queue = Queue::new(16);
        for _ in 0..20 {
            enter(&mut queue, Urgency::Ahead);
        }
        let ahead = admitted(&mut queue);
        assert!(ahead.len() == 14 && queue.stays(ahead[13]));
        // A reader who waits comes before what is read ahead, ...
        enter(&mut queue, Urgency::Demand);
        assert!(!queue.stays(ahead[0]));
        let reader = queue.admit().unwrap();
        // ... and what is read ahead does not come before a reader, however long it has waited.
        assert!(queue.stays(reader) && queue.stays(ahead[13]));
        let first = ahead[13].ticket;
        queue.end(ahead[13]);
        queue.wait(first);
        assert!(queue.stays(ahead[12]));
        queue.wait(Ticket { number: 0, ahead: true });
        assert!(!queue.stays(ahead[12]) && queue.stays(reader));
        queue.width = NARROWEST;
        assert!(!queue.stays(ahead[0]) && !queue.stays(reader));
        // Its answer counts in the round in which it was repeated.
        queue.round += 1;
        let again = queue.anew(ahead[0]);
        queue.answered(ahead[0], true);
        assert_eq!(queue.refused, 0);
        queue.answered(again, true);
        assert_eq!((queue.refused, again.ticket), (1, ahead[0].ticket));
    }

    #[test]
    fn read_ahead_leaves_places_for_readers() {
        let mut queue = Queue::new(64);
        for _ in 0..100 {
            enter(&mut queue, Urgency::Ahead);
        }
        let places = admitted(&mut queue);
        assert_eq!(places.len(), 56);
        enter(&mut queue, Urgency::Demand);
        assert_eq!(admitted(&mut queue).len(), 1);
        // Where there is only one place, there is none to keep.
        let mut queue = Queue::new(1);
        enter(&mut queue, Urgency::Ahead);
        assert_eq!(admitted(&mut queue).len(), 1);
    }

    #[test]
    fn read_ahead_gets_a_small_share_however_many_readers_there_are() {
        let mut queue = Queue::new(16);
        for _ in 0..16 {
            enter(&mut queue, Urgency::Demand);
        }
        let mut places = admitted(&mut queue);
        for _ in 0..3 {
            enter(&mut queue, Urgency::Ahead);
        }
        let mut order = Vec::new();
        for _ in 0..48 {
            enter(&mut queue, Urgency::Demand);
            queue.end(places.remove(0));
            let place = queue.admit().unwrap();
            order.push(place.ticket.ahead);
            places.push(place);
        }
        let turns: Vec<usize> = order.iter().enumerate().filter(|(_, ahead)| **ahead).map(|(at, _)| at).collect();
        assert_eq!(turns, [15, 31, 47]);
    }

    #[test]
    fn a_busy_service_is_asked_by_fewer_once_a_round_and_by_four_at_least() {
        let mut queue = Queue::new(64);
        let capacity = |of: usize| move |number: usize, _: usize| number >= of;
        let mut widths = Vec::new();
        for _ in 0..6 {
            round(&mut queue, capacity(4));
            widths.push(queue.turns().width);
        }
        assert_eq!(widths, [32, 16, 8, 4, 5, 4]);
        for _ in 0..100 {
            round(&mut queue, |_, _| false);
        }
        assert_eq!(queue.turns().width, 64);
        // Answers to what began before say nothing more.
        for _ in 0..64 {
            enter(&mut queue, Urgency::Demand);
        }
        for place in admitted(&mut queue) {
            queue.end(place);
            for _ in 0..4 {
                queue.answered(place, true);
            }
        }
        assert_eq!(queue.turns().width, 32);
    }

    #[test]
    fn a_service_that_refuses_a_share_of_all_is_asked_as_before() {
        let mut queue = Queue::new(64);
        let mut widths = Vec::new();
        for _ in 0..5 {
            round(&mut queue, |number, _| number % 4 == 3);
            widths.push(queue.turns().width);
        }
        assert_eq!(widths, [32, 64, 64, 64, 64]);
        // When it gets worse, that is tried again.
        round(&mut queue, |number, _| number % 2 == 1);
        assert_eq!(queue.turns().width, 32);
    }

    #[test]
    fn few_that_are_refused_by_chance_narrow_nothing_and_a_service_that_has_too_much_to_do_is_still_noticed() {
        let mut queue = Queue::new(64);
        let few = |queue: &mut Queue, at_once: usize, refused: fn(usize) -> bool| {
            let before = queue.round;
            let mut number = 0;
            while queue.round == before {
                for _ in 0..at_once {
                    enter(queue, Urgency::Demand);
                }
                for place in admitted(queue) {
                    queue.end(place);
                    queue.answered(place, refused(number));
                    number += 1;
                }
            }
        };
        few(&mut queue, 8, |number| number % 4 == 3);
        few(&mut queue, 16, |number| number % 4 == 3);
        round(&mut queue, |number, _| number % 4 == 3);
        assert_eq!((queue.turns().width, queue.last), (64, Last::Borne { share: 0.25 }));
        // More of it by chance, ...
        few(&mut queue, 16, |number| number % 2 == 1);
        assert_eq!(queue.turns().width, 64);
        // ... and more since so many ask.
        round(&mut queue, |number, _| number >= 32);
        assert_eq!(queue.turns().width, 32);
        // Of few that ask, most are refused.
        let mut queue = Queue::new(64);
        few(&mut queue, 8, |number| number % 4 != 3);
        assert_eq!(queue.turns().width, 32);
    }

    #[test]
    fn a_queue_that_was_narrowed_is_soon_as_wide_as_before() {
        let mut queue = Queue::new(64);
        queue.width = NARROWEST;
        let mut rounds = 0;
        while queue.turns().width < 64 {
            round(&mut queue, |_, _| false);
            rounds += 1;
        }
        assert_eq!(rounds, 25);
    }

    #[test]
    fn a_service_that_grants_so_many_a_second_is_asked_by_fewer() {
        let mut queue = Queue::new(64);
        // Of 64 at a time it grants 8, of 32 again 8, and so on.
        for width in [32, 16, 8] {
            round(&mut queue, |number, _| number >= 8);
            assert_eq!(queue.turns().width, width);
        }
        round(&mut queue, |number, _| number >= 8);
        assert_eq!(queue.turns().width, 9);
    }

    #[test]
    fn a_rare_refusal_changes_nothing() {
        let mut queue = Queue::new(64);
        round(&mut queue, |number, _| number == 3);
        assert_eq!(queue.turns().width, 64);
    }

    #[test]
    fn a_reader_finds_a_place_in_a_queue_that_was_just_narrowed() {
        let mut queue = Queue::new(64);
        for _ in 0..100 {
            enter(&mut queue, Urgency::Ahead);
        }
        let places = admitted(&mut queue);
        queue.width = NARROWEST;
        assert!(queue.admit().is_none());
        let reader = enter(&mut queue, Urgency::Demand);
        enter(&mut queue, Urgency::Demand);
        assert_eq!(queue.admit().map(|place| place.ticket), Some(reader));
        assert!(queue.admit().is_none());
        for place in places {
            queue.end(place);
        }
        assert_eq!(admitted(&mut queue).len(), 3);
    }
}
