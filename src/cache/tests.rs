use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use tokio::sync::oneshot;

use super::*;
use crate::model::hierarchy::ObjectId;

type Cache = PieceCache<&'static str>;

fn cache(bytes: u64) -> Cache {
    PieceCache::new(&CacheSettings { bytes, ..CacheSettings::default() })
}

fn piece(number: u64) -> PieceId {
    PieceId { version: 0, chunk: ChunkId { dataset: ObjectId(0), number }, part: PiecePart::Plain }
}

/// Whether `len` bytes had to be loaded.
async fn load(cache: &Cache, number: u64, len: usize) -> bool {
    let loads = Arc::new(AtomicUsize::new(0));
    let (counted, room) = (loads.clone(), cache.reserve(len as u64).await);
    let made = || {
        async move {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(reserved(Bytes::from(vec![0; len]), room))
        }
        .boxed()
    };
    let bytes = cache.get_or_load(piece(number), made).await.unwrap();
    assert_eq!(bytes.len(), len);
    loads.load(Ordering::Relaxed) == 1
}

/// A load ahead that ends when told to.
fn begin_ahead(cache: &Cache, number: u64, len: usize) -> Option<(Waiting<&'static str>, oneshot::Sender<()>)> {
    let (end, ended) = oneshot::channel();
    let begun = cache.load_ahead(piece(number), len as u64, move |room| {
        async move {
            ended.await.map_err(|_| Missing::Failed("left"))?;
            Ok(reserved(Bytes::from(vec![1; len]), room))
        }
        .boxed()
    });
    match begun {
        Ahead::Started(waiting) => Some((waiting, end)),
        Ahead::Needless | Ahead::NoRoom => None,
    }
}

#[tokio::test]
async fn the_budget_holds_and_the_least_recently_read_goes_first() {
    let cache = cache(10_000);
    for number in 0..100 {
        load(&cache, number, 2000).await;
        assert!(cache.budget().used() <= 10_000);
    }
    assert!(!load(&cache, 99, 2000).await);
    assert!(load(&cache, 0, 2000).await);
    assert!(cache.budget().peak() <= 10_000, "{}", cache.budget().peak());
}

#[tokio::test]
async fn a_piece_larger_than_the_budget_is_kept_while_it_is_read() {
    let cache = cache(10_000);
    assert!(load(&cache, 0, 50_000).await);
    let again = cache.get_or_load(piece(0), || std::future::pending().boxed()).await;
    assert_eq!(again.unwrap().len(), 50_000);
    assert!(load(&cache, 1, 10).await);
    assert!(!cache.here(piece(0)));
}

