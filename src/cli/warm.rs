//! `h5mount warm`: fetches what a job will need of a file in a mount, many chunks at a time.
//!
//! The mount does the work; it is asked by names of extended attributes, which any program may read. Here a selection or a
//! list of points becomes numbers of chunks, a few hundred at a time, so that progress can be shown.

mod questions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde_json::json;

use super::inspect::{bar, bytes, counted, plain, print, print_json};
use super::{Exit, Failed, LogOptions, start_log};
use crate::model::grid::Grid;
use crate::model::hyperslab::{self, Hyperslab};
use questions::Questions;

/// Flags of `warm`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Warm {
    /// A file in a mount
    pub file: PathBuf,
    /// A dataset and, in brackets as in Python, a part of it: '/dset[0:10, ::2]' (default: all datasets)
    pub selection: Vec<String>,
    /// Elements of the one dataset named: a file with the coordinates of one on each line (`12 0 7` or `12,0,7`), or -
    #[arg(long, value_name = "FILE", requires = "selection")]
    pub points: Option<PathBuf>,
    /// Keep it in the mount's disk cache whatever else needs room, also after a restart; at most half of --cache-size
    #[arg(long, conflicts_with = "unpin")]
    pub pin: bool,
    /// Keep it there no longer than anything else
    #[arg(long)]
    pub unpin: bool,
    /// One JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  h5mount warm /mnt/data/run7.h5
      all of it, before a job begins
  h5mount warm /mnt/data/run7.h5 '/temperature[0:24, 100, :]' /latitude
      what a job will read
  h5mount warm /mnt/data/run7.h5 /temperature --points stations.txt
      the chunks that hold these elements, all at once
  h5mount warm --pin /mnt/data/run7.h5 /latitude
      into the disk cache (the mount's --cache-dir), where it stays; --unpin lets it go

What is fetched is kept in the memory of the mount, as far as its --memory-limit reaches, and in its --cache-dir. A program \
does the same by reading the extended attribute `user.h5mount.warm./temperature[0:24, 100, :]` of the file; the answer \
comes when all is there, with a disk cache when all is written. Where the memory had no room for all, or the disk cache, that is told.

JSON: {file, datasets, chunks, absent, failed, gone (fetched, and not here any more), unkept (in memory, and not in the disk cache), bytes, reason}. Exits 1 if a chunk cannot \
be had or pinned, 2 if a selection means nothing or FILE has no chunks to fetch, 3 if there is no such dataset, 4 if FILE is in no mount of h5mount.";

/// The mount is asked by so many threads at a time; each of their questions is about many chunks.
const ASKING: usize = 8;

/// What came of it.
#[derive(Debug, Default)]
struct Sum {
    chunks: u64,
    absent: u64,
    failed: u64,
    gone: u64,
    unkept: u64,
    bytes: u64,
    reason: Option<String>,
}

/// Chunks of a dataset that are wanted.
struct Wish {
    path: String,
    grid: Grid,
    chunks: Chunks,
}

/// Which of them.
enum Chunks {
    /// Those that hold any of a selection, which are found one by one: there may be more than memory holds.
    Selected(Hyperslab),
    /// Those of points, no more than the points themselves.
    Numbers(BTreeSet<u64>),
}

impl Wish {
    /// How many they are.
    fn count(&self) -> u64 {
        match &self.chunks {
            Chunks::Selected(slab) => slab.chunk_count(&self.grid).unwrap_or(u64::MAX),
            Chunks::Numbers(numbers) => numbers.len() as u64,
        }
    }

    /// Their numbers, ascending: the order of the grid.
    fn numbers(&self) -> Box<dyn Iterator<Item = u64> + Send + '_> {
        match &self.chunks {
            Chunks::Selected(slab) => {
                let touched = slab.chunks(&self.grid);
                Box::new(touched.filter_map(|touched| self.grid.number(&touched.coordinates)))
            }
            Chunks::Numbers(numbers) => Box::new(numbers.iter().copied()),
        }
    }
}

