//! The server's own paths, by which a test says what it does next and asks what it did.
//!
//! | request | does |
//! |---|---|
//! | `GET /__stats` | sums of the ledger |
//! | `GET /__log` | the ledger, one JSON object a line |
//! | `POST /__reset` | forgets the ledger |
//! | `PUT /__settings` | sets any of [`Settings`] |
//! | `PUT /__rules` | the rules from now on, a list of [`Rule`] |
//! | `PUT /__bucket` | makes or changes a bucket: [`AboutBucket`] |
//! | `PUT /__object` | changes what is told of an object: [`AboutObject`] |

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::State;
use super::answer::{self, Answer};
use super::rules::Rule;
use crate::clock;

/// How the server behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Milliseconds before each answer.
    pub delay_ms: u64,
    /// Most keys in a page of a listing.
    pub page: usize,
    /// Seconds by which the server's clock goes ahead of the machine's.
    pub clock_ahead: i64,
    /// The access keys that exist; any where empty.
    pub access_keys: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { delay_ms: 0, page: 1000, clock_ahead: 0, access_keys: Vec::new() }
    }
}

/// A bucket to be made or changed; what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AboutBucket {
    name: String,
    region: Option<String>,
    public: Option<bool>,
    /// A folder whose files become its objects.
    folder: Option<PathBuf>,
}

/// What is told of an object; what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AboutObject {
    bucket: String,
    key: String,
    /// Seconds since the epoch.
    modified: Option<i64>,
    storage_class: Option<String>,
}

/// Whether a path is one of these.
pub fn is_control(path: &str) -> bool {
    path.starts_with("/__")
}

/// Carries out a request to one of these paths.
pub fn answer(method: &str, path: &str, body: &Bytes, state: &State) -> Answer {
    let done = match (method, path) {
        ("GET", "/__stats") => return answer::json(200, &state.ledger().sums()),
        ("GET", "/__log") => {
            let ledger = state.ledger();
            let lines = ledger.entries().iter().filter_map(|entry| serde_json::to_string(entry).ok());
            return answer::with(200, &[], lines.collect::<Vec<_>>().join("\n"));
        }
        ("POST", "/__reset") => {
            state.ledger().reset();
            Ok(())
        }
        ("PUT", "/__settings") => parsed(body).map(|settings: Settings| *state.settings() = settings),
        ("PUT", "/__rules") => parsed(body).map(|rules: Vec<Rule>| state.rules().0 = rules),
        ("PUT", "/__bucket") => parsed(body).and_then(|about| set_bucket(about, state)),
        ("PUT", "/__object") => parsed(body).and_then(|about| set_object(about, state)),
        _ => Err(format!("no {method} {path} here")),
    };
    match done {
        Ok(()) => answer::json(200, &serde_json::json!({ "done": true })),
        Err(error) => answer::json(400, &serde_json::json!({ "error": error })),
    }
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn set_bucket(about: AboutBucket, state: &State) -> Result<(), String> {
    let mut bucket = state.holdings().buckets.get(&about.name).cloned().unwrap_or_default();
    bucket.region = about.region.unwrap_or(bucket.region);
    bucket.public = about.public.unwrap_or(bucket.public);
    if let Some(folder) = about.folder {
        bucket.load_folder(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    state.holdings().buckets.insert(about.name, bucket);
    Ok(())
}

fn set_object(about: AboutObject, state: &State) -> Result<(), String> {
    let mut holdings = state.holdings();
    let bucket = holdings.buckets.get_mut(&about.bucket);
    let Some(object) = bucket.and_then(|bucket| bucket.objects.get_mut(&about.key)) else {
        return Err(format!("no object {}/{}", about.bucket, about.key));
    };
    if let Some(modified) = about.modified {
        object.modified = clock::at(modified);
    }
    object.storage_class = about.storage_class.unwrap_or_else(|| object.storage_class.clone());
    Ok(())
}