#[tokio::test]
async fn bytes_count_until_the_last_reader_lets_go_of_them() {
    let cache = cache(10_000);
    let room = cache.reserve(9000).await;
    let held = reserved(Bytes::from(vec![0; 9000]), room);
    let part = held.slice(5..6);
    drop(held);
    assert_eq!(cache.budget().used(), 9000 + ENTRY);
    let mut waits = std::pin::pin!(cache.reserve(5000));
    assert!(waits.as_mut().now_or_never().is_none());
    drop(part);
    drop(waits.await);
    assert_eq!(cache.budget().used(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_everybody_waits_the_first_goes_past_the_limit() {
    let cache = cache(10_000);
    let held = reserved(Bytes::from(vec![0; 9000]), cache.reserve(9000).await);
    let first = cache.reserve(4000).await;
    assert_eq!(cache.budget().used(), 13_000 + 2 * ENTRY);
    // Now something is on its way, and will be given back.
    assert!(tokio::time::timeout(Duration::from_millis(900), cache.reserve(4000)).await.is_err());
    // Unless it waits itself.
    drop(tokio::time::timeout(Duration::from_millis(1100), cache.reserve(4000)).await.unwrap());
    drop(first);
    let second = cache.reserve(4000).await;
    drop((held, second));
    assert_eq!(cache.budget().used(), 0);
}

#[tokio::test(start_paused = true)]
async fn loads_of_which_two_do_not_fit_come_one_after_the_other_however_long_they_take() {
    let cache = Arc::new(cache(10_000));
    let first = cache.reserve(40_000).await;
    let waiting: Vec<_> = (0..3u64)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.reserve(40_000).await })
        })
        .collect();
    // A small one passes by where it waits for room of a load that takes its time; a large one never does.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(waiting.iter().all(|load| !load.is_finished()));
    drop(cache.reserve(100).await);
    drop(reserved(Bytes::from(vec![0; 40_000]), first));
    for load in waiting {
        drop(load.await.unwrap());
    }
    assert_eq!(cache.budget().peak(), 40_000 + 100 + 2 * ENTRY);
    assert_eq!(cache.budget().used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_load_of_which_two_do_not_fit_spares_what_is_being_read() {
    let cache = cache(10_000);
    for number in 0..3 {
        assert!(load(&cache, number, 8000).await);
        // The one before it is read on; those before that have gone.
        assert!(number == 0 || cache.here(piece(number - 1)));
        assert!(number < 2 || !cache.here(piece(number - 2)));
    }
    // A reply that is being put together does not end that, what others keep does.
    drop(cache.hold_briefly(5000));
    assert!(cache.here(piece(2)));
    drop(cache.hold(5000));
    assert!(!cache.here(piece(2)));
    assert!(load(&cache, 1, 8000).await && load(&cache, 2, 8000).await);
    // What was read to its end goes first.
    cache.handed(piece(2), 8000);
    assert!(load(&cache, 3, 8000).await);
    assert!(cache.here(piece(1)) && !cache.here(piece(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_readers_share_a_small_budget() {
    let cache = Arc::new(cache(64 << 10));
    let readers = (0..10_000u64).map(|reader| {
        let cache = cache.clone();
        tokio::spawn(async move {
            let number = reader.wrapping_mul(2_654_435_761) % 500;
            let room = cache.clone();
            let load = move || {
                async move {
                    let room = room.reserve(1000).await;
                    tokio::task::yield_now().await;
                    Ok(reserved(Bytes::from(vec![number as u8; 1000]), room))
                }
                .boxed()
            };
            let bytes = cache.get_or_load(piece(number), load).await.unwrap();
            assert!(bytes.iter().all(|byte| *byte == number as u8));
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    assert!(cache.budget().peak() <= 64 << 10, "{}", cache.budget().peak());
    while cache.shared.free(Shelf::pop) {}
    assert_eq!(cache.budget().used(), 0);
    let state = cache.shared.lock();
    assert_eq!((state.loading.len(), state.ahead_bytes, state.shelf.unread_bytes()), (0, 0, 0));
}

#[tokio::test]
async fn a_failure_is_shared_but_not_kept_and_absence_only_for_a_while() {
    let settings = CacheSettings { absent_for: Duration::from_millis(50), ..CacheSettings::default() };
    let cache: Cache = PieceCache::new(&settings);
    let failed = cache.get_or_load(piece(0), || async { Err(Missing::Failed("why")) }.boxed()).await;
    assert!(matches!(failed, Err(Missing::Failed("why"))));
    assert!(load(&cache, 0, 1).await);
    let absent = cache.get_or_load(piece(1), || async { Err(Missing::Absent) }.boxed()).await;
    assert!(matches!(absent, Err(Missing::Absent)));
    let absent = cache.get_or_load(piece(1), || async { Ok(Bytes::new()) }.boxed()).await;
    assert!(matches!(absent, Err(Missing::Absent)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(load(&cache, 1, 1).await);
}

#[tokio::test]
async fn what_two_load_ahead_comes_though_the_first_leaves() {
    let cache = cache(10_000);
    let (first, end) = begin_ahead(&cache, 1, 1000).unwrap();
    let Ahead::Started(second) = cache.load_ahead(piece(1), 1000, |_| std::future::pending().boxed()) else {
        panic!("it is coming");
    };
    assert_eq!(cache.counts().ahead, 1);
    drop(first);
    end.send(()).unwrap();
    assert_eq!(second.result().await.unwrap().len(), 1000);
    assert!(!load(&cache, 1, 1000).await);
    // The last to leave ends it, and nothing stays reserved.
    let (first, _end) = begin_ahead(&cache, 2, 1000).unwrap();
    let Ahead::Started(second) = cache.load_ahead(piece(2), 1000, |_| std::future::pending().boxed()) else {
        panic!("it is coming");
    };
    drop(second);
    assert!(cache.here(piece(2)));
    drop(first);
    assert!(!cache.here(piece(2)));
    assert_eq!(cache.shared.lock().ahead_bytes, 0);
}

#[tokio::test]
async fn what_is_loaded_ahead_is_bounded_and_what_nobody_read_is_counted() {
    let cache = cache(10_000);
    for number in 0..5 {
        load(&cache, number, 1500).await;
    }
    // Half of the budget, in place of what was read; no more, whatever is read meanwhile.
    let begun: Vec<_> = (10..20).map_while(|number| begin_ahead(&cache, number, 1000)).collect();
    assert_eq!(begun.len(), 4);
    for (waiting, end) in begun {
        end.send(()).unwrap();
        waiting.result().await.unwrap();
    }
    assert!(matches!(cache.load_ahead(piece(10), 1, |_| std::future::pending().boxed()), Ahead::Needless));
    assert!(begin_ahead(&cache, 20, 1000).is_none());
    // One that is asked for makes room for another.
    assert!(!load(&cache, 10, 1000).await);
    assert!(begin_ahead(&cache, 20, 1000).is_some());
    assert!(load(&cache, 30, 9000).await);
    assert_eq!(cache.counts().wasted, 3000);
    assert_eq!(cache.shared.lock().ahead_bytes, 0);
}

#[tokio::test]
async fn a_load_goes_on_as_long_as_somebody_waits_for_it() {
    let cache = Arc::new(cache(10_000));
    let (ahead, end) = begin_ahead(&cache, 0, 1000).unwrap();
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_load(piece(0), || unreachable!()).await }
    });
    while cache.counts().waits == 0 {
        tokio::task::yield_now().await;
    }
    // The one who began it leaves.
    drop(ahead);
    end.send(()).unwrap();
    assert_eq!(reader.await.unwrap().unwrap().len(), 1000);
    // Without anybody it ends, and gives back what it took.
    let (alone, end) = begin_ahead(&cache, 1, 1000).unwrap();
    drop(alone);
    assert!(end.is_closed());
    assert_eq!(cache.budget().used(), 1000 + ENTRY);
    assert!(!cache.here(piece(1)));
}

#[tokio::test]
async fn with_no_budget_nothing_is_kept_and_nothing_loaded_ahead() {
    let cache = cache(0);
    assert!(load(&cache, 0, 10).await);
    assert!(load(&cache, 0, 10).await);
    assert!(begin_ahead(&cache, 1, 10).is_none());
    assert_eq!(cache.budget().used(), 0);
}

#[tokio::test]
async fn what_others_keep_leaves_less_room_but_a_quarter() {
    let cache = cache(10_000);
    assert!(load(&cache, 0, 6000).await);
    let held = cache.hold(5000);
    assert!(!cache.here(piece(0)));
    let more = cache.hold(50_000);
    assert!(load(&cache, 1, 1000).await && load(&cache, 2, 1000).await);
    assert!(cache.here(piece(2)) && !cache.here(piece(0)));
    drop((held, more));
    assert_eq!(cache.budget().used(), 2000 + 2 * ENTRY);
}

#[tokio::test]
async fn what_was_handed_over_goes_first_and_is_kept_in_small_number() {
    let cache = cache(1 << 30);
    for number in 0..10u64 {
        load(&cache, number, 8 << 20).await;
        // Half of the first, so that it is still wanted.
        cache.handed(piece(number), if number == 0 { 4 << 20 } else { 8 << 20 });
    }
    // 64 MiB of what was handed over, and the first.
    let here: Vec<u64> = (0..10).filter(|number| cache.here(piece(*number))).collect();
    assert_eq!(here, [0, 2, 3, 4, 5, 6, 7, 8, 9]);
    // Read again it counts from the beginning.
    assert!(!load(&cache, 9, 8 << 20).await);
    cache.handed(piece(9), 4 << 20);
    while cache.kept() > 2 {
        assert!(cache.shared.free(Shelf::pop));
    }
    assert!(cache.here(piece(0)) && cache.here(piece(9)));
}
