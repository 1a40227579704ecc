//! The sample stores, opened without a mount.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures::TryStreamExt;
use h5mount::config::Place;
use h5mount::fetch::{About, FetchSettings, FileChunks};
use h5mount::model::hierarchy::{Hierarchy, LinkTarget, ObjectId, ObjectKind};
use h5mount::namespace::NamespaceSettings;
use h5mount::service::{self, House};
use h5mount::source::hdf5::Hdf5Files;
use h5mount::source::{Body, Contents, Entry, EntryKind};
use h5mount::store::StoreSettings;

/// Versions of HSDS that the sample stores were written with.
pub const VERSIONS: [&str; 2] = ["1.0.2", "0.9.4"];
/// The folder that holds all files of a sample store.
const FOLDER: &str = "home/admin";

/// An unpacked sample store.
pub struct Sample {
    /// Opened.
    pub house: House,
    /// Files, by name.
    pub files: Vec<File>,
    _directory: tempfile::TempDir,
}

/// One of its files that is shown as an HDF5 file made of a hierarchy.
pub struct File {
    /// Path in the store.
    pub path: String,
    /// What it holds.
    pub contents: Contents,
    /// Its chunks.
    pub chunks: Arc<FileChunks>,
}

/// Unpacks and opens the sample store of a version.
pub async fn open(version: &str, settings: NamespaceSettings) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/hsds/store-posix-{version}.tar.gz"));
    let unpacked = Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(directory.path()).status().unwrap();
    assert!(unpacked.success());
    let root = std::fs::canonicalize(directory.path().join("hsdstest")).unwrap();
    let place: Place = h5mount::config::place(root.to_str().unwrap(), None).unwrap();
    let (store, fetch) = (StoreSettings::default(), FetchSettings::default());
    let keep = service::KeepSettings::default();
    let house = service::open(&place, store, Hdf5Files::Raw, settings, fetch, keep).await.unwrap();
    let entries: Vec<Entry> = house.source.list(FOLDER).try_collect().await.unwrap();
    let mut files = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
        let path = format!("{FOLDER}/{}", entry.name);
        let contents = house.source.open(&path).await.unwrap();
        if contents.body == Body::Hierarchy {
            let chunks = FileChunks::new(contents.chunks.clone(), house.stores.clone(), About::default());
            files.push(File { path, contents, chunks });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(files.len() >= 10, "{} files", files.len());
    Sample { house, files, _directory: directory }
}

impl File {
    /// Its name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// Every dataset with one path that leads to it.
    pub fn datasets(&self) -> Vec<(String, ObjectId)> {
        let objects = &self.contents.hierarchy.objects;
        let mut paths: Vec<Option<String>> = vec![None; objects.len()];
        let mut open = vec![(String::new(), Hierarchy::ROOT)];
        while let Some((path, group)) = open.pop() {
            let ObjectKind::Group(group) = &objects[group.0 as usize].kind else { continue };
            for link in &group.links {
                let LinkTarget::Hard(target) = link.target else { continue };
                let known = &mut paths[target.0 as usize];
                if known.is_none() {
                    let path = format!("{path}/{}", link.name);
                    *known = Some(path.clone());
                    open.push((path, target));
                }
            }
        }
        let dataset = |(number, path): (usize, Option<String>)| match &objects[number].kind {
            ObjectKind::Dataset(_) => Some((path?, ObjectId(number as u32))),
            _ => None,
        };
        paths.into_iter().enumerate().filter_map(dataset).collect()
    }
}