impl Warm {
    /// Runs it.
    pub fn run(self, log: &LogOptions) -> Result<Exit, Failed> {
        start_log(log, true)?;
        if read(&self.file, "user.h5mount.source")?.is_none() {
            let reason = "in no mount of h5mount, whose cache could be warmed; see h5mount mount --help";
            return Err(Failed::new(Exit::Mount, format!("{}: {reason}", self.file.display())));
        }
        let mut wishes = Vec::new();
        for selection in self.selections()? {
            wishes.push(self.wish(&selection)?);
        }
        if let Some(points) = &self.points {
            let [wish] = wishes.as_mut_slice() else {
                return Err(Failed::new(Exit::Usage, "--points are of one dataset: name just one".to_owned()));
            };
            *wish = self.points(&wish.path, points)?;
        }
        let verb = match (self.pin, self.unpin) {
            (true, _) => "pin",
            (_, true) => "unpin",
            _ => "warm",
        };
        let mut sum = self.ask(verb, &wishes)?;
        if verb == "warm" {
            // What came first may have gone again meanwhile.
            let held = self.ask("held", &wishes)?;
            sum.gone = held.gone.saturating_sub(sum.absent).saturating_sub(sum.failed);
            sum.unkept = held.unkept;
            sum.reason = sum.reason.or(held.reason.filter(|_| sum.gone > 0 || sum.unkept > 0));
        }
        let datasets = wishes.len();
        if self.json {
            print_json(&json!({
                "file": self.file, "datasets": datasets, "chunks": sum.chunks, "absent": sum.absent, "failed": sum.failed,
                "gone": sum.gone, "unkept": sum.unkept, "bytes": sum.bytes, "reason": sum.reason,
            }))?;
        } else {
            print(&sum.text(verb, datasets as u64))?;
        }
        Ok(if sum.failed > 0 { Exit::Faults } else { Exit::Done })
    }

