//! `h5mount ls`: what a folder holds; or what a file holds, object by object.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Map, Value, json};

use super::inspect::{Columns, Opened, bytes, plain, print, print_json, run};
use super::paths::{Paths, resolve};
use super::wording::{datatype, elsewhere, filters, shape, short, type_use, value};
use super::{Exit, Failed, LogOptions, SourceArgs};
use crate::model::hierarchy::{DataLayout, Dataset, Hierarchy, LinkTarget, Object, ObjectId, ObjectKind};
use crate::source::{Body, Contents, Entry, EntryKind, join};

/// Flags of `ls`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Ls {
    /// What to list.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Tell more: owner and time of files; chunks, filters and attributes of datasets
    #[arg(short, long)]
    pub long: bool,
    /// Go into folders and groups
    #[arg(short, long)]
    pub recursive: bool,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  h5mount ls /data/hsds/bucket/home/ann           names of files and folders
  h5mount ls -r /data/hsds/bucket                 all of them, in all folders
  h5mount ls -lr /data/hsds/bucket/home/ann/run7.h5
      every group and dataset of a file, with chunks, filters and attributes
  h5mount ls /data/hsds/bucket/home/ann/run7.h5/inputs
      one group of it

JSON: {\"source\", \"entries\"} for a folder, {\"source\", \"objects\", \"problems\"} for a file. An entry has path (from the \
store's root, where lines have names as seen from SOURCE), kind (folder, file, plain), owner, modified (seconds since 1970), size (plain files). An object has path, kind (group, \
dataset, datatype, link), type, shape, max_shape, chunk, filters, fill, attributes, target, same_as (the path under which \
the object is listed already); what does not apply is left out. Attributes are {name, type, shape, value}.";

impl Ls {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        run(log, async {
            let (opened, inside) = Opened::open_into(&self.source).await?;
            match &opened.kind {
                EntryKind::Folder => self.folder(&opened).await?,
                EntryKind::File | EntryKind::Unclear => {
                    let contents = opened.contents(&opened.place.path).await?;
                    if let (Body::Object { size, .. }, Some(shown)) = (&contents.body, contents.facts.get("shown")) {
                        let entry = json!({"path": opened.place.path, "kind": "plain", "size": size, "shown": shown});
                        match self.json {
                            true => print_json(&json!({"source": opened.place.to_string(), "entries": [entry]}))?,
                            false => {
                                let path = plain(&opened.place.path);
                                print(&format!("{path}  {}  {}\n", bytes(*size), plain(shown)))?;
                            }
                        }
                        return Ok(Exit::Done);
                    }
                    self.file(&opened, &contents, inside.as_deref().unwrap_or("/"))?;
                }
                EntryKind::Plain { size, .. } => {
                    let entry = json!({"path": opened.place.path, "kind": "plain", "size": size});
                    match self.json {
                        true => print_json(&json!({"source": opened.place.to_string(), "entries": [entry]}))?,
                        false => print(&format!("{}  {}\n", plain(&opened.place.path), bytes(*size)))?,
                    }
                }
            }
            Ok(Exit::Done)
        })
    }

    async fn folder(&self, opened: &Opened) -> Result<(), Failed> {
        let top = opened.place.path.as_str();
        let found: Vec<(String, Entry)> = if self.recursive {
            opened.everything().await?.into_iter().filter_map(|found| Some((found.path, found.entry.ok()?))).collect()
        } else {
            let entries = opened.entries(top).await?;
            entries.into_iter().map(|entry| (join(top, &entry.name), entry)).collect()
        };
        if self.json {
            let entries: Vec<Value> = found.iter().map(|(path, entry)| entry_json(path, entry)).collect();
            return print_json(&json!({"source": opened.place.to_string(), "entries": entries}));
        }
        let mut columns = Columns::new(&[1]);
        for (path, entry) in &found {
            // Names as they are seen from the folder asked for.
            let name = path.strip_prefix(top).unwrap_or(path).trim_start_matches('/');
            let slash = if entry.kind == EntryKind::Folder { "/" } else { "" };
            let name = format!("{}{slash}", plain(name));
            match self.long {
                false => columns.row([name]),
                true => {
                    let size = match entry.kind {
                        EntryKind::Plain { size, .. } => bytes(size),
                        _ => "-".to_owned(),
                    };
                    let owner = plain(entry.owner.as_deref().unwrap_or("-"));
                    let modified = entry.modified.map_or_else(|| "-".to_owned(), utc);
                    columns.row([owner, size, modified, name]);
                }
            }
        }
        print(&columns.to_string())
    }

    /// What a file holds, from the object at `path` on.
    fn file(&self, opened: &Opened, contents: &Contents, path: &str) -> Result<(), Failed> {
        let lister = Lister { hierarchy: &contents.hierarchy, paths: Paths::of_hierarchy(&contents.hierarchy) };
        let top = resolve(&contents.hierarchy, path).map_err(|_| {
            Failed::new(
                Exit::Source,
                format!("{}: no such object in {}", plain(path), plain(&opened.place.to_string())),
            )
        })?;
        let lines = lister.lines(top, path, self.recursive);
        if self.json {
            let objects: Vec<Value> = lines.iter().map(|line| lister.json(line)).collect();
            return print_json(&json!({
                "source": opened.place.to_string(),
                "objects": objects,
                "problems": contents.problems,
            }));
        }
        let mut out = String::new();
        if self.long {
            for line in &lines {
                out += &lister.paragraph(line);
            }
        } else {
            let mut columns = Columns::new(&[]);
            for line in &lines {
                let (kind, about) = lister.about(line);
                columns.row([plain(&line.path), kind.to_owned(), about]);
            }
            out += &columns.to_string();
        }
        for problem in &contents.problems {
            out += &format!("problem: {}\n", plain(&problem.to_string()));
        }
        print(&out)
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
}

/// A time as people read it, in UTC.
fn utc(time: SystemTime) -> String {
    let Some(seconds) = seconds(time) else { return "-".to_owned() };
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, by 400-year eras that begin on the first of March.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", clock / 3600, clock / 60 % 60)
}

pub(super) fn entry_json(path: &str, entry: &Entry) -> Value {
    let mut fields = Map::new();
    fields.insert("path".into(), json!(path));
    let kind = match &entry.kind {
        EntryKind::Folder => "folder",
        EntryKind::File => "file",
        EntryKind::Unclear => "unclear",
        EntryKind::Plain { size, .. } => {
            fields.insert("size".into(), json!(size));
            "plain"
        }
    };
    fields.insert("kind".into(), json!(kind));
    if let Some(owner) = &entry.owner {
        fields.insert("owner".into(), json!(owner));
    }
    if let Some(modified) = entry.modified.and_then(seconds) {
        fields.insert("modified".into(), json!(modified));
    }
    Value::Object(fields)
}

/// One link of a file, or its root group.
struct Line {
    path: String,
    target: LinkTarget,
    /// Where the object was listed before.
    again: Option<String>,
}

struct Lister<'a> {
    hierarchy: &'a Hierarchy,
    paths: Paths,
}

