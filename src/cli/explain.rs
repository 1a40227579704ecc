//! `h5mount explain`: which chunks, objects of the store and byte ranges a read touches.

use std::sync::Arc;

use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::inspect::{Columns, Opened, bytes, counted, plain, print, print_json, run};
use super::paths::{Astray, Paths, resolve};
use super::wording::{elsewhere, filters, shape, type_use};
use super::{Exit, Failed, LogOptions, SourceArgs};
use crate::fetch::{FetchError, FileChunks, Found};
use crate::model::chunk::{ChunkId, ChunkRecipe};
use crate::model::hierarchy::{Hierarchy, ObjectKind};
use crate::model::hyperslab::{self, Hyperslab, TouchedChunk};
use crate::source::{Body, EntryKind};
use crate::store::StoreError;

/// Flags of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// The file.
    #[command(flatten)]
    pub source: SourceArgs,
    /// A dataset and, in brackets as in Python, a part of it: '/dset[0:10, ::2]'
    pub selection: String,
    /// Chunks to look for in the store, one question each; the rest is only counted
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: u64,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  h5mount explain run7.h5 '/temperature[0, ..., 10:20]'
      which chunks a read of this part touches, and where they lie
  h5mount explain --limit 20 run7.h5 /temperature
      no more than twenty of them

JSON: {source, dataset, type, shape, chunk, filters, selection, selected (elements), chunk_count, chunk_bytes (plain), \
chunks}. Each of chunks has chunk (coordinates), number, elements (selected in it), state (stored, linked from another file, \
computed, absent, unreadable), and where there is one object, offset, length (bytes in it), reason (unreadable). Exits 1 if a \
chunk is unreadable, 2 if the selection means nothing, 3 if SOURCE is no file of the store or holds no such data.";

/// Questions to the store at a time.
const AT_ONCE: usize = 32;

impl Explain {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        run(log, async {
            let opened = Opened::open(&self.source).await?;
            if opened.kind != EntryKind::File {
                return Err(Failed::new(Exit::Source, format!("{}: not an HDF5 file of the store", opened.place)));
            }
            let contents = opened.contents(&opened.place.path).await?;
            if let (Body::Object { .. }, Some(shown)) = (&contents.body, contents.facts.get("shown")) {
                return Err(Failed::new(Exit::Source, format!("{}: shown {shown}", opened.place)));
            }
            let subject = Subject::find(&contents.hierarchy, &self.selection)?;
            let paths = Arc::new(Paths::of_hierarchy(&contents.hierarchy));
            let file = opened.chunks(&opened.place.path, &contents, &paths);
            let Some(recipe) = contents.chunks.recipe(subject.id) else {
                return Err(Failed::new(Exit::Source, format!("{}: has no data", subject.path)));
            };
            if let Some(ObjectKind::Dataset(dataset)) = contents.hierarchy.get(subject.id).map(|object| &object.kind)
                && let Some(place) = elsewhere(&dataset.layout)
            {
                let reason = format!("{}: has no chunks: its elements are {place}", subject.path);
                return Err(Failed::new(Exit::Source, reason));
            }
            let found = self.chunks(&opened, &file, &subject, recipe).await?;
            match self.json {
                true => print_json(&subject.json(&opened, &contents.hierarchy, recipe, &found))?,
                false => print(&subject.text(&contents.hierarchy, recipe, &found))?,
            }
            let unreadable = found.iter().any(|located| matches!(located.state, State::Unreadable { .. }));
            Ok(if unreadable { Exit::Faults } else { Exit::Done })
        })
    }

    async fn chunks(
        &self,
        opened: &Opened,
        file: &Arc<FileChunks>,
        subject: &Subject,
        recipe: &ChunkRecipe,
    ) -> Result<Vec<Located>, Failed> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let located = stream::iter(subject.slab.chunks(&recipe.grid).take(limit)).map(|touched| async move {
            let number = recipe.grid.number(&touched.coordinates).ok_or_else(|| {
                Failed::new(Exit::Source, format!("{}: the chunks do not fit its shape", subject.path))
            })?;
            let state = state(opened, file, ChunkId { dataset: subject.id, number }).await;
            Ok::<_, Failed>(Located { touched, number, state })
        });
        located.buffered(AT_ONCE).try_collect().await
    }
}

/// What a chunk's bytes are.
enum State {
    Stored { place: String, offset: u64, length: u64 },
    Linked { place: String, offset: u64, length: u64 },
    Computed { place: String },
    Absent { place: Option<String> },
    Unreadable { reason: String },
}

