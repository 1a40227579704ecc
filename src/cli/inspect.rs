//! What the commands that look into a store without mounting it share: starting up, walking through folders, printing.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::paths::into_file;
use super::{Exit, Failed, LogOptions, SourceArgs, start_log};
use crate::config::Place;
use crate::config::place::Kind;
use crate::fetch::{About, FetchSettings, FileChunks};
use crate::model::paths::Paths;
use crate::namespace::NamespaceSettings;
use crate::service::{self, House, KeepSettings, ServiceError};
use crate::source::hdf5::Hdf5Files;
use crate::source::shelf::Description;
use crate::source::{Contents, Entry, EntryKind, SourceError, join};
use crate::store::{StoreError, StoreSettings};

/// Runs a command to its end. Log lines tell only what is wrong: what the user asked for is printed by the command.
pub fn run(log: &LogOptions, work: impl Future<Output = Result<Exit, Failed>>) -> Result<Exit, Failed> {
    start_log(log, true)?;
    service::on_runtime(work).map_err(ServiceError::from)?
}

/// A store, opened at a place of it. Paths here are those in the store.
pub struct Opened {
    /// The place.
    pub place: Place,
    /// The store.
    pub house: House,
    /// What is at the place.
    pub kind: EntryKind,
    /// The folder that the house's source begins at.
    folder: String,
}

/// Progress on `total` of something, where a person looks at it.
pub fn bar(total: u64, template: &str) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

impl Opened {
    /// Opens what SOURCE means.
    pub async fn open(source: &SourceArgs) -> Result<Opened, Failed> {
        let place = source.place()?;
        let settings = source.store(&place)?;
        Ok(Opened::at(place, settings, source.keep()?).await?)
    }

    /// Opens what SOURCE means, or the file on its way: then with the path in that file.
    pub async fn open_into(source: &SourceArgs) -> Result<(Opened, Option<String>), Failed> {
        // On disk a look at the folders tells.
        if let Some((file, inside)) = into_file(&source.source) {
            let opened = Opened::open(&SourceArgs { source: file, ..source.clone() }).await?;
            return match opened.kind {
                EntryKind::File | EntryKind::Unclear => Ok((opened, Some(inside))),
                EntryKind::Folder | EntryKind::Plain { .. } => {
                    Err(ServiceError::NotFound { place: source.source.clone() }.into())
                }
            };
        }
        let place = source.place()?;
        let (settings, keep) = (source.store(&place)?, source.keep()?);
        let missing = match Opened::at(place.clone(), settings.clone(), keep.clone()).await {
            Ok(opened) => return Ok((opened, None)),
            Err(error) if is_missing(&error) && place.kind() != Kind::Disk => error,
            Err(error) => return Err(error.into()),
        };
        for (at, _) in place.path.rmatch_indices('/') {
            let (file, inside) = place.path.split_at(at);
            let file = Place { path: file.to_owned(), ..place.clone() };
            match Opened::at(file, settings.clone(), keep.clone()).await {
                Ok(opened) if opened.kind == EntryKind::File => return Ok((opened, Some(inside.to_owned()))),
                Ok(_) => break,
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(missing.into())
    }

    /// Opens what is at `place`.
    async fn at(place: Place, settings: StoreSettings, keep: KeepSettings) -> Result<Opened, ServiceError> {
        let (namespace, fetch) = (NamespaceSettings::default(), FetchSettings::default());
        let house = service::open(&place, settings, Hdf5Files::default(), namespace, fetch, keep).await?;
        // A source of a single file begins at the folder around it.
        if house.url == place.to_string().trim_end_matches('/') {
            let folder = place.path.clone();
            return Ok(Opened { place, house, kind: EntryKind::Folder, folder });
        }
        let (folder, name) = place.path.rsplit_once('/').unwrap_or(("", &place.path));
        let entry = house.source.find(name).await?;
        let entry = entry.ok_or_else(|| ServiceError::NotFound { place: place.to_string() })?;
        Ok(Opened { folder: folder.to_owned(), place, house, kind: entry.kind })
    }

    /// What describes the file at `path`.
    pub async fn contents(&self, path: &str) -> Result<Contents, SourceError> {
        self.house.source.open(self.inside(path)).await
    }

    /// The same, read anew and as one object.
    pub async fn describe(&self, path: &str) -> Result<Description, SourceError> {
        self.house.source.describe(self.inside(path)).await
    }

    /// The chunks of the file at `path`, described by `contents`.
    pub fn chunks(&self, path: &str, contents: &Contents, paths: &Arc<Paths>) -> Arc<FileChunks> {
        let file = format!("{}/{path}", self.place.bucket.as_str());
        let about = About { file, paths: paths.clone(), modified: contents.modified, strict: false };
        FileChunks::new(contents.chunks.clone(), self.house.stores.clone(), about)
    }

    /// All entries of the folder at `path`, by name.
    pub async fn entries(&self, path: &str) -> Result<Vec<Entry>, SourceError> {
        let mut entries: Vec<Entry> = self.house.source.list(self.inside(path)).try_collect().await?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// A path of the store as the source knows it.
    fn inside<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.folder.as_str()).unwrap_or(path).trim_start_matches('/')
    }

    /// Everything below the place, itself included, folders before what they hold; names in order.
    pub async fn everything(&self) -> Result<Vec<Found>, Failed> {
        let itself = Found { path: self.place.path.clone(), entry: Err(self.kind.clone()) };
        let mut found = vec![itself];
        let mut open = match self.kind {
            EntryKind::Folder => vec![self.place.path.clone()],
            _ => Vec::new(),
        };
        while let Some(folder) = open.pop() {
            let entries = self.entries(&folder).await?;
            let folders = entries.iter().rev().filter(|entry| entry.kind == EntryKind::Folder);
            open.extend(folders.map(|entry| join(&folder, &entry.name)));
            found.extend(entries.into_iter().map(|entry| Found { path: join(&folder, &entry.name), entry: Ok(entry) }));
        }
        Ok(found)
    }
}

/// Whether nothing is there, and nothing else is wrong. Of what cannot be listed only a file can be there.
fn is_missing(error: &ServiceError) -> bool {
    use ServiceError::{NotFound, Source, Store};
    let unsupported = |error: &StoreError| matches!(error, StoreError::Unsupported { .. });
    match error {
        NotFound { .. } | Source(SourceError::NotFound { .. }) => true,
        Store(error) | Source(SourceError::Store(error)) => error.is_not_found() || unsupported(error),
        _ => false,
    }
}

/// Something below a place.
pub struct Found {
    /// Path from the store's root.
    pub path: String,
    /// Its entry, or for the place itself only its kind.
    pub entry: Result<Entry, EntryKind>,
}

impl Found {
    /// What it is.
    pub fn kind(&self) -> &EntryKind {
        match &self.entry {
            Ok(entry) => &entry.kind,
            Err(kind) => kind,
        }
    }
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Failed::new(Exit::Source, error)
    }
}

