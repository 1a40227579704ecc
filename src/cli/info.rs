//! `h5mount info`: how much there is of everything, without reading any data.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::inspect::{Columns, Opened, bytes, counted, plain, print, print_json, run};
use super::paths::Paths;
use super::stored::{Sizes, StoredFile, datasets};
use super::wording::{filters, shape, type_use};
use super::{Exit, Failed, LogOptions, SourceArgs};
use crate::fetch::{FileChunks, Found};
use crate::model::chunk::{ChunkId, ChunkRecipe, ChunkSource};
use crate::model::hierarchy::{Dataset, Hierarchy, ObjectId, ObjectKind};
use crate::model::problem::Problem;
use crate::source::{Contents, EntryKind};

/// Flags of `info`.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct Info {
    /// What to look at: a file, a folder or a whole store.
    #[command(flatten)]
    pub source: SourceArgs,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

const NOTES: &str = "\
Examples:
  h5mount info s3://lab/home/ann
      sums of a folder and all below
  h5mount info run7.h5
      one file, and each of its datasets

Stored bytes are counted by listing the store; no chunk is read. Files of schema v1 cannot be \
listed one by one, and web servers not at all, so the stored bytes of such files are unknown.

Exits 1 where a file could not be read, and the sums lack it.

JSON: {source, totals, schemas, dialects, problems, unreadable, datasets}. totals: folders, files, plain_files, \
plain_bytes, groups, datasets, datatypes, links, attributes, chunks (of all grids), stored_chunks, stored_objects, \
stored_bytes, chunk_bytes, metadata_bytes, linked_chunks, linked_bytes, logical_bytes, unlisted_files. problems: file, \
path, key, reason. unreadable: file, reason. datasets (where SOURCE is one file): path, type, shape, chunk, filters, \
chunks, chunk_bytes (plain, null where it varies), stored_chunks, stored_bytes, smallest, largest (stored chunk), \
linked_chunks, linked_bytes, logical_bytes.";

/// Chunks of one linked dataset that are looked up in its chunk table; beyond it the rest is not counted.
const LINKED_LOOKED_UP: u64 = 1_000_000;

/// Sums over files.
#[derive(Debug, Default, Serialize)]
struct Totals {
    folders: u64,
    files: u64,
    plain_files: u64,
    plain_bytes: u64,
    groups: u64,
    datasets: u64,
    datatypes: u64,
    links: u64,
    attributes: u64,
    chunks: u64,
    stored_chunks: u64,
    stored_objects: u64,
    stored_bytes: u64,
    chunk_bytes: u64,
    metadata_bytes: u64,
    linked_chunks: u64,
    linked_bytes: u64,
    logical_bytes: u64,
    /// Files whose stored bytes are not known.
    unlisted_files: u64,
}

/// One dataset.
#[derive(Debug, Serialize)]
struct DatasetInfo {
    path: String,
    r#type: String,
    shape: String,
    chunk: Option<Vec<u64>>,
    filters: Vec<String>,
    chunks: u64,
    chunk_bytes: Option<u64>,
    stored_chunks: Option<u64>,
    stored_bytes: Option<u64>,
    smallest: Option<u64>,
    largest: Option<u64>,
    linked_chunks: u64,
    linked_bytes: u64,
    logical_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct FileProblem {
    file: String,
    #[serde(flatten)]
    problem: Problem,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    file: String,
    reason: String,
}

/// All that is told.
#[derive(Debug, Default, Serialize)]
struct Report {
    source: String,
    totals: Totals,
    schemas: BTreeMap<String, u64>,
    dialects: BTreeMap<String, u64>,
    problems: Vec<FileProblem>,
    unreadable: Vec<Unreadable>,
    datasets: Option<Vec<DatasetInfo>>,
}

impl Info {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        run(log, async {
            let opened = Opened::open(&self.source).await?;
            let mut report = Report { source: opened.place.to_string(), ..Report::default() };
            for found in opened.everything().await? {
                match found.kind() {
                    EntryKind::Folder => report.totals.folders += 1,
                    EntryKind::Plain { size, .. } => {
                        report.totals.plain_files += 1;
                        report.totals.plain_bytes = report.totals.plain_bytes.saturating_add(*size);
                    }
                    // What it is could not be found out: opening it says why.
                    EntryKind::File | EntryKind::Unclear => {
                        report.totals.files += 1;
                        if let Err(failed) = report.file(&opened, &found.path).await {
                            // Asked for alone, it is the command that failed.
                            if opened.kind == EntryKind::File {
                                return Err(failed);
                            }
                            report.unreadable.push(Unreadable { file: found.path, reason: failed.message });
                        }
                    }
                }
            }
            match self.json {
                true => print_json(&json!(report))?,
                false => print(&report.text())?,
            }
            // Sums that lack files are not what was asked for, and a script must see that.
            Ok(if report.unreadable.is_empty() { Exit::Done } else { Exit::Faults })
        })
    }
}

