//! A reader who reads ahead of a service in bad weather, in simulated time: how much longer it takes him, and how many requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::*;
use crate::store::pace::{Allowance, Awaited, Pace};
use crate::store::retry::{self, Fault, Step};

/// What is read: so many pieces, the first few at a time, and always as many ahead as were used before.
const PIECES: usize = 512;
const FIRST: usize = 4;
const AHEAD: usize = 128;
/// A round trip, and what a piece takes on the line behind it, which all share.
const ROUND_TRIP: Duration = Duration::from_millis(20);
const LINE: Duration = Duration::from_micros(1000);
const DEADLINE: Duration = Duration::from_secs(60);

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It has come to the service.
    Asked(Place, usize),
    /// It was answered, with its piece or (`false`) not.
    Answered(Place, usize, bool),
    /// It is repeated, in the place that it has kept or (`None`) in another.
    Again(Ticket, Option<Place>, usize),
}

/// The service: which of its requests, by their number, are refused while so many are under way.
type Service<'a> = &'a mut dyn FnMut(usize, usize) -> bool;

struct Reading<'a> {
    service: Service<'a>,
    queue: Queue,
    pace: Pace,
    haste: Allowance,
    random: fastrand::Rng,
    now: Duration,
    /// By their time, and those of one time in the order in which they were told of.
    events: BTreeMap<(Duration, usize), Event>,
    told: usize,
    tickets: HashMap<Ticket, usize>,
    refused: Vec<u32>,
    here: BTreeSet<usize>,
    asked: usize,
    used: usize,
    line: Duration,
    requests: usize,
    most: usize,
}

impl Reading<'_> {
    fn at(&mut self, after: Duration, event: Event) {
        self.told += 1;
        self.events.insert((self.now + after, self.told), event);
    }

    fn admit(&mut self) {
        while let Some(place) = self.queue.admit() {
            if let Some(piece) = self.tickets.remove(&place.ticket) {
                self.send(place, piece);
            }
        }
    }

    fn send(&mut self, place: Place, piece: usize) {
        self.requests += 1;
        self.at(ROUND_TRIP / 2, Event::Asked(place, piece));
    }

    fn want(&mut self) {
        let ahead = self.used.clamp(FIRST, AHEAD);
        while self.asked < PIECES.min(self.used + ahead) {
            let ticket = self.queue.ticket(Urgency::Ahead);
            self.tickets.insert(ticket, self.asked);
            self.queue.wait(ticket);
            self.asked += 1;
        }
        self.admit();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Asked(place, piece) => {
                let in_flight = self.queue.turns().in_flight;
                self.most = self.most.max(in_flight);
                let refused = (self.service)(self.requests, in_flight);
                let wait = if refused {
                    ROUND_TRIP / 2
                } else {
                    self.line = self.line.max(self.now + ROUND_TRIP / 2) + LINE;
                    self.line - self.now
                };
                self.at(wait, Event::Answered(place, piece, !refused));
            }
            Event::Answered(place, piece, true) => {
                self.pace.note(Awaited::Head, ROUND_TRIP);
                self.haste.earn();
                self.queue.answered(place, false);
                self.queue.end(place);
                self.here.insert(piece);
                while self.here.remove(&self.used) {
                    self.used += 1;
                }
                self.want();
            }
            Event::Answered(place, piece, false) => {
                self.queue.answered(place, true);
                let first = retry::first(Fault::Busy(None), self.pace.round_trip(), self.haste.pay());
                let refused = self.refused[piece];
                self.refused[piece] += 1;
                let random = self.random.f64();
                let step = retry::next(refused, Fault::Busy(None), first, Duration::ZERO, DEADLINE, random);
                let Step::Wait(wait) = step else { panic!("gave up") };
                let stays = wait <= retry::brief(self.pace.round_trip()) && self.queue.stays(place);
                if !stays {
                    self.queue.end(place);
                }
                self.at(wait, Event::Again(place.ticket, stays.then_some(place), piece));
                self.admit();
            }
            Event::Again(_, Some(place), piece) => self.send(self.queue.anew(place), piece),
            Event::Again(ticket, None, piece) => {
                self.tickets.insert(ticket, piece);
                self.queue.wait(ticket);
                self.admit();
            }
        }
    }
}

/// How long all of it takes, in how many requests, and the most of them at a time.
fn read(seed: u64, service: Service<'_>) -> (Duration, usize, usize) {
    let mut reading = Reading {
        service,
        queue: Queue::new(64),
        pace: Pace::default(),
        // As the weather of a store has it.
        haste: Allowance::new(1, 32),
        random: fastrand::Rng::with_seed(seed),
        now: Duration::ZERO,
        events: BTreeMap::new(),
        told: 0,
        tickets: HashMap::new(),
        refused: vec![0; PIECES],
        here: BTreeSet::new(),
        asked: 0,
        used: 0,
        line: Duration::ZERO,
        requests: 0,
        most: 0,
    };
    reading.want();
    while let Some(((time, _), event)) = reading.events.pop_first() {
        reading.now = time;
        reading.happen(event);
    }
    assert_eq!(reading.used, PIECES);
    (reading.now, reading.requests, reading.most)
}

/// The time in the middle of many runs, over that in good weather.
fn slower(service: impl Fn(u64) -> Box<dyn FnMut(usize, usize) -> bool>) -> f64 {
    let (calm, requests, _) = read(0, &mut |_, _| false);
    assert_eq!(requests, PIECES);
    let mut times: Vec<Duration> = (0..51).map(|seed| read(seed, &mut *service(seed)).0).collect();
    times.sort();
    times[25].as_secs_f64() / calm.as_secs_f64()
}

#[test]
fn a_service_that_refuses_every_fourth_request_costs_a_third_in_requests_and_in_time() {
    let every_fourth = |_| -> Box<dyn FnMut(usize, usize) -> bool> {
        let mut count = 0;
        Box::new(move |_, _| {
            count += 1;
            count % 4 == 0
        })
    };
    let ratio = slower(every_fourth);
    assert!(ratio <= 1.35, "{ratio}");
    let (_, requests, _) = read(1, &mut *every_fourth(1));
    assert_eq!(requests, PIECES + (PIECES - 1) / 3);
    let by_chance = |seed| -> Box<dyn FnMut(usize, usize) -> bool> {
        let mut random = fastrand::Rng::with_seed(1000 + seed);
        Box::new(move |_, _| random.f64() < 0.2)
    };
    let ratio = slower(by_chance);
    assert!(ratio <= 1.25, "{ratio}");
}

#[test]
fn a_service_that_does_so_many_at_a_time_is_not_stormed() {
    for capacity in [8, 16, 32] {
        let (_, requests, most) = read(1, &mut |_, in_flight| in_flight > capacity);
        println!("{capacity} at a time: {requests} requests, {most} at most");
        assert!(requests <= PIECES * 3 / 2 && most <= 64, "{capacity}: {requests}");
    }
}