/// Prints to standard output. A reader that has seen enough (`| head`) is no fault.
pub fn print(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::new(Exit::System, format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints `value` as one JSON document.
pub fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failed::new(Exit::System, format!("cannot write JSON: {error}")))?;
    print(&(text + "\n"))
}

/// Rows in aligned columns, two spaces between them; columns of numbers flush right. The last column is not padded.
pub struct Columns {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Columns {
    /// No rows yet; `right` are the columns that are flush right.
    pub fn new(right: &'static [usize]) -> Self {
        Columns { rows: Vec::new(), right }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut widths = Vec::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for ((column, cell), &width) in row.iter().enumerate().zip(&widths) {
                let gap = if column == 0 { "" } else { "  " };
                let padding = " ".repeat(width - cell.chars().count());
                line += &match self.right.contains(&column) {
                    true => format!("{gap}{padding}{cell}"),
                    false => format!("{gap}{cell}{padding}"),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Text of a store, fit for a terminal: control characters, which could move its cursor or worse, are written out.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() { out.extend(char.escape_default()) } else { out.push(char) }
    }
    out
}

/// Bytes as people read them: `1.4 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        // What would be rounded to 1024.0 is one of the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A count with its noun.
pub fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        for (count, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (u64::MAX, "16.0 EiB")]
        {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut columns = Columns::new(&[1]);
        columns.row(["a", "1", "x"].map(str::to_owned));
        columns.row(["long", "100", ""].map(str::to_owned));
        assert_eq!(columns.to_string(), "a       1  x\nlong  100\n");
    }

    #[test]
    fn no_name_reaches_the_terminal_as_a_command() {
        assert_eq!(plain("a\x1b[2Jb\nc é"), "a\\u{1b}[2Jb\\nc é");
    }
}
