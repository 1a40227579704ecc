//! Recursive listings: whose turn it is, and what is told of them.

use futures::future::join_all;

use super::*;

/// Keys in a page, here as everywhere.
const KEYS: usize = 1000;

/// Folders of three pages each.
fn folders(number: usize) -> S3 {
    let s3 = S3::of(&[("a", b"x")]);
    for folder in 0..number {
        for key in 0..2 * KEYS + 1 {
            s3.put(&format!("f{folder}/{key:04}"), b"x");
        }
    }
    s3
}

/// A store that makes `most` requests at a time, of a service that takes a moment for each page.
async fn slow(s3: &S3, most: usize) -> (Server, Store) {
    let pages = s3.clone();
    let server =
        faulty(s3, move |request, _| request.is_list().then(|| pages.answer(request).stall(Duration::from_millis(5))))
            .await;
    let settings =
        StoreSettings { in_flight: most, cloud_deadline: Duration::from_secs(60), ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    (server, store)
}

#[tokio::test]
async fn pages_of_recursive_listings_wait_for_their_turn_like_all_requests() {
    let (server, store) = slow(&folders(6), 3).await;
    let all = (0..6).map(|folder| {
        let store = &store;
        async move { store.list_below(&format!("f{folder}/")).try_collect::<Vec<_>>().await.map(|keys| keys.len()) }
    });
    for found in join_all(all).await {
        assert_eq!(found.unwrap(), 2 * KEYS + 1);
    }
    assert_eq!((server.log().len(), server.most_at_a_time()), (18, 3));
    assert_eq!(store.turns().in_flight, 0);
}

#[tokio::test]
async fn as_many_listings_as_there_are_places_are_in_nobodys_way_while_they_are_read() {
    let (server, store) = slow(&folders(4), 4).await;
    let read = |folder| {
        let store = &store;
        async move {
            let mut keys = store.list_below(&format!("f{folder}/"));
            let mut found = 0;
            while keys.try_next().await?.is_some() {
                found += 1;
                // Whoever walks through it reads what it finds, between two pages and while the next is on its way.
                if found % 500 == 1 {
                    store.get(&Key::new("a")).await?;
                }
            }
            Ok::<_, StoreError>(found)
        }
    };
    for found in join_all((0..4).map(read)).await {
        assert_eq!(found.unwrap(), 2 * KEYS + 1);
    }
    assert!(server.most_at_a_time() <= 4, "{}", server.most_at_a_time());
    // One that is left alone holds no place once its page has come, and one that is dropped gives back what it has.
    let mut left: Vec<_> = (0..4).map(|folder| store.list_below(&format!("f{folder}/"))).collect();
    for keys in &mut left {
        keys.try_next().await.unwrap();
    }
    store.get(&Key::new("a")).await.unwrap();
    while store.turns().in_flight > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(left);
    assert_eq!(store.turns().in_flight, 0);
}

#[tokio::test]
async fn what_a_listing_leaves_out_is_told_once_with_its_number_and_an_example() {
    let s3 = S3::of(&[("f/a", b"x"), ("f/mark/", b""), ("g/a", b"x"), ("g/mark/", b"")]);
    for odd in ["f/b//c", "f/line\nbreak", "f/z/../y"] {
        s3.put(odd, b"x");
    }
    let server = sound(&s3).await;
    let store = store(&server).await;
    let (log, _guard) = listened();
    let below = async |prefix: &str| store.list_below(prefix).try_collect::<Vec<_>>().await.unwrap().len();
    // Marks of folders are nothing to tell of.
    assert_eq!((below("f/").await, below("g/").await, below("f/").await), (1, 1, 1));
    let told = log.told("WARN");
    assert_eq!(told.len(), 1, "{told:?}");
    for words in ["listing=f/*", "left_out=3", "first=f/b//c", "are left out"] {
        assert!(told[0].contains(words), "{words}: {told:?}");
    }
    store.list("f", None).await.unwrap();
    store.list("f", None).await.unwrap();
    assert_eq!(log.told("WARN").len(), 2);
}

#[tokio::test]
async fn a_page_whose_bytes_come_slower_than_those_of_objects_is_waited_for() {
    let s3 = S3::of(&[("a", b"x")]);
    let pages = s3.clone();
    let apart = Duration::from_millis(700);
    let server =
        faulty(&s3, move |request, _| request.is_list().then(|| pages.answer(request).drip(1000, apart))).await;
    let settings = StoreSettings { cloud_deadline: Duration::from_secs(60), ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    for _ in 0..20 {
        store.get(&Key::new("a")).await.unwrap();
    }
    assert_eq!(store.list_below("").try_collect::<Vec<_>>().await.unwrap().len(), 1);
    let counted = store.counters();
    assert_eq!((counted.sent, counted.retries, counted.abandoned), (21, 0, 0));
}
