//! Linked objects that are replaced, removed, younger than they should be, or out of bounds.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::super::tests::{DATA, MINUTES_AGO, World, age, recipe, world_with};
use super::super::{About, FetchSettings, Plain};
use super::*;
use crate::model::chunk::{ChunkId, ChunkSource};
use crate::model::location::{Bucket, Key};
use crate::store::faulty::Lacks;
use crate::store::{Patience, Store};

const CHUNK: u64 = 64;
const CHUNKS: u64 = 8;

/// A dataset whose chunks lie one after the other in the object `linked`, by a chunk table.
fn linked_world(lacks: Lacks) -> World {
    linked_world_over(|store| store.lacking(lacks))
}

fn linked_world_over(wrap: impl FnOnce(Store) -> Store) -> World {
    let table = crate::model::hierarchy::ObjectId(2);
    let sources = (0..CHUNKS).map(|row| ((DATA, row), ChunkSource::Table { table, row: vec![row] }));
    let cache = crate::cache::CacheSettings { bytes: 0, ..Default::default() };
    let settings = FetchSettings {
        cache,
        patience: Patience { pauses: Vec::new(), ..Patience::default() },
        ..FetchSettings::default()
    };
    let world = world_with(recipe(CHUNK * CHUNKS, CHUNK, 1, &[]), sources, settings, wrap);
    let rows: Vec<u8> = (0..CHUNKS).flat_map(|row| [row * CHUNK, CHUNK]).flat_map(u64::to_le_bytes).collect();
    world.put("2/c0", &rows[..80]);
    world.put("2/c1", [&rows[80..], &[0; 32]].concat());
    generation(&world, 0);
    world
}

/// Replaces the linked object as a whole: every byte tells which state it is.
fn generation(world: &World, number: u8) {
    let next = world.path("next");
    fs::write(&next, vec![number; (CHUNK * CHUNKS) as usize]).unwrap();
    // Another second for each, since some services tell no more of a time.
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + u64::from(number));
    fs::File::options().write(true).open(&next).unwrap().set_modified(then).unwrap();
    fs::rename(next, world.path("linked")).unwrap();
}

fn described(world: &mut World, about: About) {
    world.file = FileChunks::new(world.file.map().clone(), world.file.stores().clone(), about);
}

const SERVICES: [Lacks; 3] = [
    Lacks { tags: false, conditions: false },
    Lacks { tags: false, conditions: true },
    Lacks { tags: true, conditions: true },
];

#[tokio::test]
async fn a_target_replaced_after_its_first_use_is_stale_for_that_version_whatever_the_service_heeds() {
    for lacks in SERVICES {
        let world = linked_world(lacks);
        assert_eq!(world.bytes(0, None).await, vec![0; CHUNK as usize]);
        generation(&world, 1);
        let error = world.chunk(1, None).await.unwrap_err();
        assert!(matches!(error, FetchError::Stale { .. }), "{lacks:?}: {error}");
        // The first state coming back would prove nothing of what happened between: the version stays stale.
        generation(&world, 0);
        let asked = world.counted().ranged_gets;
        assert!(matches!(world.chunk(2, None).await, Err(FetchError::Stale { .. })), "{lacks:?}");
        assert_eq!(world.counted().ranged_gets, asked, "nothing is asked for a version that is known to be stale");
        let next = world.file.renewed();
        let id = ChunkId { dataset: DATA, number: 3 };
        assert_eq!(world.fetcher.chunk(&next, id, None).await.unwrap(), Plain::Bytes(vec![0; CHUNK as usize].into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_in_flight_while_their_target_is_replaced_are_all_of_one_state() {
    let (mut stale, mut whole) = (0, 0);
    for lacks in SERVICES {
        let world = linked_world(lacks);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in (0..=255).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    generation(&world, number);
                }
            });
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    for _ in 0..100 {
                        let version = world.file.renewed();
                        let reads = (0..CHUNKS).map(|number| {
                            let (fetcher, version) = (world.fetcher.clone(), version.clone());
                            tokio::spawn(async move {
                                fetcher.chunk(&version, ChunkId { dataset: DATA, number }, None).await
                            })
                        });
                        let mut seen = HashSet::new();
                        for read in futures::future::join_all(reads).await {
                            match read.unwrap() {
                                Ok(Plain::Bytes(bytes)) => seen.extend(bytes.iter().copied()),
                                Ok(Plain::Absent) => panic!("absent"),
                                // The tree itself may be caught between two names.
                                Err(FetchError::Stale { .. } | FetchError::Store(StoreError::Busy { .. })) => {
                                    stale += 1
                                }
                                Err(error) => panic!("{error}"),
                            }
                        }
                        assert!(seen.len() <= 1, "{lacks:?}: a mixture of states {seen:?}");
                        whole += usize::from(seen.len() == 1);
                    }
                });
            });
            stop.store(true, Ordering::Relaxed);
        });
    }
    assert!(whole > 0 && stale > 0, "{whole} versions gave bytes, {stale} reads were refused");
}

