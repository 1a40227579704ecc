//! Scan statistics (`.info.json`): what HSDS counted below a root, some 10 to 20 seconds after it last changed.
//!
//! Nothing of them is shown. Their identity tells that something of the file changed, and what they count tells how many
//! keys there are and which datasets. All of it may be outdated: whoever uses it has to bear that.

use super::document::{Document, unsigned};
use super::id::{Id, IdKind};

/// Objects of a file beside what the statistics count: the statistics themselves and the summary.
const BESIDE: u64 = 2;

/// What the statistics say.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Keys below the root; `None` where a count is missing.
    pub keys: Option<u64>,
    /// Datasets, those that no link leads to among them.
    pub datasets: Vec<Id>,
}

impl Statistics {
    /// Reads them.
    pub fn of(document: &Document) -> Self {
        let count = |key: &str| document.get(key).and_then(unsigned);
        let datasets = document.members("datasets");
        let counted = [count("num_groups"), count("num_datatypes"), count("num_chunks")];
        let listed = Some(datasets.len() as u64 + BESIDE);
        let keys = counted.into_iter().chain([listed]).try_fold(0u64, |sum, count| sum.checked_add(count?));
        let datasets = datasets.filter_map(|(id, _)| Id::parse_bare(IdKind::Dataset, id)).collect();
        Statistics { keys, datasets }
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
        assert_eq!(whole, Statistics { keys: Some(17), datasets: vec![Id::parse(id).unwrap()] });
        assert_eq!(of("{}"), Statistics { keys: None, datasets: vec![] });
        assert_eq!(of(r#"{"num_groups": 18446744073709551615, "num_datatypes": 1, "num_chunks": 1}"#).keys, None);
    }
}
