//! What the server holds: buckets with a region, and objects with their bytes, ETag and time.
//!
//! Objects of a folder that is served as a bucket (`load_folder`) are read when they are asked for, so that a large tree is there at
//! once; its small objects are kept in memory and carry the MD5 of their bytes as ETag, as S3's own do.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use md5::{Digest, Md5};

/// Files up to this size are kept in memory: metadata and most chunks of a test's store.
const KEPT: u64 = 1 << 20;

/// Where the bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here.
    Memory(Bytes),
    /// In a file of this length, read when asked for.
    Disk(PathBuf, u64),
}

/// One object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its bytes.
    pub content: Content,
    /// Its ETag, without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: SystemTime,
    /// STANDARD, or where it was archived to.
    pub storage_class: String,
    /// Headers given back as they came: the content type and `x-amz-meta-…`.
    pub headers: Vec<(String, String)>,
}

impl Object {
    /// An object written now.
    pub fn new(data: Bytes, headers: Vec<(String, String)>) -> Self {
        let etag = md5_hex(&data);
        let storage_class = "STANDARD".to_owned();
        Self { content: Content::Memory(data), etag, modified: SystemTime::now(), storage_class, headers }
    }

    /// An object that is a file.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of_file(path: &Path, about: &Metadata) -> io::Result<Self> {
        let mut object = if about.len() <= KEPT {
            Self::new(std::fs::read(path)?.into(), Vec::new())
        } else {
            let mut object = Self::new(Bytes::new(), Vec::new());
            let identity = format!("{} {} {}", path.display(), about.len(), about.mtime_nsec());
            object.etag = md5_hex(identity.as_bytes());
            object.content = Content::Disk(path.to_owned(), about.len());
            object
        };
        object.modified = about.modified()?;
        Ok(object)
    }

    /// Its length.
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Memory(data) => data.len() as u64,
            Content::Disk(_, length) => *length,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A range of its bytes, which must lie in it.
    ///
    /// # Errors
    /// Where its file has changed or cannot be read.
    pub fn read(&self, range: std::ops::Range<u64>) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(data) => Ok(data.slice(range.start as usize..range.end as usize)),
            Content::Disk(path, _) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                File::open(path)?.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            }
        }
    }
}

/// One bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its region.
    pub region: String,
    /// Whether whoever does not sign is let in.
    pub public: bool,
    /// Its objects by key, in the order of a listing.
    pub objects: BTreeMap<String, Object>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { region: "us-east-1".to_owned(), public: true, objects: BTreeMap::new() }
    }
}

impl Bucket {
    /// Takes in every file below a folder, each under its path from there.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub fn load_folder(&mut self, folder: &Path) -> io::Result<usize> {
        let mut waiting = vec![(folder.to_owned(), String::new())];
        let mut loaded = 0;
        while let Some((folder, prefix)) = waiting.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
                let about = std::fs::metadata(entry.path())?;
                if about.is_dir() {
                    waiting.push((entry.path(), key + "/"));
                } else {
                    self.objects.insert(key, Object::of_file(&entry.path(), &about)?);
                    loaded += 1;
                }
            }
        }
        Ok(loaded)
    }
}

/// An upload in parts that is not finished.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// Bucket and key.
    pub target: (String, String),
    /// Bytes and ETag by part number.
    pub parts: BTreeMap<u32, (Bytes, String)>,
    /// Headers of the object to be.
    pub headers: Vec<(String, String)>,
}

/// All that the server holds.
#[derive(Debug, Default)]
pub struct Holdings {
    /// Buckets by name.
    pub buckets: BTreeMap<String, Bucket>,
    /// Uploads by id.
    pub uploads: BTreeMap<String, Upload>,
    /// Uploads begun so far, from which ids are made.
    pub begun: u64,
}

impl Holdings {
    /// An object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<&Object> {
        self.buckets.get(bucket)?.objects.get(key)
    }
}

/// The MD5 of some bytes, as ETags hold it.
pub fn md5_hex(data: &[u8]) -> String {
    Md5::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}
