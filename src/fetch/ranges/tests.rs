use super::super::tests::{DATA, recipe, table, world};
use super::super::{FetchError, Plain};
use crate::model::chunk::{ChunkId, ChunkSource};
use crate::model::hierarchy::ObjectId;

/// Chunks of 8 bytes that lie in one object, as rows of a table say.
fn linked(rows: &[(u64, u64)]) -> super::super::tests::World {
    let sources = (0..10).map(|row| ((DATA, row), ChunkSource::Table { table: ObjectId(2), row: vec![row] }));
    let world = world(recipe(80, 8, 1, &[]), sources);
    for (number, rows) in rows.chunks(5).enumerate() {
        let mut rows = rows.to_vec();
        rows.resize(5, (0, 0));
        world.put(&format!("2/c{number}"), table(&rows));
    }
    world
}

async fn read(world: &super::super::tests::World, numbers: &[u64]) -> Vec<Result<Plain, FetchError>> {
    let read = |&number: &u64| world.fetcher.chunk(&world.file, ChunkId { dataset: DATA, number }, None);
    futures::future::join_all(numbers.iter().map(read)).await
}

#[tokio::test]
async fn neighbours_in_one_object_come_with_one_request() {
    let rows: Vec<_> = (0..10).map(|row| (row * 8, 8)).collect();
    let world = linked(&rows);
    let content: Vec<u8> = (0..80).collect();
    world.put("linked", &content);
    // The table is read first, as far as these need it.
    read(&world, &[0, 5]).await;
    let before = world.counted().ranged_gets;
    let numbers = [3, 1, 2, 4, 6, 9, 8, 7];
    for (number, plain) in numbers.iter().zip(read(&world, &numbers).await) {
        let start = *number as usize * 8;
        assert_eq!(plain.unwrap(), Plain::Bytes(content[start..start + 8].to_vec().into()));
    }
    assert_eq!(world.counted().ranged_gets - before, 1);
}

#[tokio::test]
async fn who_is_past_the_end_is_told_so_and_nobody_else() {
    let world = linked(&[(0, 8), (8, 8), (16, 8), (24, 8), (32, 8)]);
    world.put("linked", [7; 30]);
    read(&world, &[0]).await;
    let read = read(&world, &[1, 2, 3, 4]).await;
    let good: Vec<_> = read.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false], "{read:?}");
}
