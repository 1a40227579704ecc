//! The behaviour suite of every store, on a directory tree. Other kinds need servers: `tests/python/test_kinds.py`.

use h5mount::store::{Store, StoreSettings, contract, root};

#[tokio::test]
async fn a_directory_tree_keeps_its_promises() {
    let directory = tempfile::tempdir().unwrap();
    for (key, bytes) in contract::objects(true) {
        let path = directory.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let bucket = root::bucket_of(directory.path()).unwrap();
    for page in [2, 7, 10_000] {
        let settings = StoreSettings { page, ..StoreSettings::default() };
        let store = Store::open_with(&bucket, settings).await.unwrap();
        let report = contract::check(&store, false).await;
        assert!(report.broken.is_empty(), "pages of {page}: {:#?}", report.broken);
        assert!(report.held.len() >= 14, "{:?}", report.left_out);
    }
}

#[tokio::test]
async fn the_suite_finds_a_store_that_lost_and_changed_things() {
    let directory = tempfile::tempdir().unwrap();
    for (key, bytes) in contract::objects(true) {
        let path = directory.path().join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lost = key.ends_with("object07");
        let changed = key.ends_with("digits");
        if !lost {
            std::fs::write(path, if changed { b"another".to_vec() } else { bytes }).unwrap();
        }
    }
    let bucket = root::bucket_of(directory.path()).unwrap();
    let store = Store::open(&bucket).await.unwrap();
    let broken: Vec<_> =
        contract::check(&store, false).await.broken.into_iter().map(|(statement, _)| statement).collect();
    for statement in ["an object is read whole", "pages of a folder hold every name once"] {
        assert!(broken.contains(&statement), "{broken:?}");
    }
}
