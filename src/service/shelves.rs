//! Shelves for descriptions of files: in the disk cache, in a folder, and in a store.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cache::disk::{DiskCache, Place, Record};
use crate::config::IndexPlace;
use crate::model::location::{Bucket, ETag, Key, Location};
use crate::source::shelf::{Shelf, Shelves};
use crate::store::{Put, Store, StoreError, StoreSettings};

/// Largest description that is read: 100 MB are a million objects.
const LARGEST: u64 = 256 << 20;
/// What names of descriptions end with, where they lie by themselves.
const END: &str = ".h5mount-index";
/// Last segment of the key of the object that names a file.
const DOMAIN: &str = "/.domain.json";

/// The shelves of a house whose home store is asked with `settings`.
///
/// Indexes only serve to save requests: where they cannot be reached, that is said and they are left alone until they can.
///
/// # Errors
/// A bucket of indexes that can never be opened, because of what was said of it.
pub async fn of(
    disk: Option<&Arc<DiskCache>>,
    given: Option<&IndexPlace>,
    settings: StoreSettings,
) -> Result<Shelves, StoreError> {
    let own = disk.map(|disk| Arc::new(Disk(Arc::clone(disk))) as Arc<dyn Shelf>);
    let given: Option<Arc<dyn Shelf>> = match given {
        None => None,
        Some(IndexPlace::Folder(folder)) => Some(Arc::new(Folder::at(folder.clone()))),
        Some(IndexPlace::Store(bucket)) => {
            let stored = Stored::at(bucket, settings, AWAY);
            match stored.open().await {
                Ok(_) => {}
                Err(error @ StoreError::Unsupported { .. }) => return Err(error),
                Err(error) => stored.leave_alone(&error),
            }
            Some(Arc::new(stored))
        }
    };
    Ok(Shelves { own, given })
}

/// Puts an object in place of the one that is there, and of no other.
///
/// # Errors
/// As [`Store::put`]; [`StoreError::Changed`] or [`StoreError::Exists`] where somebody else did so meanwhile.
pub async fn replace(store: &Store, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
    let put = match store.head(key).await {
        _ if !store.capabilities().conditional_put => Put::Overwrite,
        Ok(meta) => meta.etag.map_or(Put::Overwrite, Put::IfMatch),
        Err(error) if error.is_not_found() => Put::IfAbsent,
        Err(error) => return Err(error),
    };
    store.put(key, bytes, put).await.map(drop)
}

/// The disk cache.
#[derive(Debug)]
struct Disk(Arc<DiskCache>);

#[async_trait]
impl Shelf for Disk {
    fn is_near(&self) -> bool {
        true
    }

    async fn get(&self, domain: &Location) -> Option<Bytes> {
        self.0.get(&Place::description(domain)).await.map(|record| record.body)
    }

    async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String> {
        // What it was made of, it says itself.
        let (etag, modified) = (ETag::new(""), SystemTime::UNIX_EPOCH);
        let record = Record { etag, modified, size: description.len() as u64, body: description };
        self.0.put(Place::description(domain), record);
        Ok(())
    }
}

/// Where the description of a file lies in a folder of them: `s3/BUCKET/home/x.h5.h5mount-index`. `None` where no such
/// path can be.
fn path_of(domain: &Location) -> Option<String> {
    let (scheme, bucket) = domain.bucket.as_str().split_once("://")?;
    let key = domain.key.as_str();
    // Where one object is all of the file, its key is the path.
    let file = key.strip_suffix(DOMAIN).unwrap_or(key);
    if file == DOMAIN.trim_start_matches('/') {
        return None;
    }
    let path = format!("{scheme}/{}/{file}{END}", bucket.trim_matches('/'));
    let sane = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    path.split('/').all(sane).then_some(path)
}

/// Where the description of a file lies in full: a path or a URL. `None` where no name can be.
pub fn place(index: &IndexPlace, domain: &Location) -> Option<String> {
    let path = path_of(domain)?;
    Some(match index {
        IndexPlace::Folder(folder) => folder.join(path).display().to_string(),
        IndexPlace::Store(bucket) => format!("{}/{path}", bucket.as_str()),
    })
}

/// A folder of this machine.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Held until the folder has answered, though nobody waits any more: one that hangs takes no more threads than this.
    readers: Arc<Semaphore>,
    /// Whether it was looked for. Who writes an index makes the folder; who reads one may have misspelt it.
    looked: Arc<Once>,
}

impl Folder {
    fn at(path: PathBuf) -> Folder {
        Folder { path, readers: Arc::new(Semaphore::new(READERS)), looked: Arc::new(Once::new()) }
    }
}

/// Reads of a folder at a time.
const READERS: usize = 4;
/// How long an index in a folder is waited for: it only serves to save requests.
const PATIENCE: Duration = Duration::from_secs(2);