/// A chunk, looked for in the store.
struct Located {
    touched: TouchedChunk,
    number: u64,
    state: State,
}

async fn state(opened: &Opened, file: &Arc<FileChunks>, id: ChunkId) -> State {
    let found = match opened.house.fetcher.whereabouts(file, id).await {
        Ok(found) => found,
        Err(error) => return State::Unreadable { reason: error.to_string() },
    };
    let (location, computed) = match found {
        Found::Nowhere => return State::Absent { place: None },
        Found::Range(location, range) => {
            let (place, offset, length) = (location.to_string(), range.start, range.end.saturating_sub(range.start));
            // What lies in the file itself is not linked from elsewhere.
            return match file.map().container().is_some_and(|container| container.location == location) {
                true => State::Stored { place, offset, length },
                false => State::Linked { place, offset, length },
            };
        }
        Found::Object(location) => (location, false),
        Found::Computed(location, _) => (location, true),
    };
    let place = location.to_string();
    // A byte of it, since who may look at an object may not always read it; what is empty has none to give.
    let look = async {
        let store = opened.house.stores.get(&location.bucket).await?;
        match store.get_range(&location.key, 0..1, None).await {
            Ok(object) => Ok(object.meta),
            Err(StoreError::Range { .. }) => store.head(&location.key).await,
            // A server that knows no ranges sends it whole, as to a mount.
            Err(StoreError::Failed { .. }) => store.get(&location.key).await.map(|object| object.meta),
            Err(error) => Err(error),
        }
    };
    match look.await {
        Ok(meta) => State::Stored { place, offset: 0, length: meta.size },
        Err(StoreError::NotFound { .. }) if computed => State::Computed { place },
        Err(StoreError::NotFound { .. }) => State::Absent { place: Some(place) },
        Err(error) => State::Unreadable { reason: FetchError::from(error).to_string() },
    }
}

/// The part of a dataset that was asked about.
struct Subject {
    id: crate::model::hierarchy::ObjectId,
    path: String,
    slab: Hyperslab,
}

impl Subject {
    /// Reads `/dset[selection]`. A dataset whose own name ends with `]` needs a selection after it.
    fn find(hierarchy: &Hierarchy, text: &str) -> Result<Subject, Failed> {
        let (path, selection) = hyperslab::split(text);
        let path = path.trim_end();
        let id = resolve(hierarchy, path).map_err(|astray| match astray {
            Astray::Outside { file, path: there } => {
                let reason = format!("an external link, to {} in {}: explain that file", plain(&there), plain(&file));
                Failed::new(Exit::Source, format!("{}: {reason}", plain(path)))
            }
            Astray::Nowhere if path.contains('[') && !path.ends_with(']') => {
                Failed::new(Exit::Usage, format!("{}: the selection does not end; a `]` is missing", plain(path)))
            }
            Astray::Nowhere => {
                let hint = "list what there is with: h5mount ls -r FILE";
                Failed::new(Exit::Source, format!("{}: no such object in the file; {hint}", plain(path)))
            }
        })?;
        let Some(ObjectKind::Dataset(dataset)) = hierarchy.get(id).map(|object| &object.kind) else {
            return Err(Failed::new(Exit::Source, format!("{}: no dataset", plain(path))));
        };
        let slab = Hyperslab::parse(selection, dataset.dataspace.dims())
            .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", plain(selection))))?;
        Ok(Subject { id, path: Paths::of_hierarchy(hierarchy).of(id), slab })
    }

    fn json(&self, opened: &Opened, hierarchy: &Hierarchy, recipe: &ChunkRecipe, found: &[Located]) -> Value {
        let Some(ObjectKind::Dataset(dataset)) = hierarchy.get(self.id).map(|object| &object.kind) else {
            return Value::Null;
        };
        let chunks: Vec<Value> = found.iter().map(Located::json).collect();
        json!({
            "source": opened.place.to_string(),
            "dataset": self.path,
            "type": type_use(hierarchy, &dataset.datatype),
            "shape": dataset.dataspace.dims(),
            "chunk": recipe.grid.chunk(),
            "filters": filters(&dataset.filters),
            "selection": self.slab.to_string(),
            "selected": self.slab.elements(),
            "chunk_count": self.slab.chunk_count(&recipe.grid),
            "chunk_bytes": recipe.raw_len,
            "chunks": chunks,
        })
    }

