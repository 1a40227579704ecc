//! HDF5 files in `check`: structures, sums, what overlaps, what has no name.

use std::collections::HashSet;

use serde::Serialize;

use super::{Checker, Failed, Fault};
use crate::cli::inspect::{bytes, counted};
use crate::model::chunk::{ChunkId, ChunkSource, Container};
use crate::model::hierarchy::ObjectId;
use crate::source::hdf5::survey::{Cause, Finding, Survey, survey};
use crate::source::{Body, Contents};

/// The account of an HDF5 file.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    file: String,
    /// Structures that were read.
    structures: u64,
    metadata_bytes: u64,
    element_bytes: u64,
    /// Of heaps with elements of variable length.
    heap_bytes: u64,
    /// Bytes that no structure names, and in how many stretches.
    unnamed_bytes: u64,
    unnamed_stretches: u64,
    overlaps: u64,
}

/// A file that was looked into.
pub(super) struct LookedInto {
    /// What its chunks are read with.
    pub(super) contents: Contents,
    /// Its datasets whose filters are not undone here: their chunks are not read.
    pub(super) packed: HashSet<ObjectId>,
    /// Whether the mount shows it laid out anew.
    pub(super) laid_out: bool,
}

impl Checker<'_> {
    /// Looks into the object that is an HDF5 file; `None` where nothing of it can be read.
    pub(super) async fn look_into(
        &mut self,
        path: &str,
        shown: &Contents,
        container: Container,
    ) -> Result<Option<LookedInto>, Failed> {
        let store = self.opened.house.stores.home().clone();
        let surveyed = match survey(&store, &container.location.key, container.size).await {
            Ok(surveyed) => surveyed,
            Err(error) => return self.fault(super::unreadable_file(path, &error)).map(|()| None),
        };
        let laid_out = !matches!(shown.body, Body::Object { .. });
        // What is wrong with it as a whole is told as a fault, not as a reason.
        if let Some(how) = shown.facts.get("shown").filter(|_| !laid_out && surveyed.contents.is_some()) {
            self.report.notes.push(format!("{path}: shown {how}"));
        }
        for finding in &surveyed.findings {
            match finding.cause {
                Cause::Foreign => self.report.notes.push(format!("{path}: not looked into: it is no HDF5 file")),
                Cause::Dangling => {
                    let note = format!("{path}:{}: {}", finding.path, finding.reason);
                    self.report.notes.push(note);
                }
                Cause::Unsupported => {
                    let Finding { path: object, structure, at, reason, .. } = finding;
                    let note = format!("{path}:{object}: not checked: {structure}: {reason} (at byte {at})");
                    self.report.notes.push(note);
                }
                _ => self.fault(of_finding(path, container.location.key.to_string(), finding))?,
            }
        }
        let Some(contents) = self.account(path, surveyed) else { return Ok(None) };
        Ok(Some(LookedInto { laid_out, ..contents }))
    }

    /// Notes the account of a file that could be read as a whole.
    fn account(&mut self, path: &str, surveyed: Survey) -> Option<LookedInto> {
        let Survey { contents, facts, packed, structures, ledger, heaps, partial, container, .. } = surveyed;
        let contents = contents?;
        let unnamed = ledger.unnamed_bytes();
        if let Some(largest) = ledger.unnamed.iter().max_by_key(|range| range.end - range.start) {
            let stretches = ledger.unnamed.len() as u64;
            let percent = unnamed.saturating_mul(100) / container.size.max(1);
            let paged = facts.is_some_and(|facts| facts.page.is_some());
            let what = match paged {
                true => "ends of pages, or free space",
                false => "free space, or left by what was deleted: h5repack writes a file without",
            };
            let mut note = format!(
                "{path}: {} ({percent} %) in {} are named by no structure, most at byte {}: {what}",
                bytes(unnamed),
                counted(stretches, "stretch", "stretches"),
                largest.start,
            );
            if partial {
                note += "; part of it may belong to what could not be read";
            }
            self.report.notes.push(note);
        }
        for (id, filter) in &packed {
            let object = super::Paths::of_hierarchy(&contents.hierarchy).of(*id);
            self.report.notes.push(format!("{path}:{object}: chunks not read: {filter} is not undone here"));
        }
        self.report.hdf5.push(Account {
            file: path.to_owned(),
            structures: structures.len() as u64,
            metadata_bytes: ledger.metadata,
            element_bytes: ledger.elements,
            heap_bytes: heaps,
            unnamed_bytes: unnamed,
            unnamed_stretches: ledger.unnamed.len() as u64,
            overlaps: ledger.overlapping,
        });
        let packed = packed.into_iter().map(|(id, _)| id).collect();
        Some(LookedInto { contents, packed, laid_out: false })
    }
}

fn of_finding(file: &str, key: String, finding: &Finding) -> Fault {
    let (cause, remedy) = match finding.cause {
        Cause::Cut => ("damaged", "its end is missing: copy the file anew"),
        Cause::Unclosed => ("unclosed", "close it in the program that writes it; where that has died: h5clear -s FILE"),
        Cause::Checksum => ("checksum", "bytes of it were changed: restore the file from a copy"),
        Cause::Overlap => ("overlap", "one of the two was overwritten: restore the file from a copy"),
        _ => ("damaged", "restore the file from a copy; --hdf5 relayout shows what can be read of it"),
    };
    Fault {
        file: file.to_owned(),
        path: finding.path.clone(),
        key,
        chunk: None,
        cause,
        reason: match finding.cause {
            Cause::Cut => finding.reason.clone(),
            _ => format!("{}: {} (at byte {})", finding.structure, finding.reason, finding.at),
        },
        structure: Some(finding.structure),
        byte: Some(finding.at),
        remedy: Some(remedy),
    }
}

/// Where a chunk of an HDF5 file lies.
pub(super) fn byte_of(contents: &Contents, id: ChunkId) -> Option<u64> {
    contents.chunks.container()?;
    let grid = &contents.chunks.recipe(id.dataset)?.grid;
    match contents.chunks.locate(id.dataset, &grid.coordinates(id.number)) {
        ChunkSource::Range(_, range) => Some(range.start),
        _ => None,
    }
}
