//! What networks and services do for a moment, and what is made of it.

use super::*;

const LONG: &[u8] = &[7; 200_000];

#[tokio::test]
async fn a_busy_service_is_asked_again() {
    let s3 = S3::of(&[("a", b"x")]);
    let busy = [429, 500, 503];
    let server = faulty(&s3, move |_, number| busy.get(number).map(|status| Reply::error(*status, "SlowDown"))).await;
    let store = store(&server).await;
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    let counted = store.counters();
    assert_eq!((counted.gets, counted.sent, counted.retries), (1, 4, 3));
}

#[tokio::test]
async fn a_service_that_stays_busy_is_given_up_with_its_words() {
    let server = faulty(&S3::default(), |_, _| Some(Reply::error(503, "SlowDown"))).await;
    let store = store(&server).await;
    let began = Instant::now();
    let error = store.get(&Key::new("a")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { reason, .. } if reason == "SlowDown: told"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(7));
    assert!(store.counters().sent > 3);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_fetched_from_there_on() {
    let s3 = S3::of(&[("a", LONG)]);
    let whole = s3.clone();
    let server = faulty(&s3, move |request, number| (number < 3).then(|| whole.answer(request).cut(50_000))).await;
    let store = store(&server).await;
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], LONG);
    let log = server.log();
    let ranges: Vec<&str> = log.iter().map(|request| request.header("range")).collect();
    assert_eq!(ranges, ["", "bytes=50000-199999", "bytes=100000-199999", "bytes=150000-199999"]);
    assert!(log[1..].iter().all(|request| request.header("if-match") == etag(LONG)));
    let part = store.get_range(&Key::new("a"), 10..100_000, None).await.unwrap();
    assert_eq!(part.bytes.len(), 99_990);
}

#[tokio::test]
async fn an_object_that_is_rewritten_between_its_halves_is_read_anew_or_not_at_all() {
    const NEW: &[u8] = &[8; 100_000];
    for bound in [false, true] {
        let s3 = S3::of(&[("a", LONG)]);
        let other = s3.clone();
        let server = faulty(&s3, move |request, number| {
            let answer = other.answer(request).cut(50_000);
            (number == 0).then(|| {
                other.put("a", NEW);
                answer
            })
        })
        .await;
        let store = store(&server).await;
        let old = ETag::new(etag(LONG));
        let read = store.get_if(&Key::new("a"), bound.then_some(&old), 1 << 20).await;
        match bound {
            true => assert!(matches!(read, Err(StoreError::Changed { .. })), "{read:?}"),
            false => assert_eq!(&read.unwrap().bytes[..], NEW),
        }
    }
}

#[tokio::test]
async fn a_stalled_answer_is_asked_for_again() {
    let s3 = S3::of(&[("a", b"x")]);
    let whole = s3.clone();
    let stall = Duration::from_secs(60);
    let server = faulty(&s3, move |request, number| (number < 2).then(|| whole.answer(request).stall(stall))).await;
    let store = store(&server).await;
    let began = Instant::now();
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_that_stands_still_is_fetched_from_there_on() {
    let s3 = S3::of(&[("a", LONG)]);
    let whole = s3.clone();
    let server = faulty(&s3, move |request, number| (number == 0).then(|| whole.answer(request).hang(70_000))).await;
    let store = store(&server).await;
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], LONG);
    assert_eq!(server.log()[1].header("range"), "bytes=70000-199999");
}

