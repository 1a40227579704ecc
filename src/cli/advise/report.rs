//! What is told of a file, for people.

use std::collections::BTreeMap;

use super::{FileReport, StoredAs};
use crate::advice::checklist::{Advice, Topic};
use crate::advice::cost::Cost;
use crate::cli::inspect::{Columns, bytes, counted, plain};

/// Datasets that have a line of their own; `--json` has all. A screen holds no more.
const LINES: usize = 50;
/// Datasets that are named under one point of advice.
const NAMED: usize = 5;

impl FileReport {
    /// The tables of one file.
    pub(super) fn text(&self) -> String {
        let mut out = self.head();
        if let Some(error) = &self.error {
            out += &format!("  {}\n", plain(error));
        }
        if !self.datasets.is_empty() {
            out += &format!("\nrequests / bytes through a mount\n{}", self.table());
        }
        if self.datasets.len() > LINES {
            out += &format!("and {} more: --json tells of all\n", self.datasets.len() - LINES);
        }
        out += "\nadvice\n";
        if self.advice.is_empty() {
            out += "  none\n";
        }
        let mut topics: BTreeMap<Topic, Vec<&Advice>> = BTreeMap::new();
        for advice in &self.advice {
            topics.entry(advice.topic).or_default().push(advice);
        }
        for all in topics.into_values() {
            out += &points(&all);
        }
        out
    }

    fn head(&self) -> String {
        let mut lines = Columns::new(&[]);
        let mut line = |name: &str, text: String| lines.row([name.to_owned(), text]);
        line(
            "file",
            format!("{}{}", plain(&self.file), self.size.map_or_else(String::new, |size| format!(", {}", bytes(size)))),
        );
        if let Some(StoredAs { strategy, page, superblock, structures, metadata_bytes, unnamed_bytes, opening }) =
            &self.stored
        {
            let pages = page.map_or_else(String::new, |page| format!(", pages of {}", bytes(page)));
            line("stored", format!("strategy {strategy}{pages}, superblock {superblock}"));
            let unnamed = bytes(*unnamed_bytes);
            let structures = counted(*structures, "structure", "structures");
            line("metadata", format!("{} in {structures}; {unnamed} that no structure names", bytes(*metadata_bytes)));
            let pages = opening.pages.map_or_else(String::new, |pages| format!(", {pages} with a page buffer"));
            let (each, head, blocks) = (opening.each, opening.head, opening.blocks);
            let how = format!("{each} one by one, {head} behind a head of 16 MiB, {blocks} in blocks of 4 MiB{pages}");
            line("to learn it", format!("requests: {how}"));
        }
        line("shown", plain(&self.shown));
        let Cost { requests, bytes: count } = self.opening;
        line("to open", format!("{}, {}", counted(requests, "request", "requests"), bytes(count)));
        lines.to_string()
    }

    fn table(&self) -> String {
        let mut columns = Columns::new(&[3, 5, 6, 7]);
        let names = ["dataset", "shape", "chunk", "size", "filters", "ratio", "series", "map", "scan"];
        columns.row(names.map(str::to_owned));
        for told in self.datasets.iter().take(LINES) {
            let cost = |cost: Cost| format!("{} / {}", cost.requests, bytes(cost.bytes));
            columns.row([
                plain(&told.path),
                told.shape.clone(),
                told.chunk.as_ref().map_or_else(|| "one piece".to_owned(), |chunk| format!("{chunk:?}")),
                told.chunk_bytes.map_or_else(|| "-".to_owned(), bytes),
                told.filters.join(", "),
                told.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
                cost(told.series.shown),
                cost(told.map.shown),
                cost(told.scan.shown),
            ]);
        }
        columns.to_string()
    }
}

/// Points of one topic: of datasets that share it the first are named.
fn points(all: &[&Advice]) -> String {
    let mut out = String::new();
    for advice in all.iter().take(NAMED) {
        let place = advice.path.as_ref().map_or_else(String::new, |path| format!("{}: ", plain(path)));
        out += &format!("  {place}{}\n", plain(&advice.text));
        for mend in &advice.mend {
            out += &format!("      {}\n", plain(mend));
        }
    }
    if all.len() > NAMED {
        out += &format!("  and so for {} more\n", all.len() - NAMED);
    }
    out
}
