//! `h5mount index`: writes what describes each file as one object, from which it opens in one step.

use clap::Args;
use serde::Serialize;

use super::inspect::{Opened, bar, bytes, counted, plain, print, print_json, run};
use super::{Exit, Failed, LogOptions, SourceArgs};
use crate::config::IndexPlace;
use crate::service::shelves;
use crate::source::EntryKind;
use crate::source::shelf::Unkept;

/// Flags of `index`.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct Index {
    /// What to index: a file, a folder or a whole store.
    #[command(flatten)]
    pub source: SourceArgs,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

const NOTES: &str = "\
Examples:
  h5mount index s3://lab/home/ann/run7.h5
      an index beside the file, for all who read it
  h5mount index s3://lab/home
      one for every file in a folder and below
  h5mount index --index-dir /srv/indexes s3://nrel-pds-hsds/nrel --no-sign-request
      indexes in a folder, for a store that one may only read; later
  h5mount --index-dir /srv/indexes s3://nrel-pds-hsds/nrel /mnt/nrel --no-sign-request

A file of many objects costs a request for each when it is opened; with an index, three in all. Of an HDF5 file, whose metadata \
may lie strewn about, the index says what they say and where each chunk lies. An index is used as long as \
nothing of what it was made of has changed, so an old one costs a request and shows nothing old. Of a file that HSDS is \
still counting, or that cannot be compared in fewer requests than it takes to read it, none is written, and none of an HDF5 file that \
one request reads whole or that is shown as it is.

Exits 0 where all is done or nothing is needed (files on local disk, and HDF5 files that one request reads whole or that are shown as they are), 1 where an index that \
would serve could not be written.

JSON: {source, files, written, bytes, indexes}. indexes: file, objects, chunks (of an HDF5 file), bytes, place (URL or path; null where none was \
written), reason (where none was).";

/// The index of one file.
#[derive(Debug, Serialize)]
struct Told {
    file: String,
    objects: Option<u64>,
    chunks: Option<u64>,
    bytes: Option<u64>,
    place: Option<String>,
    reason: Option<String>,
    /// That there is none is a fault, and not how it should be.
    #[serde(skip)]
    failed: bool,
}

/// All that is told.
#[derive(Debug, Default, Serialize)]
struct Report {
    source: String,
    files: u64,
    written: u64,
    bytes: u64,
    indexes: Vec<Told>,
}

impl Index {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        run(log, async {
            let opened = Opened::open(&self.source).await?;
            let found = opened.everything().await?;
            let files = found.iter().filter(|found| matches!(found.kind(), EntryKind::File | EntryKind::Unclear));
            let files: Vec<&str> = files.map(|found| found.path.as_str()).collect();
            let bar = bar(files.len() as u64, "{bar:30} {pos}/{len} files {wide_msg}");
            let given = self.source.keep()?.index;
            let mut report = Report { source: opened.place.to_string(), ..Report::default() };
            for file in files {
                bar.set_message(plain(file));
                let told = index(&opened, file, given.as_ref()).await;
                if !self.json {
                    let line = told.line();
                    bar.suspend(|| print(&line))?;
                }
                report.files += 1;
                report.written += u64::from(told.place.is_some());
                report.bytes = report.bytes.saturating_add(told.bytes.unwrap_or(0));
                report.indexes.push(told);
                bar.inc(1);
            }
            bar.finish_and_clear();
            let failed = report.indexes.iter().any(|told| told.failed);
            match self.json {
                true => print_json(&report)?,
                false => print(&format!(
                    "{} of {} written ({})\n",
                    counted(report.written, "index", "indexes"),
                    counted(report.files, "file", "files"),
                    bytes(report.bytes)
                ))?,
            }
            Ok(if failed { Exit::Faults } else { Exit::Done })
        })
    }
}

impl Told {
    fn line(&self) -> String {
        let file = plain(&self.file);
        match (&self.place, &self.reason) {
            (Some(place), _) => format!(
                "{file}: {}{}, {} at {}\n",
                counted(self.objects.unwrap_or(0), "object", "objects"),
                self.chunks.map(|chunks| format!(", {}", counted(chunks, "chunk", "chunks"))).unwrap_or_default(),
                bytes(self.bytes.unwrap_or(0)),
                plain(place)
            ),
            (None, reason) => format!("{file}: none: {}\n", plain(reason.as_deref().unwrap_or_default())),
        }
    }
}

/// Writes the index of one file.
async fn index(opened: &Opened, file: &str, given: Option<&IndexPlace>) -> Told {
    let none = |reason: String, failed: bool| Told {
        file: file.to_owned(),
        objects: None,
        chunks: None,
        bytes: None,
        place: None,
        reason: Some(reason),
        failed,
    };
    let description = match opened.describe(file).await {
        Ok(description) => description,
        Err(error) => return none(error.to_string(), true),
    };
    if opened.house.given.is_none() && description.beside.is_none() {
        let near = opened.house.stores.home().capabilities().directories;
        let reason = match near {
            true => "it needs none: it lies on local disk; --index-dir names a place for one nonetheless",
            false => {
                "it has no place for an index beside it, as a file of the first schema; --index-dir names another place"
            }
        };
        return none(reason.to_owned(), !near);
    }
    match description.checked {
        Ok(_) => {}
        Err(Unkept::Needless(reason)) => return none(reason, false),
        Err(Unkept::NotNow(reason)) => return none(reason, true),
    }
    let bytes = description.bytes.len() as u64;
    let written = match (&opened.house.given, &description.beside) {
        (Some(shelf), _) => {
            let place = given.and_then(|given| shelves::place(given, &description.domain)).unwrap_or_default();
            shelf.put(&description.domain, description.bytes).await.map(|()| place)
        }
        (None, Some(key)) => {
            let home = opened.house.stores.home();
            let put = shelves::replace(home, key, description.bytes).await;
            put.map(|()| home.location(key).to_string()).map_err(|error| error.to_string())
        }
        (None, None) => return none(String::new(), false),
    };
    match written {
        Ok(place) => Told {
            file: file.to_owned(),
            objects: Some(description.objects),
            chunks: description.chunks,
            bytes: Some(bytes),
            place: Some(place),
            reason: None,
            failed: false,
        },
        Err(reason) => none(reason, true),
    }
}