#[async_trait]
impl Shelf for Folder {
    fn is_near(&self) -> bool {
        // It may as well be a network's.
        false
    }

    async fn get(&self, domain: &Location) -> Option<Bytes> {
        let path = self.path.join(path_of(domain)?);
        let (folder, looked) = (self.path.clone(), Arc::clone(&self.looked));
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.readers).acquire_owned()).await.ok()?.ok()?;
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            looked.call_once(|| {
                if !folder.is_dir() {
                    let folder = folder.display();
                    tracing::warn!(%folder, "--index-dir names no folder that is there: files are read without indexes");
                }
            });
            let fits = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
            fits.then(|| std::fs::read(&path).ok()).flatten()
        });
        tokio::time::timeout(PATIENCE, read).await.ok()?.ok().flatten().map(Bytes::from)
    }

    async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String> {
        let path = path_of(domain).map(|path| self.path.join(path)).ok_or("no path can have its name")?;
        let written = tokio::task::spawn_blocking(move || {
            write(&path, &description).map_err(|error| format!("{}: {error}", path.display()))
        });
        written.await.map_err(|stopped| stopped.to_string())?
    }
}

/// Writes a file at once: whoever reads it meanwhile reads the one before.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    // The folder may be a network's: on two machines two processes may have one number.
    let new = folder.join(format!(".h5mount-new-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let mut file = std::fs::File::create_new(&new)?;
    let renamed = file.write_all(bytes).and_then(|()| std::fs::rename(&new, path));
    if renamed.is_err() {
        // What is left of it would lie there for ever.
        let _ = std::fs::remove_file(&new);
    }
    renamed
}

/// How long a store of indexes that does not answer is left alone: files are read without it meanwhile, and a reader who
/// tries it again waits for as long as a request may take.
const AWAY: Duration = Duration::from_secs(60);
/// How long an index is asked for at most, repetitions included, unless its bytes flow. Whoever waits for it could have read
/// the file instead.
const DEADLINE: Duration = Duration::from_secs(10);

/// A store, opened when it can be.
#[derive(Debug)]
struct Stored {
    bucket: Bucket,
    settings: StoreSettings,
    /// Locked by whoever opens it.
    opened: tokio::sync::Mutex<Option<Arc<Store>>>,
    /// When it was last found away.
    away: Mutex<Option<Instant>>,
    /// How long it is left alone then.
    pause: Duration,
}

impl Stored {
    fn at(bucket: &Bucket, settings: StoreSettings, pause: Duration) -> Stored {
        let cloud_deadline = settings.cloud_deadline.min(DEADLINE);
        let settings = StoreSettings { cloud_deadline, ..settings };
        Stored { bucket: bucket.clone(), settings, opened: Default::default(), away: Mutex::default(), pause }
    }

    async fn open(&self) -> Result<Arc<Store>, StoreError> {
        let mut opened = self.opened.lock().await;
        if let Some(store) = &*opened {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(Store::open_with(&self.bucket, self.settings.clone()).await?);
        *opened = Some(Arc::clone(&store));
        Ok(store)
    }

    fn is_away(&self) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|then| then.elapsed() < self.pause)
    }

    fn leave_alone(&self, error: &StoreError) {
        let seconds = self.pause.as_secs();
        tracing::warn!(%error, "no indexes from --index-dir: files are read without; tried again after {seconds} s");
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

#[async_trait]
impl Shelf for Stored {
    fn is_near(&self) -> bool {
        false
    }

    async fn get(&self, domain: &Location) -> Option<Bytes> {
        let key = Key::new(path_of(domain)?);
        if self.is_away() {
            return None;
        }
        let asked = match self.open().await {
            Ok(store) => store.get_if(&key, None, LARGEST).await,
            // Whatever is wrong with it is wrong for every file.
            Err(error) => {
                self.leave_alone(&error);
                return None;
            }
        };
        match asked {
            Ok(object) => return Some(object.bytes),
            Err(error) if error.is_not_found() => {}
            Err(error) if error.is_transient() => self.leave_alone(&error),
            Err(error) => tracing::debug!(%error, "an index cannot be read; its file is read instead"),
        }
        None
    }

    async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String> {
        let key = Key::new(path_of(domain).ok_or("no key can have its name")?);
        let store = self.open().await.map_err(|error| error.to_string())?;
        replace(&store, &key, description).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::location::Bucket;

    fn domain(bucket: &str, key: &str) -> Location {
        Location { bucket: Bucket::new(bucket), key: Key::new(key) }
    }

    #[test]
    fn a_description_lies_where_its_file_does() {
        let path = |bucket: &str, key: &str| path_of(&domain(bucket, key));
        assert_eq!(path("s3://b", "home/x.h5/.domain.json").as_deref(), Some("s3/b/home/x.h5.h5mount-index"));
        assert_eq!(path("az://a/c/in", "x/.domain.json").as_deref(), Some("az/a/c/in/x.h5mount-index"));
        assert_eq!(path("s3://b", "in/run7.nc").as_deref(), Some("s3/b/in/run7.nc.h5mount-index"));
        for (bucket, key) in
            [("s3://b", ".domain.json"), ("s3://b", "../x/.domain.json"), ("s3://b", "a//b/.domain.json")]
        {
            assert_eq!(path(bucket, key), None, "{key}");
        }
        let of = domain("s3://b", "x.h5/.domain.json");
        let told = |index| place(&index, &of);
        assert_eq!(told(IndexPlace::Folder("/idx".into())).as_deref(), Some("/idx/s3/b/x.h5.h5mount-index"));
        let store = IndexPlace::Store(Bucket::new("gs://c/idx"));
        assert_eq!(told(store).as_deref(), Some("gs://c/idx/s3/b/x.h5.h5mount-index"));
    }

    /// Answers every request at `address` with these bytes, until the process ends.
    fn serve(address: std::net::SocketAddr, bytes: &'static [u8]) {
        let listener = std::net::TcpListener::bind(address).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = [0; 4096];
                let _ = std::io::Read::read(&mut stream, &mut asked).unwrap();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\netag: \"e\"\r\nconnection: close\r\n\r\n",
                    bytes.len()
                );
                stream.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
            }
        });
    }

    #[tokio::test]
    async fn a_store_of_indexes_that_is_away_is_used_once_it_is_back() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = domain("s3://b", "x/.domain.json");
        let settings = StoreSettings { first_deadline: Duration::from_millis(50), ..StoreSettings::default() };
        let shelf = Stored::at(&Bucket::new(format!("http://{address}")), settings, Duration::from_millis(20));
        assert_eq!(shelf.get(&file).await, None);
        assert!(shelf.put(&file, Bytes::from_static(b"x")).await.is_err());
        serve(address, b"index");
        // Left alone for a while: nobody waits for it.
        *shelf.away.lock().unwrap() = Some(Instant::now() + Duration::from_secs(1));
        assert_eq!(shelf.get(&file).await, None);
        *shelf.away.lock().unwrap() = Some(Instant::now() - Duration::from_millis(21));
        assert_eq!(shelf.get(&file).await.as_deref(), Some(&b"index"[..]));
    }

    #[tokio::test]
    async fn a_mount_starts_without_the_store_of_its_indexes_unless_that_can_never_be_one() {
        // Nobody says who asks, and no machine of Google is here.
        let variables = [("GCE_METADATA_HOST".to_owned(), "127.0.0.1:1".to_owned())].into();
        let settings = StoreSettings {
            access: crate::store::Access { variables, ..Default::default() },
            ..StoreSettings::default()
        };
        let of = async |bucket: &str| of(None, Some(&IndexPlace::Store(Bucket::new(bucket))), settings.clone()).await;
        let shelves = of("gs://indexes").await.unwrap();
        assert_eq!(shelves.given.unwrap().get(&domain("gs://b", "x/.domain.json")).await, None);
        assert!(matches!(of("gs://No Bucket").await, Err(StoreError::Unsupported { .. })));
    }

    #[test]
    fn whoever_writes_at_the_same_time_writes_a_file_of_its_own() {
        // As two machines do, whose processes have one number.
        let dir = tempfile::tempdir().unwrap();
        let path = |number: u8| dir.path().join(format!("x{number}"));
        std::thread::scope(|threads| {
            for number in 0..8 {
                let path = path(number);
                threads.spawn(move || (0..50).for_each(|_| write(&path, &[number; 10_000]).unwrap()));
            }
        });
        for number in 0..8 {
            assert_eq!(std::fs::read(path(number)).unwrap(), [number; 10_000]);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 8);
    }

    #[tokio::test]
    async fn a_folder_keeps_one_description_of_each_file() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Folder::at(dir.path().join("not/there/yet"));
        let (one, other) = (domain("s3://b", "x/.domain.json"), domain("s3://b", "y/.domain.json"));
        assert!(!shelf.looked.is_completed());
        assert_eq!(shelf.get(&one).await, None);
        assert!(shelf.looked.is_completed());
        for bytes in [&b"first"[..], b"second"] {
            shelf.put(&one, Bytes::from_static(bytes)).await.unwrap();
            assert_eq!(shelf.get(&one).await.as_deref(), Some(bytes));
        }
        assert_eq!(shelf.get(&other).await, None);
        let left: Vec<_> = std::fs::read_dir(dir.path().join("not/there/yet/s3/b")).unwrap().collect();
        assert_eq!(left.len(), 1);
    }
}