impl Report {
    async fn file(&mut self, opened: &Opened, path: &str) -> Result<(), Failed> {
        let contents = opened.contents(path).await?;
        let store = opened.house.stores.home();
        let stored = StoredFile::count(store, &contents).await.map_err(|error| Failed::new(Exit::Source, error))?;
        self.objects(&contents);
        let totals = &mut self.totals;
        match &stored {
            Some(stored) => {
                let (chunks, bytes) = stored.chunk_totals();
                totals.stored_objects += stored.objects;
                totals.stored_bytes = totals.stored_bytes.saturating_add(stored.bytes);
                totals.stored_chunks += chunks;
                totals.chunk_bytes = totals.chunk_bytes.saturating_add(bytes);
                totals.metadata_bytes = totals.metadata_bytes.saturating_add(stored.bytes - bytes.min(stored.bytes));
            }
            None => totals.unlisted_files += 1,
        }
        let paths = Arc::new(Paths::of_hierarchy(&contents.hierarchy));
        let file = opened.chunks(path, &contents, &paths);
        // One request for each object that the description links to.
        opened.house.fetcher.look_at_links(&file).await;
        let mut infos = Vec::new();
        for id in datasets(&contents.hierarchy) {
            let Some(info) = dataset(opened, &contents, &file, &paths, stored.as_ref(), id).await? else { continue };
            totals.chunks = totals.chunks.saturating_add(info.chunks);
            totals.linked_chunks = totals.linked_chunks.saturating_add(info.linked_chunks);
            totals.linked_bytes = totals.linked_bytes.saturating_add(info.linked_bytes);
            totals.logical_bytes = totals.logical_bytes.saturating_add(info.logical_bytes.unwrap_or(0));
            infos.push(info);
        }
        if opened.kind == EntryKind::File {
            self.datasets = Some(infos);
        }
        for (name, counts) in [("schema", &mut self.schemas), ("dialect", &mut self.dialects)] {
            let value = contents.facts.get(name).map_or("unknown", String::as_str);
            *counts.entry(value.to_owned()).or_default() += 1;
        }
        let problems = contents.problems.into_iter().chain(file.problems());
        self.problems.extend(problems.map(|problem| FileProblem { file: path.to_owned(), problem }));
        Ok(())
    }

    fn objects(&mut self, contents: &Contents) {
        for object in &contents.hierarchy.objects {
            match &object.kind {
                ObjectKind::Group(group) => {
                    self.totals.groups += 1;
                    self.totals.links += group.links.len() as u64;
                }
                ObjectKind::Dataset(_) => self.totals.datasets += 1,
                ObjectKind::Datatype(_) => self.totals.datatypes += 1,
            }
            self.totals.attributes += object.attributes.len() as u64;
        }
    }

    fn text(&self) -> String {
        let totals = &self.totals;
        let mut lines = Columns::new(&[]);
        let mut line = |name: &str, text: String| lines.row([name.to_owned(), text]);
        line("source", plain(&self.source));
        if self.datasets.is_none() {
            let folders = counted(totals.folders, "folder", "folders");
            line("files", format!("{} in {folders}", totals.files));
            if totals.plain_files > 0 {
                line("other objects", format!("{} ({})", totals.plain_files, bytes(totals.plain_bytes)));
            }
        }
        let kinds = |counts: &BTreeMap<String, u64>| match counts.len() {
            1 => counts.keys().cloned().collect::<String>(),
            _ => counts.iter().map(|(kind, count)| format!("{kind} ({count})")).collect::<Vec<_>>().join(", "),
        };
        line("schema", kinds(&self.schemas));
        line("dialect", kinds(&self.dialects));
        line(
            "objects",
            format!(
                "{}, {}, {}, {}, {}",
                counted(totals.groups, "group", "groups"),
                counted(totals.datasets, "dataset", "datasets"),
                counted(totals.datatypes, "datatype", "datatypes"),
                counted(totals.links, "link", "links"),
                counted(totals.attributes, "attribute", "attributes"),
            ),
        );
        // Of none of them is it known what is stored: no sum says so.
        let unknown = totals.unlisted_files > 0 && totals.unlisted_files == totals.files;
        let stored = if unknown { "?".to_owned() } else { totals.stored_chunks.to_string() };
        line("chunks", format!("{stored} of {} stored, {} linked", totals.chunks, totals.linked_chunks));
        line("logical bytes", bytes(totals.logical_bytes));
        let sums = || {
            format!(
                "{} in {} (chunks {}, metadata {})",
                bytes(totals.stored_bytes),
                counted(totals.stored_objects, "object", "objects"),
                bytes(totals.chunk_bytes),
                bytes(totals.metadata_bytes),
            )
        };
        line("stored bytes", if unknown { "?".to_owned() } else { sums() });
        if totals.unlisted_files > 0 {
            let files = counted(totals.unlisted_files, "file", "files");
            line("", format!("not counted: {files} whose objects cannot be listed (a web server, the first schema)"));
        }
        line("linked bytes", bytes(totals.linked_bytes));
        line("problems", self.problems.len().to_string());
        if !self.unreadable.is_empty() {
            let files = counted(self.unreadable.len() as u64, "file", "files");
            line("unreadable", format!("{files}, of which nothing is counted above"));
        }
        let mut out = lines.to_string();
        for FileProblem { file, problem } in &self.problems {
            out += &format!("  {}:{}\n", plain(file), plain(&problem.to_string()));
        }
        for Unreadable { file, reason } in &self.unreadable {
            out += &format!("  {}: cannot be read: {}\n", plain(file), plain(reason));
        }
        if let Some(infos) = &self.datasets {
            out += "\n";
            let mut columns = Columns::new(&[2, 3, 4, 5, 6, 7]);
            columns.row(
                ["dataset", "chunk", "chunks", "stored", "logical", "bytes", "smallest", "largest", "filters"]
                    .map(str::to_owned),
            );
            for info in infos {
                let size = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), bytes);
                let linked = info.linked_chunks > 0;
                let stored = if linked { Some(info.linked_chunks) } else { info.stored_chunks };
                columns.row([
                    plain(&info.path),
                    info.chunk.as_ref().map_or_else(|| "one piece".to_owned(), |chunk| format!("{chunk:?}")),
                    info.chunks.to_string(),
                    stored.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                    size(info.logical_bytes),
                    size(if linked { Some(info.linked_bytes) } else { info.stored_bytes }),
                    size(info.smallest),
                    size(info.largest),
                    format!("{}{}", info.filters.join(", "), if linked { " (linked)" } else { "" }),
                ]);
            }
            out += &columns.to_string();
        }
        out
    }
}

