//! `h5mount advise`: what reading a file from far away costs, as it is stored and as it is shown, and what would mend it.

mod report;
mod traits;

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::inspect::{Opened, bar, plain, print, print_json, run};
use super::paths::Paths;
use super::stored::{StoredFile, datasets};
use super::{Exit, Failed, LogOptions, SourceArgs};
use crate::advice::checklist::{Advice, File, of_dataset, of_file};
use crate::advice::cost::Cost;
use crate::advice::opening::{Opening, opening};
use crate::model::hierarchy::ObjectId;
use crate::source::hdf5::survey::{Survey, survey};
use crate::source::{Contents, EntryKind};
use traits::DatasetReport;

/// Flags of `advise`.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct Advise {
    /// What to judge: a file, a folder or a whole store.
    #[command(flatten)]
    pub source: SourceArgs,
    /// One JSON document instead of tables
    #[arg(long)]
    pub json: bool,
}

const NOTES: &str = "\
Examples:
  h5mount advise run7.nc                        an HDF5 or netCDF-4 file, as stored and as shown
  h5mount advise s3://BUCKET/archive --json     all of a folder, for a script
  h5mount advise /data/hsds/bucket/home/run7.h5 a domain of HSDS, as shown

Metadata are read, of domains the store is listed, and no chunk is read. A series is one point at every place along the \
first dimension that may grow without limit (else the first), a map everything at one place along it. Requests are those of a \
reader that asks for each written chunk once. Exits 0 whatever the advice is.

JSON: {source, files}. A file has file, size, kind (hdf5, hsds), shown, stored (of HDF5 files: strategy, page, superblock, \
structures, metadata_bytes, unnamed_bytes, opening {each, head, blocks, pages}), opening (as shown: requests, bytes), \
datasets, advice, error. A dataset has path, type, shape, chunk, chunk_bytes, filters, chunks (written), plain_bytes, \
stored_bytes, ratio, series, map, scan, each with stored and shown {requests, bytes}. A point of advice has topic, path \
(null for the file), text, mend (commands).";

/// How a file is laid out in the store.
#[derive(Debug, Serialize)]
struct StoredAs {
    strategy: &'static str,
    page: Option<u64>,
    superblock: u8,
    structures: u64,
    metadata_bytes: u64,
    unnamed_bytes: u64,
    opening: Opening,
}

/// What is told of one file.
#[derive(Debug, Serialize)]
struct FileReport {
    file: String,
    size: Option<u64>,
    kind: &'static str,
    shown: String,
    stored: Option<StoredAs>,
    /// What opening it took just now.
    opening: Cost,
    datasets: Vec<DatasetReport>,
    advice: Vec<Advice>,
    /// Why nothing more is told.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    source: String,
    files: Vec<FileReport>,
}

impl Advise {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        run(log, async {
            let opened = Opened::open(&self.source).await?;
            let mut files = Vec::new();
            let found = opened.everything().await?;
            let progress = bar(found.len() as u64, "{bar:30} {pos}/{len}  {elapsed}  {wide_msg}");
            for found in found {
                if matches!(found.kind(), EntryKind::File | EntryKind::Unclear) {
                    files.push(of(&opened, &found.path, &progress).await?);
                }
                progress.inc(1);
            }
            progress.finish_and_clear();
            if let (EntryKind::Plain { .. }, true) = (&opened.kind, files.is_empty()) {
                let message = format!("{}: neither an HDF5 file nor a domain of HSDS", opened.place);
                return Err(Failed::new(Exit::Source, message));
            }
            let report = Report { source: opened.place.to_string(), files };
            match self.json {
                true => print_json(&report)?,
                false => print(&report.files.iter().map(FileReport::text).collect::<Vec<_>>().join("\n"))?,
            }
            Ok(Exit::Done)
        })
    }
}

/// What is told of the file at `path`.
async fn of(opened: &Opened, path: &str, progress: &ProgressBar) -> Result<FileReport, Failed> {
    progress.set_message(plain(path));
    let store = opened.house.stores.home();
    let before = store.counters();
    let contents = opened.contents(path).await;
    let took = store.counters().since(before);
    let mut report = FileReport {
        file: path.to_owned(),
        size: None,
        kind: "hsds",
        shown: "as an HDF5 file".to_owned(),
        stored: None,
        opening: Cost { requests: took.gets + took.ranged_gets + took.heads + took.lists, bytes: took.bytes },
        datasets: Vec::new(),
        advice: Vec::new(),
        error: None,
    };
    let contents = match contents {
        Ok(contents) => contents,
        // Asked for alone, it is the command that failed.
        Err(error) if opened.kind == EntryKind::File => return Err(error.into()),
        Err(error) => return Ok(FileReport { error: Some(error.to_string()), ..report }),
    };
    if let Some(shown) = contents.facts.get("shown") {
        report.shown = shown.clone();
    }
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut file = traits::file(&name, &contents);
    let Some(container) = contents.chunks.container().cloned() else {
        let stored = StoredFile::count(store, &contents).await;
        let stored = stored.map_err(|error| Failed::new(Exit::Source, error))?;
        report.judge(&file, &contents, stored.as_ref(), &[]);
        return Ok(report);
    };
    (report.kind, report.size) = ("hdf5", Some(container.size));
    let surveyed = survey(store, &container.location.key, container.size).await?;
    let Survey { contents: Some(anew), facts: Some(facts), packed, structures, ledger, findings, .. } = surveyed else {
        let first = surveyed.findings.first();
        report.error =
            first.map(|finding| format!("{}: {} (at byte {})", finding.structure, finding.reason, finding.at));
        return Ok(report);
    };
    let opening = opening(&structures, facts.page);
    file = traits::file(&name, &anew);
    file.size = container.size;
    (file.strategy, file.page) = (facts.strategy.to_owned(), facts.page);
    (file.metadata, file.unnamed, file.opening) = (ledger.metadata, ledger.unnamed_bytes(), opening);
    report.stored = Some(StoredAs {
        strategy: facts.strategy,
        page: facts.page,
        superblock: facts.superblock,
        structures: structures.len() as u64,
        metadata_bytes: ledger.metadata,
        unnamed_bytes: file.unnamed,
        opening,
    });
    if !findings.is_empty() {
        report.error = Some(format!("{} findings: see `h5mount check`", findings.len()));
    }
    report.advice = of_file(&file);
    let stored = StoredFile::count(store, &anew).await;
    let stored = stored.map_err(|error| Failed::new(Exit::Source, error))?;
    let packed: Vec<_> = packed.into_iter().map(|(id, _)| id).collect();
    report.judge(&file, &anew, stored.as_ref(), &packed);
    Ok(report)
}

impl FileReport {
    /// Adds every dataset, and the advice on it.
    fn judge(&mut self, file: &File, contents: &Contents, stored: Option<&StoredFile>, packed: &[ObjectId]) {
        let paths = Paths::of_hierarchy(&contents.hierarchy);
        for id in datasets(&contents.hierarchy) {
            let sizes = stored.map(|stored| stored.chunks.get(&id).copied());
            let Some((told, traits)) = traits::dataset(contents, &paths, id, sizes, packed.contains(&id)) else {
                continue;
            };
            self.advice.extend(of_dataset(file, &traits));
            self.datasets.push(told);
        }
    }
}
