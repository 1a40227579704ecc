//! Who is admitted, and when a queue is narrowed.

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