async fn dataset(
    opened: &Opened,
    contents: &Contents,
    file: &Arc<FileChunks>,
    paths: &Paths,
    stored: Option<&StoredFile>,
    id: ObjectId,
) -> Result<Option<DatasetInfo>, Failed> {
    let hierarchy: &Hierarchy = &contents.hierarchy;
    let Some(ObjectKind::Dataset(dataset)) = hierarchy.get(id).map(|object| &object.kind) else { return Ok(None) };
    let recipe = contents.chunks.recipe(id);
    let (linked_chunks, linked_bytes) = match recipe {
        // What lies in the file itself is no link.
        Some(recipe) if contents.chunks.container().is_none() => linked(opened, contents, file, id, recipe).await,
        _ => (0, 0),
    };
    let sizes: Option<&Sizes> = stored.and_then(|stored| stored.chunks.get(&id));
    Ok(Some(DatasetInfo {
        path: paths.of(id),
        r#type: type_use(hierarchy, &dataset.datatype),
        shape: shape(&dataset.dataspace),
        chunk: match &dataset.layout {
            crate::model::hierarchy::DataLayout::Chunked(extents) => Some(extents.clone()),
            _ => None,
        },
        filters: filters(&dataset.filters),
        chunks: recipe.map_or(0, |recipe| recipe.grid.total()),
        chunk_bytes: recipe.and_then(|recipe| recipe.raw_len),
        stored_chunks: stored.map(|_| sizes.map_or(0, |sizes| sizes.chunks)),
        stored_bytes: stored.map(|_| sizes.map_or(0, |sizes| sizes.bytes)),
        smallest: sizes.map(|sizes| sizes.smallest),
        largest: sizes.map(|sizes| sizes.largest),
        linked_chunks,
        linked_bytes,
        logical_bytes: recipe.and_then(|recipe| logical(dataset, recipe)),
    }))
}

/// Bytes of a dataset's elements as the store keeps one, uncompressed; `None` where they vary in length.
fn logical(dataset: &Dataset, recipe: &ChunkRecipe) -> Option<u64> {
    let element = recipe.raw_len?.checked_div(recipe.grid.chunk_elements()?)?;
    dataset.dataspace.elements()?.checked_mul(element)
}

/// Chunks of a dataset that lie in other files, and their bytes there.
async fn linked(
    opened: &Opened,
    contents: &Contents,
    file: &Arc<FileChunks>,
    id: ObjectId,
    recipe: &ChunkRecipe,
) -> (u64, u64) {
    let (mut chunks, mut bytes) = (0, 0u64);
    for number in 0..recipe.grid.total().min(LINKED_LOOKED_UP) {
        let range = match contents.chunks.locate(id, &recipe.grid.coordinates(number)) {
            // All of a dataset's chunks are objects, or none is.
            ChunkSource::Object(_) | ChunkSource::Computed { .. } => break,
            ChunkSource::Fill => continue,
            ChunkSource::Range(_, range) => range,
            // A row that cannot be read is told by `check`.
            ChunkSource::Table { .. } => {
                match opened.house.fetcher.whereabouts(file, ChunkId { dataset: id, number }).await {
                    Ok(Found::Range(_, range)) => range,
                    _ => continue,
                }
            }
        };
        chunks += 1;
        bytes = bytes.saturating_add(range.end.saturating_sub(range.start));
    }
    (chunks, bytes)
}
