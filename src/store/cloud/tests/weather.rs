//! Under load and in bad weather: what is given up, what is not, and whose clock runs.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::store::pace::Awaited;
use crate::store::retry::Fault;
use attempts::Then;

const LONG: &[u8] = &[7; 200_000];
const STALL: Duration = Duration::from_secs(60);

/// A store of one object, with the deadline of a real one, that has answered often and quickly.
async fn quick(server: &Server) -> Store {
    let settings = StoreSettings { cloud_deadline: STALL, ..settings(access(server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    for _ in 0..20 {
        store.get(&Key::new("a")).await.unwrap();
    }
    store
}

/// A bucket without a wire, of a service that is known.
fn known() -> Cloud {
    let cloud = Cloud::of(Arc::new(object_store::memory::InMemory::new()), Duration::from_secs(60));
    cloud.prove();
    cloud
}

fn failed(cloud: &Cloud, fault: Fault, gained: bool) -> Failure {
    let error = StoreError::Unreachable { location: cloud.location(&Key::new("a")), reason: "no".to_owned() };
    Failure { error, then: Then::Again(fault), unsaid: false, gained }
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up_soon_and_its_rest_asked_for() {
    let s3 = S3::of(&[("a", LONG)]);
    let whole = s3.clone();
    let server = faulty(&s3, move |request, number| (number == 20).then(|| whole.answer(request).hang(70_000))).await;
    let store = quick(&server).await;
    let (before, began) = (store.counters(), Instant::now());
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], LONG);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let counted = store.counters().since(before);
    assert_eq!((counted.sent, counted.retries, counted.abandoned, counted.abandoned_bytes), (2, 1, 1, 70_000));
    let rest = server.log().pop().unwrap();
    assert_eq!((rest.header("range"), rest.header("if-match")), ("bytes=70000-199999", etag(LONG).as_str()));
    assert_eq!(store.turns().in_flight, 0);
}

#[tokio::test]
async fn a_body_whose_bytes_keep_coming_is_waited_for_however_slow_it_is() {
    let s3 = S3::of(&[("a", LONG)]);
    let whole = s3.clone();
    let apart = Duration::from_millis(60);
    let server =
        faulty(&s3, move |request, number| (number == 20).then(|| whole.answer(request).drip(20_000, apart))).await;
    let store = quick(&server).await;
    let (before, began) = (store.counters(), Instant::now());
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], LONG);
    let counted = store.counters().since(before);
    assert_eq!((counted.sent, counted.retries, counted.abandoned), (1, 0, 0));
    assert!(began.elapsed() > Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_becomes_slow_is_not_stormed() {
    let (cloud, key) = (known(), Key::new("a"));
    for _ in 0..600 {
        cloud.weather.note(Awaited::Head, Duration::from_millis(20));
    }
    let attempts = AtomicU32::new(0);
    let ask = || {
        cloud.ask(&key, None, |_, waits| {
            attempts.fetch_add(1, Ordering::Relaxed);
            let cloud = &cloud;
            async move {
                let (began, slow) = (Instant::now(), tokio::time::sleep(Duration::from_secs(2)));
                let came = cloud.weather.wait(Awaited::Head, &waits, slow).await;
                came.map_err(|given_up| failed(cloud, given_up.fault(), false))?;
                cloud.weather.note(Awaited::Head, began.elapsed());
                Ok(())
            }
            .boxed()
        })
    };
    for repeated in [16, 0] {
        attempts.store(0, Ordering::Relaxed);
        let answers = futures::future::join_all((0..200).map(|_| ask())).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(attempts.load(Ordering::Relaxed), 200 + repeated);
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_a_request_stands_still_while_it_waits_for_its_turn() {
    let (cloud, key) = (known(), Key::new("a"));
    let permits = Permits::new(1, Duration::from_secs(180));
    let permit = permits.turn(Urgency::Demand).await.unwrap();
    let attempts = AtomicU32::new(0);
    let asked = cloud.ask(&key, Some(permit), |_, waits| {
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        let cloud = &cloud;
        async move {
            if first {
                return Err(failed(cloud, Fault::Cut, false));
            }
            let answer = tokio::time::sleep(Duration::from_secs(1));
            let came = cloud.weather.wait(Awaited::Other, &waits, answer).await;
            came.map_err(|given_up| failed(cloud, given_up.fault(), false))
        }
        .boxed()
    });
    // Others, whose turn came meanwhile, take longer than a request may.
    let others = async {
        let permit = permits.turn(Urgency::Demand).await.unwrap();
        tokio::time::sleep(Duration::from_secs(100)).await;
        drop(permit);
    };
    let (asked, ()) = tokio::join!(asked, others);
    assert!(asked.is_ok(), "{asked:?}");
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    assert_eq!(permits.turns().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_began_before_the_first_answer_has_the_whole_deadline_after_it() {
    let cloud = Cloud::of(Arc::new(object_store::memory::InMemory::new()), Duration::from_secs(60));
    let cloud = Cloud { first_deadline: Duration::from_secs(10), ..cloud };
    let (key, began) = (Key::new("a"), Instant::now());
    let unlucky = cloud.ask(&key, None, |_, _| {
        let cloud = &cloud;
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            match began.elapsed() < Duration::from_secs(30) {
                true => Err(failed(cloud, Fault::Late, false)),
                false => Ok(()),
            }
        }
        .boxed()
    });
    let other = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cloud.prove();
    };
    let (unlucky, ()) = tokio::join!(unlucky, other);
    assert!(unlucky.is_ok(), "{unlucky:?}");
}

#[tokio::test(start_paused = true)]
async fn what_brings_more_each_time_is_repeated_without_growing_waits() {
    for gained in [true, false] {
        let (cloud, key, began) = (known(), Key::new("a"), Instant::now());
        let attempts = AtomicU32::new(0);
        let asked = cloud.ask(&key, None, |_, _| {
            let last = attempts.fetch_add(1, Ordering::Relaxed) == 30;
            let failure = failed(&cloud, Fault::Cut, gained);
            async move { if last { Ok(()) } else { Err(failure) } }.boxed()
        });
        let done = asked.await.is_ok();
        assert_eq!(began.elapsed() < Duration::from_secs(2), gained);
        assert!(done || !gained);
    }
}

#[tokio::test]
async fn a_service_with_too_much_to_do_is_asked_by_fewer_at_a_time() {
    use std::sync::atomic::AtomicUsize;
    let busy = Arc::new(AtomicUsize::new(0));
    let (s3, asked) = (S3::of(&[("a", b"x")]), Arc::clone(&busy));
    let server = faulty(&s3, move |_, _| {
        // Each refuses until so many are; then all is well.
        (asked.fetch_add(1, Ordering::Relaxed) < 64).then(|| Reply::error(503, "SlowDown"))
    })
    .await;
    let store = store(&server).await;
    let key = Key::new("a");
    let read = futures::future::join_all((0..64).map(|_| store.get(&key))).await;
    assert!(read.iter().all(Result::is_ok));
    assert_eq!(busy.load(Ordering::Relaxed), 128);
    let turns = store.turns();
    assert!((32..64).contains(&turns.width), "{turns:?}");
    assert_eq!((turns.demand, turns.ahead, turns.in_flight), (0, 0, 0));
}