impl Lister<'_> {
    /// The object at `path` and its links; with `recursive`, those of all groups below, each group's once.
    fn lines(&self, top: ObjectId, path: &str, recursive: bool) -> Vec<Line> {
        let first = Line { path: path.to_owned(), target: LinkTarget::Hard(top), again: None };
        let mut seen = HashMap::from([(top, first.path.clone())]);
        let mut lines = vec![first];
        // Links still to be listed, the next one last.
        let mut open = self.links(path.trim_end_matches('/'), top);
        while let Some((path, target)) = open.pop() {
            let mut again = None;
            if let LinkTarget::Hard(id) = target {
                again = seen.get(&id).cloned();
                if again.is_none() {
                    seen.insert(id, path.clone());
                    if recursive {
                        open.extend(self.links(&path, id));
                    }
                }
            }
            lines.push(Line { path, target, again });
        }
        lines
    }

    /// Links of a group, the last one first; none for other objects.
    fn links(&self, path: &str, id: ObjectId) -> Vec<(String, LinkTarget)> {
        match self.hierarchy.get(id).map(|object| &object.kind) {
            Some(ObjectKind::Group(group)) => {
                let links = group.links.iter().rev();
                links.map(|link| (format!("{path}/{}", link.name), link.target.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    fn object(&self, line: &Line) -> Option<&Object> {
        match line.target {
            LinkTarget::Hard(id) => self.hierarchy.get(id),
            _ => None,
        }
    }

    /// Kind of a line, and what there is to say of it.
    fn about(&self, line: &Line) -> (&'static str, String) {
        match &line.target {
            LinkTarget::Soft(target) => ("link", format!("-> {}", plain(&target.to_string()))),
            LinkTarget::User { class, .. } => ("link", format!("of class {class}, which a program defined")),
            LinkTarget::External { file, path } => {
                ("link", format!("-> {} in file {}", plain(&path.to_string()), plain(&file.to_string())))
            }
            LinkTarget::Hard(id) => {
                let (kind, about) = match self.hierarchy.get(*id).map(|object| &object.kind) {
                    Some(ObjectKind::Group(group)) => {
                        let noun = if group.links.len() == 1 { "link" } else { "links" };
                        ("group", format!("{} {noun}", group.links.len()))
                    }
                    Some(ObjectKind::Dataset(dataset)) => {
                        let words = (shape(&dataset.dataspace), type_use(self.hierarchy, &dataset.datatype));
                        ("dataset", format!("{} {}", words.0, words.1))
                    }
                    Some(ObjectKind::Datatype(datatype)) => ("datatype", self::datatype(datatype)),
                    None => ("missing", String::new()),
                };
                match &line.again {
                    Some(path) => (kind, format!("{about}, the same as {}", plain(path))),
                    None => (kind, about),
                }
            }
        }
    }

    /// A line and what `-l` adds to it.
    fn paragraph(&self, line: &Line) -> String {
        /// Characters of an attribute's value on its line.
        const VALUE: usize = 100;
        let (kind, about) = self.about(line);
        let mut out = format!("{}  {kind}  {about}\n", plain(&line.path));
        let Some(object) = self.object(line).filter(|_| line.again.is_none()) else { return out };
        if let ObjectKind::Dataset(dataset) = &object.kind {
            let chunk = match &dataset.layout {
                DataLayout::Contiguous => "one piece".to_owned(),
                DataLayout::Chunked(extents) => format!("chunks of {extents:?}"),
                other => elsewhere(other).unwrap_or_default(),
            };
            let filters = filters(&dataset.filters);
            let filters = if filters.is_empty() { String::new() } else { format!(", filters: {}", filters.join(", ")) };
            let fill = self.fill(dataset).map(|fill| format!(", fill value {}", short(&fill, VALUE)));
            out += &format!("    {chunk}{filters}{}\n", fill.unwrap_or_default());
        }
        let mut columns = Columns::new(&[]);
        for attribute in &object.attributes {
            let words = format!("{} {}", shape(&attribute.dataspace), type_use(self.hierarchy, &attribute.datatype));
            let value = short(&self.attribute_value(attribute), VALUE);
            columns.row([format!("    @{}", plain(&attribute.name.to_string())), words, format!("= {value}")]);
        }
        out += &columns.to_string();
        out
    }

    fn fill(&self, dataset: &Dataset) -> Option<Value> {
        let datatype = self.hierarchy.datatype(&dataset.datatype)?;
        let fill = dataset.fill.as_ref()?;
        Some(value(datatype, &crate::model::dataspace::Dataspace::Scalar, fill, &self.paths))
    }

    fn attribute_value(&self, attribute: &crate::model::hierarchy::Attribute) -> Value {
        match self.hierarchy.datatype(&attribute.datatype) {
            Some(datatype) => value(datatype, &attribute.dataspace, &attribute.value, &self.paths),
            None => Value::Null,
        }
    }

    fn json(&self, line: &Line) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        put("path", json!(line.path));
        put("kind", json!(self.about(line).0));
        match &line.target {
            LinkTarget::Hard(_) => {
                if let Some(path) = &line.again {
                    put("same_as", json!(path));
                }
            }
            LinkTarget::Soft(target) => put("target", json!({"path": target.to_string()})),
            LinkTarget::User { class, .. } => put("class", json!(class)),
            LinkTarget::External { file, path } => {
                put("target", json!({"file": file.to_string(), "path": path.to_string()}));
            }
        }
        let Some(object) = self.object(line).filter(|_| line.again.is_none()) else {
            return Value::Object(fields);
        };
        match &object.kind {
            ObjectKind::Group(group) => put("links", json!(group.links.len())),
            ObjectKind::Datatype(datatype) => put("type", json!(self::datatype(datatype))),
            ObjectKind::Dataset(dataset) => {
                put("type", json!(type_use(self.hierarchy, &dataset.datatype)));
                shape_json(&dataset.dataspace, &mut put);
                if let DataLayout::Chunked(extents) = &dataset.layout {
                    put("chunk", json!(extents));
                }
                put("filters", json!(filters(&dataset.filters)));
                if let Some(fill) = self.fill(dataset) {
                    put("fill", fill);
                }
            }
        }
        let attributes = object.attributes.iter().map(|attribute| {
            let mut fields = Map::new();
            fields.insert("name".into(), json!(attribute.name.to_string()));
            fields.insert("type".into(), json!(type_use(self.hierarchy, &attribute.datatype)));
            shape_json(&attribute.dataspace, &mut |name, value| {
                fields.insert(name.to_owned(), value);
            });
            fields.insert("value".into(), self.attribute_value(attribute));
            Value::Object(fields)
        });
        put("attributes", attributes.collect());
        Value::Object(fields)
    }
}

/// `shape` (null, or a list that is empty for a scalar), and `max_shape` where it may grow (null for no limit).
fn shape_json(dataspace: &crate::model::dataspace::Dataspace, put: &mut impl FnMut(&str, Value)) {
    use crate::model::dataspace::Dataspace;
    match dataspace {
        Dataspace::Null => put("shape", Value::Null),
        Dataspace::Scalar => put("shape", json!([])),
        Dataspace::Simple { dims, max_dims } => {
            put("shape", json!(dims));
            if dims.iter().zip(max_dims).any(|(dim, max)| *max != Some(*dim)) {
                put("max_shape", json!(max_dims));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_civil_dates() {
        let utc = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(utc(0), "1970-01-01 00:00");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00");
        assert_eq!(utc(1_795_204_603), "2026-11-20 19:56");
        assert_eq!(utc(4_102_444_799), "2099-12-31 23:59");
    }
}
