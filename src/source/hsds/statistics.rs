//! Scan statistics (`.info.json`): what HSDS counted below a root, some 10 to 20 seconds after it last changed.
//!
//! Nothing of them is shown. Their identity tells that something of the file changed, and what they count tells how many
//! keys there are and which datasets. All of it may be outdated: whoever uses it has to bear that.

use std::time::{Duration, SystemTime};

use super::document::{Document, float, unsigned};
use super::id::{Id, IdKind};

/// Objects of a file beside what the statistics count: the statistics themselves and the summary.
const BESIDE: u64 = 2;
/// Keys of a page of a listing.
const PAGE_KEYS: u64 = 1000;
/// Keys that may have come since the others were counted.
const SPARE: u64 = 40;

/// What the statistics say.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Keys below the root; `None` where a count is missing.
    pub keys: Option<u64>,
    /// Groups, datasets and committed types among them.
    pub objects: u64,
    /// Datasets, those that no link leads to among them.
    pub datasets: Vec<Id>,
    /// When whoever counted began to read the objects; its summary, written at the end, is of a moment after this.
    pub began: Option<SystemTime>,
}

impl Statistics {
    /// Reads them.
    pub fn of(document: &Document) -> Self {
        let count = |key: &str| document.get(key).and_then(unsigned);
        let datasets = document.members("datasets");
        let counted = [count("num_groups"), count("num_datatypes"), count("num_chunks")];
        let listed = Some(datasets.len() as u64 + BESIDE);
        let keys = counted.into_iter().chain([listed]).try_fold(0u64, |sum, count| sum.checked_add(count?));
        let objects =
            counted[..2].iter().flatten().fold(datasets.len() as u64, |sum, count| sum.saturating_add(*count));
        let datasets = datasets.filter_map(|(id, _)| Id::parse_bare(IdKind::Dataset, id)).collect();
        let began =
            document.get("scan_start").and_then(float).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let began = began.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        Statistics { keys, objects, datasets, began }
    }

    /// Whether all keys fit one page of a listing.
    pub fn fit_a_page(&self) -> bool {
        self.listed().is_some_and(|pages| pages <= 1)
    }

    /// Pages of a listing of all keys, some of which may have come since they were counted.
    fn listed(&self) -> Option<u64> {
        Some(self.keys?.saturating_add(SPARE).div_ceil(PAGE_KEYS))
    }

    /// Pages of a listing of all keys, where reading these takes less time than reading the objects many at a time: one,
    /// or one for every 128 objects. (They come one after the other, and hold chunks as well.)
    pub fn pages(&self) -> Option<usize> {
        let pages = self.listed()?;
        let worth = (self.objects / 128).max(1);
        usize::try_from(pages).ok().filter(|_| pages <= worth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_everything_that_is_counted() {
        let of = |json: &str| Statistics::of(&Document::parse(json.as_bytes()).unwrap());
        let id = "d-6470adce-88afc031-eb26-114229-6c90dd";
        let whole = of(&format!(
            r#"{{"num_groups": 2, "num_datatypes": 1, "num_chunks": 10, "datasets": {{"{id}": {{}}, "x": {{}}}}}}"#
        ));
        assert_eq!(
            whole,
            Statistics { keys: Some(17), objects: 5, datasets: vec![Id::parse(id).unwrap()], began: None }
        );
        assert_eq!(of("{}"), Statistics { keys: None, objects: 0, datasets: vec![], began: None });
        assert_eq!((whole.pages(), of("{}").pages()), (Some(1), None));
        let many = |objects, keys| Statistics { keys: Some(keys), objects, datasets: vec![], began: None }.pages();
        assert_eq!((many(1000, 1002), many(100, 1002), many(1000, 90_000)), (Some(2), None, None));
        assert_eq!(of(r#"{"num_groups": 18446744073709551615, "num_datatypes": 1, "num_chunks": 1}"#).keys, None);
    }
}