    /// What was named, or every dataset.
    fn selections(&self) -> Result<Vec<String>, Failed> {
        if !self.selection.is_empty() {
            return Ok(self.selection.clone());
        }
        let list = read(&self.file, "user.h5mount.datasets")?.unwrap_or_default();
        if list.lines().last().is_some_and(|line| line.starts_with('…')) {
            let reason = "has too many datasets to warm them all: name those that are needed";
            return Err(Failed::new(Exit::Usage, format!("{}: {reason}", self.file.display())));
        }
        if list.is_empty() {
            return Err(self.nothing()?);
        }
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Why nothing of it can be named.
    fn nothing(&self) -> Result<Failed, Failed> {
        let shown = read(&self.file, "user.h5mount.shown")?.filter(|shown| shown.starts_with("as it is"));
        let reason = match shown {
            _ if self.file.is_dir() => "is a folder: name a file in it".to_owned(),
            Some(shown) => format!(
                "is shown {}; so its datasets have no chunks that could be fetched: what is read of it is fetched ahead anyway",
                plain(&shown)
            ),
            None => {
                "has no datasets with data, or is no HDF5 file: what is read of it is fetched ahead anyway".to_owned()
            }
        };
        Ok(Failed::new(Exit::Usage, format!("{}: {reason}", self.file.display())))
    }

    fn wish(&self, selection: &str) -> Result<Wish, Failed> {
        let (path, slab) = hyperslab::split(selection);
        let (path, grid) = self.grid(path)?;
        let slab = Hyperslab::parse(slab, grid.dims())
            .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", plain(slab))))?;
        Ok(Wish { path, grid, chunks: Chunks::Selected(slab) })
    }

    /// The path of a dataset as the mount knows it, and its chunks.
    fn grid(&self, path: &str) -> Result<(String, Grid), Failed> {
        let path = format!("/{}", path.trim().trim_matches('/'));
        let absent =
            || Failed::new(Exit::Source, format!("{}: {} is no dataset with data", self.file.display(), plain(&path)));
        let Some(told) = read(&self.file, &format!("user.h5mount.grid.{path}"))? else {
            let none = read(&self.file, "user.h5mount.datasets")?.unwrap_or_default().is_empty();
            return Err(if none { self.nothing()? } else { absent() });
        };
        let list = |word: &str| -> Option<Vec<u64>> {
            let list = told.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))?;
            list.split(',').filter(|extent| !extent.is_empty()).map(|extent| extent.parse().ok()).collect()
        };
        let grid = list("shape").zip(list("chunk")).and_then(|(shape, chunk)| Grid::new(&shape, &chunk));
        Ok((path.clone(), grid.ok_or_else(absent)?))
    }

    /// The chunks that hold the elements named in a file.
    fn points(&self, path: &str, points: &Path) -> Result<Wish, Failed> {
        let (path, grid) = self.grid(path)?;
        let unreadable = |error| Failed::new(Exit::Usage, format!("{}: {error}", points.display()));
        let text = if points == Path::new("-") {
            std::io::read_to_string(std::io::stdin()).map_err(unreadable)?
        } else {
            std::fs::read_to_string(points).map_err(unreadable)?
        };
        let mut chunks = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
            let words: Vec<&str> = words.collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            let fault =
                |reason: &str| Failed::new(Exit::Usage, format!("{}, line {}: {reason}", points.display(), number + 1));
            if words.len() != grid.dims().len() {
                return Err(fault(&format!("{} coordinates, and {path} has {}", words.len(), grid.dims().len())));
            }
            let mut place = Vec::with_capacity(words.len());
            for ((word, &extent), &chunk) in words.iter().zip(grid.dims()).zip(grid.chunk()) {
                let at: u64 = word.parse().map_err(|_| fault(&format!("{} is no coordinate", plain(word))))?;
                if at >= extent {
                    return Err(fault(&format!("{at} is past the end, {extent}")));
                }
                place.push(at / chunk.max(1));
            }
            chunks.extend(grid.number(&place));
        }
        Ok(Wish { path, grid, chunks: Chunks::Numbers(chunks) })
    }

    /// Asks the mount to do with all of them what `verb` says.
    fn ask(&self, verb: &str, wishes: &[Wish]) -> Result<Sum, Failed> {
        let chunks = wishes.iter().map(Wish::count).fold(0, u64::saturating_add);
        let bar = bar(chunks, "{bar:30} {pos}/{len} chunks  {elapsed}");
        let questions = Mutex::new(wishes.iter().flat_map(|wish| Questions::new(verb, &wish.path, wish.numbers())));
        let next = || questions.lock().unwrap_or_else(PoisonError::into_inner).next();
        let sum = Mutex::new(Ok(Sum::default()));
        std::thread::scope(|scope| {
            for _ in 0..ASKING {
                scope.spawn(|| {
                    while let Some((name, chunks)) = next() {
                        let answer = read(&self.file, &name);
                        bar.inc(chunks);
                        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                        let Ok(so_far) = &mut *sum else { return };
                        if let Err(failed) = answer.and_then(|answer| so_far.add(&answer.unwrap_or_default())) {
                            *sum = Err(failed);
                            return;
                        }
                    }
                });
            }
        });
        bar.finish_and_clear();
        sum.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum {
    fn add(&mut self, answer: &str) -> Result<(), Failed> {
        for line in answer.lines() {
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            let number = value.parse().unwrap_or(0);
            match word {
                "chunks" => self.chunks += number,
                "absent" => self.absent += number,
                "failed" => self.failed += number,
                "gone" => self.gone += number,
                "unkept" => self.unkept += number,
                "bytes" => self.bytes = self.bytes.saturating_add(number),
                "reason" => drop(self.reason.get_or_insert_with(|| value.to_owned())),
                "error" => return Err(Failed::new(Exit::Source, plain(value).to_string())),
                _ => {}
            }
        }
        Ok(())
    }

    /// What is said of it.
    fn text(&self, verb: &str, datasets: u64) -> String {
        let sum = bytes(self.bytes);
        let what = match verb {
            "pin" => format!("{sum} stay in the disk cache"),
            "unpin" => format!("{sum} stay in the disk cache no longer than others"),
            _ if self.gone > 0 => format!("{sum} read"),
            _ => format!("{sum} here"),
        };
        let chunks = |count| counted(count, "chunk", "chunks");
        let datasets = counted(datasets, "dataset", "datasets");
        let mut text = format!("{} of {datasets}: {what}, {} never written\n", chunks(self.chunks), self.absent);
        let reason = plain(self.reason.as_deref().unwrap_or_default());
        if self.failed > 0 {
            text += &format!("{} could not be had, the first: {reason}\n", chunks(self.failed));
        }
        if self.gone > 0 {
            let reason = if self.failed > 0 { String::new() } else { format!(": {reason}") };
            text += &format!("{} no longer kept{reason}\n", chunks(self.gone));
        }
        if self.unkept > 0 {
            let reason = if self.failed > 0 || self.gone > 0 { String::new() } else { format!(": {reason}") };
            text += &format!("{} in memory, and not in the disk cache{reason}\n", chunks(self.unkept));
        }
        text
    }
}

/// The value of an attribute; `None` where there is none of this name.
fn read(file: &Path, name: &str) -> Result<Option<String>, Failed> {
    match xattr::get(file, name) {
        Ok(value) => Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned())),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(Failed::new(Exit::Source, format!("{}: {error}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_add_up_and_an_error_is_one() {
        let mut sum = Sum::default();
        sum.add("chunks 3\nabsent 1\nfailed 1\nbytes 8\nreason why\n").unwrap();
        sum.add("chunks 2\nbytes 8\n").unwrap();
        assert_eq!((sum.chunks, sum.absent, sum.failed, sum.bytes, sum.reason.as_deref()), (5, 1, 1, 16, Some("why")));
        assert_eq!(
            sum.text("warm", 1),
            "5 chunks of 1 dataset: 16 B here, 1 never written\n1 chunk could not be had, the first: why\n"
        );
        let gone = Sum { chunks: 5, gone: 2, bytes: 5 << 20, reason: Some("no room".to_owned()), ..Sum::default() };
        assert_eq!(
            gone.text("warm", 2),
            "5 chunks of 2 datasets: 5.0 MiB read, 0 never written\n2 chunks no longer kept: no room\n"
        );
        let unkept = Sum { chunks: 5, unkept: 3, reason: Some("the disk is full".to_owned()), ..Sum::default() };
        assert_eq!(
            unkept.text("warm", 1),
            "5 chunks of 1 dataset: 0 B here, 0 never written\n3 chunks in memory, and not in the disk cache: the disk is full\n"
        );
        assert!(sum.add("error /x: no dataset with data").is_err());
    }
}