    fn text(&self, hierarchy: &Hierarchy, recipe: &ChunkRecipe, found: &[Located]) -> String {
        let Some(ObjectKind::Dataset(dataset)) = hierarchy.get(self.id).map(|object| &object.kind) else {
            return String::new();
        };
        let many = || "more than 2^64".to_owned();
        let count = self.slab.chunk_count(&recipe.grid);
        let filters = filters(&dataset.filters);
        let mut head = Columns::new(&[]);
        let mut line = |name: &str, text: String| head.row([name.to_owned(), text]);
        line("dataset", plain(&self.path));
        line("type", type_use(hierarchy, &dataset.datatype));
        line("shape", shape(&dataset.dataspace));
        let plain_bytes =
            recipe.raw_len.map_or_else(|| "size varies".to_owned(), |len| format!("{} plain", bytes(len)));
        line("chunk", format!("{:?}, {plain_bytes}", recipe.grid.chunk()));
        line("filters", if filters.is_empty() { "none".to_owned() } else { filters.join(", ") });
        line("selection", self.slab.to_string());
        let elements = self.slab.elements().map_or_else(many, |elements| elements.to_string());
        let of = format!("of {}", counted(recipe.grid.total(), "chunk", "chunks"));
        let noun = if elements == "1" { "element" } else { "elements" };
        line("touches", format!("{elements} {noun} in {} {of}", count.map_or_else(many, |count| count.to_string())));
        let mut out = head.to_string() + "\n";
        let mut columns = Columns::new(&[1, 3, 4]);
        columns.row(["chunk", "elements", "state", "offset", "bytes", "object"].map(str::to_owned));
        let (mut hits, mut read, mut holes, mut computed, mut unreadable) = (0u64, 0u64, 0u64, 0u64, 0u64);
        for located in found {
            let none = || "-".to_owned();
            let (state, offset, length, place) = match &located.state {
                State::Stored { place, offset, length } => {
                    ("stored", offset.to_string(), length.to_string(), plain(place))
                }
                State::Linked { place, offset, length } => {
                    ("linked", offset.to_string(), length.to_string(), plain(place))
                }
                State::Computed { place } => ("computed", none(), none(), plain(place)),
                State::Absent { place } => ("absent", none(), none(), plain(place.as_deref().unwrap_or("-"))),
                State::Unreadable { reason } => ("unreadable", none(), none(), plain(reason)),
            };
            match &located.state {
                State::Stored { length, .. } | State::Linked { length, .. } => {
                    hits += 1;
                    read = read.saturating_add(*length);
                }
                State::Absent { .. } => holes += 1,
                State::Computed { .. } => computed += 1,
                State::Unreadable { .. } => unreadable += 1,
            }
            let elements = located.touched.elements.to_string();
            columns.row([located.name(), elements, state.to_owned(), offset, length, place]);
        }
        out += &columns.to_string();
        let rest = count.map(|count| count.saturating_sub(found.len() as u64)).filter(|&rest| rest > 0);
        out += &format!(
            "\n{} read, {} in all; {} never written (fill value){}{}{}\n",
            counted(hits, "chunk is", "chunks are"),
            bytes(read),
            holes,
            if computed > 0 { format!("; {computed} computed") } else { String::new() },
            if unreadable > 0 { format!("; {unreadable} unreadable (I/O error)") } else { String::new() },
            rest.map(|rest| format!("; {rest} more not looked for (--limit)")).unwrap_or_default()
        );
        out
    }
}

impl Located {
    /// Coordinates as stores write them.
    fn name(&self) -> String {
        match self.touched.coordinates.is_empty() {
            true => "0".to_owned(),
            false => self.touched.coordinates.iter().map(u64::to_string).collect::<Vec<_>>().join("_"),
        }
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "chunk": self.touched.coordinates,
            "number": self.number,
            "elements": self.touched.elements,
        });
        let more = match &self.state {
            State::Stored { place, offset, length } => {
                json!({"state": "stored", "object": place, "offset": offset, "length": length})
            }
            State::Linked { place, offset, length } => {
                json!({"state": "linked", "object": place, "offset": offset, "length": length})
            }
            State::Computed { place } => json!({"state": "computed", "object": place}),
            State::Absent { place: Some(place) } => json!({"state": "absent", "object": place}),
            State::Absent { place: None } => json!({"state": "absent"}),
            State::Unreadable { reason } => json!({"state": "unreadable", "reason": reason}),
        };
        if let (Value::Object(fields), Value::Object(more)) = (&mut value, more) {
            fields.extend(more);
        }
        value
    }
}
