use std::sync::Arc;
use std::time::Duration;

use super::super::tests::{DATA, World, recipe, world, world_with};
use super::super::{FetchSettings, Plain};
use super::Reader;
use crate::model::chunk::ChunkId;

fn chunk(number: u64) -> ChunkId {
    ChunkId { dataset: DATA, number }
}

/// A hundred chunks of a thousand bytes, each full of its number.
fn hundred(settings: FetchSettings) -> (World, Reader) {
    let world = world_with(recipe(100_000, 1000, 1, &[]), [], settings, |store| store);
    for number in 0..100u8 {
        world.put(&format!("1/c{number}"), [number; 1000]);
    }
    let reader = reader(&world);
    (world, reader)
}

fn reader(world: &World) -> Reader {
    Reader::of_file(Arc::clone(&world.fetcher), Arc::clone(&world.file), tokio::runtime::Handle::current())
}

async fn still(world: &World) {
    let mut before = None;
    while before != Some(world.counted()) {
        before = Some(world.counted());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_scan_asks_for_each_chunk_once_and_nothing_is_wasted() {
    let (world, reader) = hundred(FetchSettings::default());
    for number in 0..100u64 {
        reader.touch(chunk(number), 0..1000, None);
        let plain = world.bytes(number, Some(10..20)).await;
        assert_eq!(plain, vec![number as u8; 10]);
    }
    still(&world).await;
    let counts = world.fetcher.counts();
    assert_eq!((world.counted().gets, world.counted().bytes), (100, 100_000));
    assert_eq!((counts.ahead, counts.wasted), (98, 0));
}

#[tokio::test]
async fn what_comes_ahead_ends_with_its_reader_and_leaves_nothing_reserved() {
    let (world, reader) = hundred(FetchSettings::default());
    for number in 0..20 {
        reader.touch(chunk(number), 0..1000, None);
    }
    drop(reader);
    still(&world).await;
    assert!(world.counted().gets <= 40);
    let mut settings = FetchSettings::default();
    settings.cache.bytes = 0;
    let (world, reader) = hundred(settings);
    for number in 0..20 {
        reader.touch(chunk(number), 0..1000, None);
        world.bytes(number, None).await;
    }
    still(&world).await;
    assert_eq!((world.counted().gets, world.fetcher.held_bytes()), (20, 0));
}

#[tokio::test]
async fn a_budget_that_is_full_ends_reading_ahead_and_no_demand() {
    let mut settings = FetchSettings::default();
    settings.cache.bytes = 10_000;
    let (world, reader) = hundred(settings);
    for number in 0..100u64 {
        reader.touch(chunk(number), 0..1000, None);
        assert_eq!(world.bytes(number, None).await, vec![number as u8; 1000]);
        assert!(world.fetcher.held_bytes() <= 10_000);
    }
    assert_eq!(world.counted().gets, 100);
}

/// Reads chunks whole, one after the other, and touches each before.
async fn scan(world: &World, reader: &Reader, numbers: std::ops::Range<u64>) {
    for number in numbers {
        reader.touch(chunk(number), 0..1000, None);
        assert_eq!(world.bytes(number, Some(0..1000)).await, vec![number as u8; 1000]);
    }
}

#[tokio::test]
async fn what_was_handed_over_is_not_fetched_ahead_until_it_is_asked_for_again() {
    let mut settings = FetchSettings::default();
    // Of the fifty, only the last are still here.
    settings.cache.bytes = 40_000;
    let (world, second) = hundred(settings);
    scan(&world, &second, 50..100).await;
    let first = reader(&world);
    scan(&world, &first, 0..50).await;
    still(&world).await;
    assert_eq!(world.counted().gets, 100);
    // Whoever kept them has let go of them: but for the three that show it, all come ahead again.
    let ahead = world.fetcher.counts().ahead;
    scan(&world, &first, 50..60).await;
    assert_eq!(world.fetcher.counts().ahead, ahead + 7);
}

#[tokio::test]
async fn readers_of_parts_side_by_side_fetch_no_chunk_twice() {
    let mut settings = FetchSettings::default();
    settings.cache.bytes = 60_000;
    let (world, first) = hundred(settings);
    let readers = [first, reader(&world), reader(&world), reader(&world)];
    for step in 0..25 {
        for (part, reader) in readers.iter().enumerate() {
            let number = part as u64 * 25 + step;
            scan(&world, reader, number..number + 1).await;
        }
    }
    still(&world).await;
    assert_eq!((world.counted().gets, world.fetcher.counts().wasted), (100, 0));
}

#[tokio::test]
async fn a_failure_ahead_is_nobodys_and_the_chunk_is_asked_for_again() {
    let (world, reader) = hundred(FetchSettings::default());
    world.put("1/c3", b"short");
    super::super::tests::age(&world.path("1/c3"));
    for number in 0..3 {
        reader.touch(chunk(number), 0..1000, None);
    }
    still(&world).await;
    world.put("1/c3", [9; 1000]);
    assert_eq!(world.bytes(3, None).await, vec![9; 1000]);
}

#[tokio::test]
async fn blocks_of_a_huge_chunk_come_ahead_too() {
    const LEN: u64 = 64 << 20;
    let world = world(recipe(LEN, LEN, 1, &[]), []);
    world.put("1/c0", b"");
    std::fs::File::options().write(true).open(world.path("1/c0")).unwrap().set_len(LEN).unwrap();
    let reader = reader(&world);
    for start in (0..LEN).step_by(1 << 20) {
        reader.touch(chunk(0), start..start + (1 << 20), None);
        assert!(matches!(world.chunk(0, Some(start..start + (1 << 20))).await.unwrap(), Plain::Bytes(_)));
    }
    assert_eq!((world.counted().ranged_gets, world.counted().bytes), (16, LEN));
    assert_eq!(world.fetcher.counts().ahead, 14);
    let grid = super::Grid::Blocks(chunk(0));
    assert!((0..16).all(|number| world.file.spent.holds(grid, number)));
}

#[tokio::test]
async fn what_lies_ahead_in_the_file_is_begun_once_and_of_huge_chunks_nothing() {
    let (world, reader) = hundred(FetchSettings::default());
    assert!((10..20).chain(15..25).all(|number| reader.begin(chunk(number), None)));
    still(&world).await;
    assert_eq!(world.bytes(24, None).await, vec![24; 1000]);
    assert_eq!((world.counted().gets, world.fetcher.counts().ahead), (15, 15));
    let (world, reader) = hundred(FetchSettings { whole_up_to: 999, ..FetchSettings::default() });
    assert!(reader.begin(chunk(3), None));
    still(&world).await;
    assert_eq!(world.counted().gets, 0);
    let mut settings = FetchSettings::default();
    settings.cache.bytes = 0;
    let (_, reader) = hundred(settings);
    assert!(!reader.begin(chunk(3), None));
}