#[tokio::test]
async fn a_service_that_never_answers_is_late_and_then_nobody_is_in_its_way() {
    let whole = S3::of(&[("b", b"x")]);
    let server = Server::start(move |request, _| match request.path().as_str() {
        "/bucket/a" => Reply::new(200, "").stall(Duration::from_secs(60)),
        _ => whole.answer(request),
    })
    .await;
    let settings = StoreSettings { in_flight: 1, cloud_deadline: Duration::from_secs(1), ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    let error = store.get(&Key::new("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout { .. }), "{error}");
    assert_eq!(&store.get(&Key::new("b")).await.unwrap().bytes[..], b"x");
}

#[tokio::test]
async fn a_service_that_is_away_comes_back() {
    let s3 = S3::of(&[("a", b"x")]);
    let server = sound(&s3).await;
    let gone = Access { s3: at("http://127.0.0.1:1"), ..access(&server) };
    let settings = StoreSettings { cloud_deadline: Duration::from_millis(300), ..settings(gone) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    let error = store.get(&Key::new("a")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreachable { reason, .. } if reason.contains("127.0.0.1:1")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_never_answered_is_given_up_sooner() {
    use crate::store::retry::Fault;
    use attempts::Then;
    // As long as nobody answers, soon; one that says it is busy is there; one that has answered is known.
    for (fault, known, least, most) in [
        (Fault::Unreachable, false, 4, 10),
        (Fault::Late, false, 4, 10),
        (Fault::Busy(None), false, 50, 60),
        (Fault::Unreachable, true, 50, 60),
    ] {
        let cloud = Cloud::of(Arc::new(object_store::memory::InMemory::new()), Duration::from_secs(60));
        let cloud = Cloud { first_deadline: Duration::from_secs(10), ..cloud };
        if known {
            cloud.prove();
        }
        let (key, began) = (Key::new("a"), Instant::now());
        let failed: Result<(), _> = cloud
            .ask(&key, None, |_, _| {
                let error = StoreError::Unreachable { location: cloud.location(&key), reason: "no".to_owned() };
                async move { Err(Failure { error, then: Then::Again(fault), unsaid: false, gained: false }) }.boxed()
            })
            .await;
        let took = began.elapsed().as_secs();
        assert!(failed.is_err() && (least..=most).contains(&took), "{fault:?} {known}: {took} s");
    }
}

#[tokio::test]
async fn a_quick_service_that_stalls_is_asked_again_soon() {
    let s3 = S3::of(&[("a", b"x")]);
    let whole = s3.clone();
    let stall = Duration::from_secs(60);
    let server = faulty(&s3, move |request, number| (number == 20).then(|| whole.answer(request).stall(stall))).await;
    let settings = StoreSettings { cloud_deadline: Duration::from_secs(60), ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    for _ in 0..20 {
        store.get(&Key::new("a")).await.unwrap();
    }
    let began = Instant::now();
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(store.counters().retries, 1);
}

#[tokio::test]
async fn wrong_lengths_are_never_read_as_an_object() {
    let s3 = S3::of(&[("a", b"0123456789")]);
    let tag = etag(b"0123456789");
    let lies: [(&str, Reply); 4] = [
        // More is promised than comes, and the connection stays open or is closed.
        ("short", Reply::new(200, "01234").with("content-length", "10").cut(5)),
        // A part that is another one, or says that it is.
        ("other", Reply::new(206, "234").with("content-range", "bytes 2-4/10")),
        ("longer", Reply::new(206, "0123").with("content-range", "bytes 0-3/10")),
        ("unsaid", Reply::new(206, "012")),
    ];
    for (name, lie) in lies {
        let lie = lie.with("etag", tag.clone());
        let server = faulty(&s3, move |request, number| {
            let fits = (request.header("range").is_empty()) == (lie.status == 200);
            (number == 0 && fits).then(|| lie.clone())
        })
        .await;
        let store = store(&server).await;
        let key = Key::new("a");
        let read = match name {
            "short" => store.get(&key).await.map(|object| object.bytes == b"0123456789"[..]),
            _ => store.get_range(&key, 0..3, None).await.map(|object| object.bytes == b"012"[..]),
        };
        assert!(matches!(read, Ok(true)), "{name}: {read:?}");
        assert_eq!(store.counters().retries, 1, "{name}");
    }
}

/// `reply` with the MD5 of `bytes` for a tag.
fn digested(reply: Reply, bytes: &[u8]) -> Reply {
    use md5::{Digest, Md5};
    let tag = format!("\"{:032x}\"", u128::from_be_bytes(Md5::digest(bytes).into()));
    let others = reply.headers.clone().into_iter().filter(|(name, _)| *name != "etag").collect();
    Reply { headers: others, ..reply }.with("etag", tag)
}

/// As [`digested`], for requests on condition of such a tag too.
fn answer_digested(s3: &S3, request: &Request, bytes: &[u8]) -> Reply {
    let mut request = request.clone();
    request.headers.remove("if-match");
    digested(s3.answer(&request), bytes)
}

#[tokio::test]
async fn half_an_object_that_says_it_is_whole_is_known_by_its_md5() {
    for bytes in [&b"0123456789"[..], &b"0"[..], &LONG[..60_000]] {
        let s3 = S3::of(&[("a", bytes)]);
        let there = s3.clone();
        let server = faulty(&s3, move |request, number| {
            let mut reply = answer_digested(&there, request, bytes);
            if matches!(number, 0 | 2) {
                reply.body.truncate(reply.body.len() / 2);
            }
            Some(reply)
        })
        .await;
        let store = store(&server).await;
        assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], bytes);
        let log = server.log();
        let ranges: Vec<String> = log.iter().map(|request| request.header("range").to_owned()).collect();
        let half = format!("bytes=0-{}", (bytes.len() / 2).max(1) - 1);
        // Two that were half, each looked at again, and the whole one.
        assert_eq!(ranges, ["", &half, "", &half, ""], "{} bytes", bytes.len());
    }
}

#[tokio::test]
async fn a_tag_that_only_looks_like_an_md5_costs_a_second_look_and_then_none() {
    for (bytes, told) in [(&b"0123456789"[..], ""), (b"", ""), (b"0123456789", "aws:kms"), (b"0123456789", "AES256")] {
        let s3 = S3::of(&[("a", bytes)]);
        let there = s3.clone();
        let server = faulty(&s3, move |request, _| {
            let reply = answer_digested(&there, request, b"something else");
            Some(if told.is_empty() { reply } else { reply.with("x-amz-server-side-encryption", told) })
        })
        .await;
        let store = store(&server).await;
        for _ in 0..3 {
            assert_eq!(store.get(&Key::new("a")).await.unwrap().bytes, bytes);
        }
        // Of an object with a key of its own it is known from the start.
        assert_eq!(server.log().len(), if told == "aws:kms" { 3 } else { 4 }, "{told}");
    }
}

#[tokio::test]
async fn a_whole_object_where_a_part_was_asked_for_is_refused() {
    let server = Server::start(|_, _| Reply::new(200, "0123456789").with("etag", "\"e\"")).await;
    let store = store(&server).await;
    let error = store.get_range(&Key::new("a"), 0..10, None).await.unwrap_err();
    assert!(error.to_string().contains("does not know ranges"), "{error}");
    assert!(!error.is_not_found() && store.counters().sent == 1);
}

#[tokio::test]
async fn a_service_that_ignores_if_match_does_not_pass_a_changed_object() {
    let server = Server::start(|_, _| Reply::new(200, "new").with("etag", "\"new\"")).await;
    let store = store(&server).await;
    let read = store.get_if(&Key::new("a"), Some(&ETag::new("\"old\"")), 10).await;
    assert!(matches!(read, Err(StoreError::Changed { .. })), "{read:?}");
}

#[tokio::test]
async fn a_web_page_is_no_object_no_list_and_no_absence() {
    let page = |status| Reply::new(status, "<html>sign in</html>").with("content-type", "text/html; charset=utf-8");
    for status in [200, 403, 404, 302] {
        let server = Server::start(move |_, _| page(status).with("location", "http://portal/")).await;
        let settings = StoreSettings { cloud_deadline: Duration::from_secs(2), ..settings(access(&server)) };
        let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
        let key = Key::new("a");
        let (whole, part, list, head) =
            tokio::join!(store.get(&key), store.get_range(&key, 0..3, None), store.list("", None), store.head(&key));
        let errors = [whole.map(|_| ()).unwrap_err(), part.map(|_| ()).unwrap_err(), list.map(|_| ()).unwrap_err()];
        for error in errors {
            assert!(matches!(error, StoreError::Garbled { .. }), "{status}: {error}");
            assert!(error.to_string().contains("sign-in page"), "{error}");
        }
        assert!(!head.unwrap_err().is_not_found(), "{status}");
    }
    // Some services call their own answers HTML.
    let typed = S3::of(&[("a", b"x")]);
    let server = faulty(&S3::default(), move |request, _| {
        Some(typed.answer(request).with("content-type", "text/html").with("x-amzn-requestid", "1"))
    })
    .await;
    let typed = store(&server).await;
    assert_eq!(&typed.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    typed.put(&Key::new("b"), Bytes::from_static(b"y"), Put::Overwrite).await.unwrap();
    // A page that is an object is one.
    let server = sound(&S3::of(&[("a.html", b"<html/>")])).await;
    assert_eq!(&store(&server).await.get(&Key::new("a.html")).await.unwrap().bytes[..], b"<html/>");
}

#[tokio::test]
async fn a_broken_page_of_keys_is_asked_for_again() {
    let s3 = S3::of(&[("f/a", b"x"), ("f/b", b"x")]);
    let broken = ["<ListBucketResult><Contents><Key>f/a</Key>", "", "{}", "<Other/>"];
    let server = faulty(&s3, move |_, number| broken.get(number).map(|body| Reply::new(200, *body))).await;
    let store = store(&server).await;
    assert_eq!(store.list("f", None).await.unwrap().objects.len(), 2);
    assert_eq!(store.counters().retries, 4);
}

#[tokio::test(start_paused = true)]
async fn waits_grow_and_end_with_the_deadline() {
    let cloud = Cloud::of(Arc::new(object_store::memory::InMemory::new()), Duration::from_secs(60));
    let key = Key::new("a");
    let began = Instant::now();
    let times = std::sync::Mutex::new(Vec::new());
    let failed: Result<(), _> = cloud
        .ask(&key, None, |_, _| {
            times.lock().unwrap().push(began.elapsed());
            let error = StoreError::Unavailable { location: cloud.location(&key), reason: "busy".to_owned() };
            let then = attempts::Then::Again(crate::store::retry::Fault::Busy(None));
            async move { Err(Failure { error, then, unsaid: false, gained: false }) }.boxed()
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })));
    let times = times.into_inner().unwrap();
    assert!((10..100).contains(&times.len()), "{}", times.len());
    assert!(began.elapsed() < Duration::from_secs(60) && began.elapsed() > Duration::from_secs(50));
    let counted = cloud.counters.snapshot();
    assert_eq!(counted.retries as usize, times.len() - 1);
}

#[tokio::test(start_paused = true)]
async fn a_place_among_the_requests_in_flight_is_free_while_one_waits() {
    let cloud = Cloud::of(Arc::new(object_store::memory::InMemory::new()), Duration::from_secs(60));
    let permits = Permits::new(1, Duration::from_secs(60));
    let key = Key::new("a");
    let permit = permits.turn(Urgency::Demand).await.unwrap();
    let busy = cloud.ask(&key, Some(permit), |_, _| {
        assert_eq!(permits.turns().in_flight, 1);
        let error = StoreError::Unavailable { location: cloud.location(&key), reason: "busy".to_owned() };
        let then = attempts::Then::Again(crate::store::retry::Fault::Busy(Some(Duration::from_secs(5))));
        async move { Err::<(), _>(Failure { error, then, unsaid: false, gained: false }) }.boxed()
    });
    let other = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        permits.turns().in_flight
    };
    let (failed, in_flight) = tokio::join!(busy, other);
    assert!(failed.is_err());
    assert_eq!((in_flight, permits.turns().in_flight), (0, 0));
}

#[tokio::test]
async fn many_readers_of_a_service_in_trouble_get_every_byte() {
    let s3 = S3::default();
    let bytes = |number: usize| -> Vec<u8> { (0..5000 + number).map(|at| (at * 7 + number) as u8).collect() };
    for number in 0..200 {
        s3.put(&format!("o{number}"), &bytes(number));
    }
    let whole = s3.clone();
    // The mix that every sample must survive: a stall is longer than the first two attempts are patient.
    let server = faulty(&s3, move |request, number| match number + 1 {
        number if number % 4 == 0 => Some(Reply::error(503, "SlowDown")),
        number if number % 5 == 0 => Some(whole.answer(request).cut(2500)),
        number if number % 10 == 3 => Some(whole.answer(request).stall(Duration::from_secs(4))),
        _ => None,
    })
    .await;
    // Longer than it takes on a machine that has much else to do.
    let settings = StoreSettings { cloud_deadline: Duration::from_secs(45), ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    let keys: Vec<Key> = (0..200).map(|number| Key::new(format!("o{number}"))).collect();
    let read = futures::future::join_all(keys.iter().map(|key| store.get(key))).await;
    for (number, read) in read.into_iter().enumerate() {
        assert!(read.unwrap().bytes == bytes(number), "o{number}");
    }
    let counted = store.counters();
    assert_eq!((counted.gets, counted.sent), (200, 200 + counted.retries));
    assert!(counted.retries > 60, "{}", counted.retries);
    let turns = store.turns();
    assert_eq!((turns.demand, turns.ahead, turns.in_flight), (0, 0, 0));
}

#[tokio::test]
async fn a_body_that_breaks_off_at_a_server_without_ranges_is_fetched_anew() {
    let s3 = S3::of(&[("a", LONG)]);
    let server = faulty(&s3, move |_, number| {
        let whole = Reply::new(200, LONG).with("etag", etag(LONG)).with("x-amz-request-id", "1");
        let whole = whole.with("last-modified", "Sat, 03 Feb 2024 04:05:06 GMT");
        Some(if number == 0 { whole.cut(50_000) } else { whole })
    })
    .await;
    let store = store(&server).await;
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], LONG);
    let ranges: Vec<_> = server.log().iter().map(|request| request.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=50000-199999", ""]);
    // Where part of it was asked for, the whole is no answer.
    assert!(matches!(store.get_range(&Key::new("a"), 5..9, None).await, Err(StoreError::Failed { .. })));
}

#[tokio::test]
async fn a_listing_that_goes_round_in_circles_ends() {
    let server = Server::start(|request, _| {
        let next = if request.query("continuation-token").as_deref() == Some("A") { "B" } else { "A" };
        let page = format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>\
             </ListBucketResult>"
        );
        Reply::new(200, page).with("content-type", "application/xml").with("x-amz-request-id", "1")
    })
    .await;
    let store = store(&server).await;
    let error = store.list_below("f/").try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&error, StoreError::Garbled { reason, .. } if reason.contains("has no end")), "{error}");
    assert!(matches!(store.holds_any("f").await, Err(StoreError::Garbled { .. })));
    assert!(server.log().len() <= 2002);
}

#[tokio::test]
async fn a_write_on_a_condition_that_the_service_failed_at_is_not_repeated() {
    for (status, sent) in [(500, 1), (502, 1), (504, 1), (503, 2), (429, 2)] {
        let server = faulty(&S3::default(), move |_, number| (number == 0).then(|| Reply::error(status, "X"))).await;
        let store = store(&server).await;
        let done = store.put(&Key::new("a"), Bytes::from_static(b"x"), Put::IfAbsent).await;
        assert_eq!((done.is_ok(), store.counters().sent), (sent == 2, sent), "{status}");
        let done = store.put(&Key::new("b"), Bytes::from_static(b"x"), Put::Overwrite).await;
        assert!(done.is_ok(), "{status}");
    }
}