#[tokio::test]
async fn a_target_that_is_gone_is_an_error_with_a_sentence_and_never_fill() {
    let world = linked_world(Lacks::default());
    world.bytes(0, None).await;
    fs::remove_file(world.path("linked")).unwrap();
    for number in 0..2 {
        let error = world.chunk(number, None).await.unwrap_err();
        assert!(matches!(error, FetchError::Gone { .. }) && error.to_string().contains("restored"), "{error}");
    }
    let problems = world.file.problems();
    assert_eq!(problems.len(), 1, "once for a target");
    assert!(problems[0].key.ends_with("/linked"), "{problems:?}");
}

#[tokio::test]
async fn a_target_younger_than_its_description_is_told_once_and_refused_where_that_is_asked_for() {
    let mut world = linked_world(Lacks::default());
    let about = About { modified: Some(SystemTime::now() - MINUTES_AGO), ..About::default() };
    described(&mut world, about.clone());
    world.bytes(0, None).await;
    assert_eq!(world.file.problems(), [], "it is older");
    world.put("linked", [7; (CHUNK * CHUNKS) as usize]);
    described(&mut world, about.clone());
    for number in 0..CHUNKS {
        world.bytes(number, None).await;
    }
    let problems = world.file.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].key.ends_with("/linked") && problems[0].reason.contains("later"), "{problems:?}");
    described(&mut world, About { strict: true, ..about });
    let error = world.chunk(0, None).await.unwrap_err();
    assert!(matches!(&error, FetchError::Younger { .. }) && error.to_string().contains("--strict"), "{error}");
}

#[tokio::test]
async fn looking_at_links_costs_one_request_for_each_target_and_no_byte() {
    let mut world = linked_world(Lacks::default());
    world.put("linked", [7; (CHUNK * CHUNKS) as usize]);
    described(&mut world, About { modified: Some(SystemTime::now() - MINUTES_AGO), ..About::default() });
    world.fetcher.look_at_links(&world.file).await;
    world.fetcher.look_at_links(&world.file).await;
    assert_eq!(world.file.problems().len(), 1);
    let asked = world.counted();
    assert_eq!((asked.heads, asked.gets, asked.ranged_gets, asked.bytes), (1, 0, 0, 0));
    // What was looked at is what is read.
    generation(&world, 1);
    assert!(matches!(world.chunk(0, None).await, Err(FetchError::Stale { .. })));
}

#[tokio::test]
async fn a_look_that_failed_for_the_moment_is_no_problem_and_is_taken_again() {
    let away = std::sync::Arc::new(AtomicBool::new(true));
    let told = away.clone();
    let world = linked_world_over(move |store| {
        let location = store.location(&Key::new("linked"));
        let reason = "no route".to_owned();
        let fault = StoreError::Unreachable { location, reason };
        store.failing(move |key| (told.load(Ordering::SeqCst) && key.as_str() == "linked").then(|| fault.clone()))
    });
    world.fetcher.look_at_links(&world.file).await;
    assert!(matches!(world.chunk(0, None).await, Err(FetchError::Store(StoreError::Unreachable { .. }))));
    assert_eq!(world.file.problems(), []);
    away.store(false, Ordering::SeqCst);
    fs::remove_file(world.path("linked")).unwrap();
    world.fetcher.look_at_links(&world.file).await;
    assert_eq!(world.file.problems().len(), 1, "gone, and told");
}

#[tokio::test]
async fn a_link_out_of_bounds_is_an_error_and_a_problem_that_name_it() {
    let world = linked_world(Lacks::default());
    age(&world.path("2/c0"));
    let location = Location { bucket: Bucket::new("file:///elsewhere/on/this/machine"), key: Key::new("secret") };
    let error = world.file.stores().get(&location.bucket).await.unwrap_err();
    let error = world.file.unlinked(DATA, &location, error);
    assert!(matches!(&error, FetchError::NotFollowed { .. }), "{error}");
    assert!(error.to_string().contains("/secret"), "{error}");
    let problem = world.file.problems().pop().unwrap().to_string();
    assert!(problem.contains("elsewhere/on/this/machine/secret") && problem.contains("not followed"), "{problem}");
}
