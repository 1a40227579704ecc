//! Region references: the blob a chunk holds and the JSON an attribute holds, to a dataset and a selection.
//!
//! The blob is `HRRF`, u8 version 1, u16 length, id, u32 length, selection, 0xff; the selection is `HSEL`, u8 version 1,
//! u8 class 0, u8 kind, u8 width code, u16 rank, the extents, the names of fields, and one entry a dimension: a slice, a
//! list or a single index. All numbers are little-endian. Lists of several dimensions are taken pairwise.

use serde_json::Value;

use super::document::unsigned;
use super::fault::Fault;
use super::id::{Id, IdKind};
use crate::model::chunk::BadChunk;
use crate::model::limits;
use crate::model::selection::Selection;

/// Numbers a selection may take in memory. Slices with steps and cross products multiply; 4 Mi numbers are 32 MiB.
const SELECTION_NUMBERS: u64 = 1 << 22;

/// Kinds of a stored selection.
const NONE: u8 = 0;
const POINTS: u8 = 1;
const HYPERSLABS: u8 = 2;
const ALL: u8 = 3;
const FANCY: u8 = 4;

/// Bytes a selection takes in memory, in step with the numbers it holds.
pub fn weight(selection: &Selection) -> u64 {
    match selection {
        Selection::None | Selection::All => 0,
        Selection::Points { coordinates: numbers, .. } | Selection::Blocks { corners: numbers, .. } => {
            8 * numbers.len() as u64
        }
    }
}

/// Reads a number of bytes and knows where it is.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn fail(&self, reason: impl Into<String>) -> BadChunk {
        BadChunk { at: self.at as u64, reason: reason.into() }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BadChunk> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.fail("a region reference ends early"))?;
        self.at += len;
        Ok(taken)
    }

    fn number(&mut self, width: usize) -> Result<u64, BadChunk> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn byte(&mut self) -> Result<u8, BadChunk> {
        Ok(self.take(1)?[0])
    }

    fn expect(&mut self, bytes: &[u8], what: &str) -> Result<(), BadChunk> {
        let before = self.at;
        match self.take(bytes.len())? == bytes {
            true => Ok(()),
            false => Err(BadChunk { at: before as u64, reason: format!("{what} expected") }),
        }
    }
}

/// What one dimension of a selection holds.
enum Along {
    /// Runs of neighbours: `first..=last`, and again each `step` further, `count` in all. They are written out only once
    /// it is known how many all dimensions make together.
    Runs { first: u64, last: u64, step: u64, count: u64 },
    /// One index after the other, pairwise with the other lists.
    List(Vec<u64>),
}

/// The blob of a region reference; `None` for the id where it names no dataset.
pub fn parse_blob(bytes: &[u8]) -> Result<(Option<Id>, Selection), BadChunk> {
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.expect(b"HRRF\x01", "a region reference (HRRF, version 1)")?;
    let len = cursor.number(2)? as usize;
    let id = cursor.take(len)?;
    let id = std::str::from_utf8(id).ok().and_then(|id| Id::parse_bare(IdKind::Dataset, id));
    let len = cursor.number(4)? as usize;
    let begin = cursor.at;
    cursor.take(len)?;
    let end = cursor.at;
    cursor.expect(b"\xff", "the end of a region reference (0xff)")?;
    if cursor.at != bytes.len() {
        return Err(cursor.fail("bytes follow a region reference"));
    }
    let mut inner = Cursor { bytes: &bytes[..end], at: begin };
    Ok((id, selection(&mut inner)?))
}

fn selection(cursor: &mut Cursor<'_>) -> Result<Selection, BadChunk> {
    cursor.expect(b"HSEL\x01\x00", "a selection (HSEL, version 1, class 0)")?;
    let kind = cursor.byte()?;
    let width = match cursor.byte()? {
        0 => 2,
        1 => 4,
        2 => 8,
        other => return Err(cursor.fail(format!("width code {other} of a selection"))),
    };
    let rank = cursor.number(2)? as usize;
    if rank > limits::RANK {
        return Err(cursor.fail(format!("a selection of rank {rank}")));
    }
    let extents = (0..rank).map(|_| cursor.number(width)).collect::<Result<Vec<u64>, _>>()?;
    if cursor.byte()? != 0 {
        // Fields of a compound: a region reference of HDF5 has no word for them.
        for _ in 0..cursor.number(2)? {
            let len = cursor.number(2)? as usize;
            cursor.take(len)?;
        }
    }
    match kind {
        NONE => return Ok(Selection::None),
        ALL => return Ok(Selection::All),
        POINTS | HYPERSLABS | FANCY => {}
        other => return Err(cursor.fail(format!("kind {other} of a selection"))),
    }
    let mut along = Vec::with_capacity(rank);
    for &extent in &extents {
        along.push(dimension(cursor, width, extent)?);
    }
    combined(&along).map_err(|reason| cursor.fail(reason))
}

fn dimension(cursor: &mut Cursor<'_>, width: usize, extent: u64) -> Result<Along, BadChunk> {
    match cursor.byte()? {
        0 => {
            let (start, stop, step) = (cursor.number(width)?, cursor.number(width)?, cursor.number(width)?);
            runs(start, stop.min(extent), step).map_err(|reason| cursor.fail(reason))
        }
        1 => {
            let count = cursor.number(4)? as usize;
            let bytes = cursor.take(count.checked_mul(width).ok_or_else(|| cursor.fail("a list too long"))?)?;
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
            Ok(Along::List(bytes.chunks_exact(width).map(number).collect()))
        }
        2 => {
            let index = cursor.number(width)?;
            Ok(Along::Runs { first: index, last: index, step: 0, count: 1 })
        }
        other => Err(cursor.fail(format!("kind {other} of a selection's dimension"))),
    }
}

/// The runs of a slice.
fn runs(start: u64, stop: u64, step: u64) -> Result<Along, String> {
    if step == 0 {
        return Err("a slice with step 0".into());
    }
    Ok(match step {
        _ if start >= stop => Along::Runs { first: 0, last: 0, step: 0, count: 0 },
        1 => Along::Runs { first: start, last: stop - 1, step: 0, count: 1 },
        _ => Along::Runs { first: start, last: start, step, count: (stop - start).div_ceil(step) },
    })
}

/// The selection that slices, single indices and lists make together.
fn combined(along: &[Along]) -> Result<Selection, String> {
    let mut listed = None;
    let mut pieces = 1u64;
    for along in along {
        match along {
            Along::List(list) if listed.is_some_and(|len| len != list.len()) => {
                return Err("lists of different lengths".into());
            }
            Along::List(list) => listed = Some(list.len()),
            Along::Runs { count, .. } => pieces = pieces.saturating_mul(*count),
        }
    }
    let total = pieces.saturating_mul(listed.unwrap_or(1) as u64);
    let rank = along.len() as u64;
    if total == 0 {
        return Ok(Selection::None);
    }
    if total.saturating_mul(rank.max(1)).saturating_mul(2) > SELECTION_NUMBERS {
        return Err(format!("a selection of {total} pieces"));
    }
    if rank == 0 {
        return Ok(Selection::All);
    }
    if along.iter().all(|along| matches!(along, Along::List(_))) {
        let mut coordinates = Vec::with_capacity((total * rank) as usize);
        for point in 0..listed.unwrap_or(0) {
            coordinates.extend(along.iter().map(|along| match along {
                Along::List(list) => list[point],
                Along::Runs { .. } => 0,
            }));
        }
        return Ok(Selection::Points { rank: rank as u32, coordinates });
    }
    let mut corners = Vec::with_capacity((total * rank * 2) as usize);
    for point in 0..listed.unwrap_or(1) {
        for piece in 0..pieces {
            let mut rest = piece;
            let mut corner = vec![(0, 0); along.len()];
            for (corner, along) in corner.iter_mut().zip(along).rev() {
                *corner = match along {
                    Along::List(list) => (list[point], list[point]),
                    // `total` is not 0, so neither is any count. Runs lie below a slice's end: nothing overflows.
                    Along::Runs { first, last, step, count } => {
                        let ahead = rest % count * step;
                        rest /= count;
                        (first + ahead, last + ahead)
                    }
                };
            }
            corners.extend(corner.iter().map(|(first, _)| first));
            corners.extend(corner.iter().map(|(_, last)| last));
        }
    }
    Ok(Selection::Blocks { rank: rank as u32, corners })
}

/// The JSON of a region reference: its dataset and selection. `Ok(None)` for a null reference.
pub fn parse_json(value: &Value) -> Result<Option<(Id, Selection)>, Fault> {
    let fault = |reason: String| Fault::malformed("region reference", reason);
    if value.is_null() {
        return Ok(None);
    }
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Object(object) => match object.get("id") {
            Some(Value::String(text)) => text.as_str(),
            Some(Value::Null) => "",
            _ => return Err(Fault::Missing("id of the region reference")),
        },
        _ => return Err(fault("is no object".into())),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let id = Id::parse_bare(IdKind::Dataset, text).ok_or_else(|| fault(format!("{text:?} is no id of a dataset")))?;
    if let Some(dict) = value.get("selection_dict").filter(|dict| !dict.is_null()) {
        return Ok(Some((id, from_dict(dict).map_err(fault)?)));
    }
    let Some(selection) = value.get("selection").filter(|selection| !selection.is_null()) else {
        return Ok(Some((id, Selection::All)));
    };
    let list = selection.as_array().ok_or_else(|| fault("its selection is no list".into()))?;
    let numbers = |value: &Value| -> Result<Vec<u64>, Fault> { super::shape::extents("region reference", value) };
    let mut rank = None;
    let mut flat: Vec<u64> = Vec::new();
    let mut push = |given: Vec<u64>| -> Result<(), Fault> {
        if *rank.get_or_insert(given.len()) != given.len() || given.is_empty() {
            return Err(fault("coordinates of different ranks".into()));
        }
        flat.extend(given);
        Ok(())
    };
    let points = match value.get("select_type").and_then(Value::as_str) {
        Some("H5S_SEL_POINTS") => true,
        Some("H5S_SEL_HYPERSLABS") => false,
        Some("H5S_SEL_ALL") => return Ok(Some((id, Selection::All))),
        Some("H5S_SEL_NONE") => return Ok(Some((id, Selection::None))),
        other => return Err(fault(format!("select_type {}", other.unwrap_or("is missing")))),
    };
    for item in list {
        if points {
            push(numbers(item)?)?;
            continue;
        }
        match item.as_array().map(Vec::as_slice) {
            Some([first, last]) => {
                let (first, last) = (numbers(first)?, numbers(last)?);
                if first.len() != last.len() || first.iter().zip(&last).any(|(first, last)| first > last) {
                    return Err(fault("a block that ends before it begins".into()));
                }
                push(first)?;
                push(last)?;
            }
            _ => return Err(fault("a block is no pair of corners".into())),
        }
    }
    let selection = match (rank, points) {
        (None, _) => Selection::None,
        (Some(rank), true) => Selection::Points { rank: rank as u32, coordinates: flat },
        (Some(rank), false) => Selection::Blocks { rank: rank as u32, corners: flat },
    };
    Ok(Some((id, selection)))
}

/// The other form of a selection in JSON: one entry a dimension, as in the blob.
fn from_dict(dict: &Value) -> Result<Selection, String> {
    match dict.get("select_type").and_then(unsigned) {
        Some(0) => return Ok(Selection::None),
        Some(3) => return Ok(Selection::All),
        _ => {}
    }
    let shape = dict.get("shape").and_then(Value::as_array).ok_or("its selection has no shape")?;
    let slices = dict.get("slices").and_then(Value::as_array).ok_or("its selection has no slices")?;
    if slices.len() != shape.len() || slices.len() > limits::RANK {
        return Err("its selection has another rank than its shape".into());
    }
    let mut along = Vec::with_capacity(slices.len());
    for (slice, extent) in slices.iter().zip(shape) {
        let number = |key: &str| slice.get(key).and_then(unsigned).ok_or(format!("a slice has no {key}"));
        along.push(match slice.get("type").and_then(Value::as_str) {
            Some("slice") => {
                let extent = unsigned(extent).ok_or("an extent is no number")?;
                runs(number("start")?, number("stop")?.min(extent), number("step")?)?
            }
            Some("int") => {
                let index = number("value")?;
                Along::Runs { first: index, last: index, step: 0, count: 1 }
            }
            Some("list") => {
                let list = slice.get("values").and_then(Value::as_array).ok_or("a list has no values")?;
                let list: Option<Vec<u64>> = list.iter().map(unsigned).collect();
                Along::List(list.ok_or("a list holds what is no index")?)
            }
            _ => return Err("a slice of unknown type".into()),
        });
    }
    combined(&along)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ID: &str = "d-21da1467-6e6d9d5f-a2ce-3461d4-ffe5fc";

    fn blob(kind: u8, rank: u16, extents: &[u16], body: &[u8]) -> Vec<u8> {
        let mut selection = b"HSEL\x01\x00".to_vec();
        selection.extend([kind, 0]);
        selection.extend(rank.to_le_bytes());
        extents.iter().for_each(|extent| selection.extend(extent.to_le_bytes()));
        selection.push(0);
        selection.extend(body);
        let mut blob = b"HRRF\x01".to_vec();
        blob.extend((ID.len() as u16).to_le_bytes());
        blob.extend(ID.bytes());
        blob.extend((selection.len() as u32).to_le_bytes());
        blob.extend(selection);
        blob.push(0xff);
        blob
    }

    #[test]
    fn slabs_points_and_mixtures() {
        let slab = [0, 1, 0, 3, 0, 1, 0, 0, 0, 0, 6, 0, 2, 0];
        let (id, selection) = parse_blob(&blob(HYPERSLABS, 2, &[4, 5], &slab)).unwrap();
        assert_eq!(id, Id::parse(ID));
        let corners = vec![1, 0, 2, 0, 1, 2, 2, 2, 1, 4, 2, 4];
        assert_eq!(selection, Selection::Blocks { rank: 2, corners });

        let points = [1, 2, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, 0, 4, 0, 0, 0];
        let (_, selection) = parse_blob(&blob(POINTS, 2, &[4, 5], &points)).unwrap();
        assert_eq!(selection, Selection::Points { rank: 2, coordinates: vec![1, 4, 3, 0] });

        let mixed = [1, 2, 0, 0, 0, 1, 0, 3, 0, 2, 4, 0];
        let (_, selection) = parse_blob(&blob(FANCY, 2, &[4, 5], &mixed)).unwrap();
        assert_eq!(selection, Selection::Blocks { rank: 2, corners: vec![1, 4, 1, 4, 3, 4, 3, 4] });
        assert_eq!(parse_blob(&blob(ALL, 1, &[4], &[])).unwrap().1, Selection::All);
    }

    #[test]
    fn json_of_both_forms() {
        let blocks = json!({"id": "21da1467-6e6d9d5f-a2ce-3461d4-ffe5fc", "select_type": "H5S_SEL_HYPERSLABS",
            "selection": [[[0], [2]]]});
        let expected = Selection::Blocks { rank: 1, corners: vec![0, 2] };
        assert_eq!(parse_json(&blocks).unwrap(), Some((Id::parse(ID).unwrap(), expected.clone())));
        let dict = json!({"id": ID, "selection_dict": {"shape": [9], "select_type": 2,
            "slices": [{"type": "slice", "start": 0, "stop": 3, "step": 1}]}});
        assert_eq!(parse_json(&dict).unwrap().unwrap().1, expected);
        assert_eq!(parse_json(&json!({"id": ID})).unwrap().unwrap().1, Selection::All);
        assert_eq!(parse_json(&json!(null)), Ok(None));
        for wrong in [json!({}), json!({"id": ID, "selection": [[1]]}), json!({"id": "x"}), json!([[3]])] {
            assert!(parse_json(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn selections_that_would_not_fit_are_refused() {
        let slab = [0u8, 0, 0, 0xff, 0xff, 2, 0];
        let body = slab.repeat(3);
        assert!(parse_blob(&blob(HYPERSLABS, 3, &[0xffff; 3], &body)).is_err());

        // A slice is not written out before all are known: with an empty one beside it, nothing is selected.
        let far = json!({"type": "slice", "start": 0, "stop": 1u64 << 60, "step": 2});
        let none = json!({"type": "slice", "start": 3, "stop": 3, "step": 1});
        let of = |slices: Value| {
            let rank = slices.as_array().map_or(0, Vec::len);
            let dict = json!({"shape": vec![1u64 << 60; rank], "select_type": 2, "slices": slices});
            parse_json(&json!({"id": ID, "selection_dict": dict})).map(|read| read.unwrap().1)
        };
        assert_eq!(of(json!([far, none])).unwrap(), Selection::None);
        assert!(of(json!(vec![far; limits::RANK])).is_err());
        let few = json!({"type": "slice", "start": 1, "stop": 6, "step": 3});
        assert_eq!(of(json!([few])).unwrap(), Selection::Blocks { rank: 1, corners: vec![1, 1, 4, 4] });
    }

    proptest! {
        #[test]
        fn no_blob_panics(body: Vec<u8>, kind in 0u8..6, rank in 0u16..4, whole: Vec<u8>) {
            let _ = parse_blob(&blob(kind, rank, &[7; 3][..rank as usize], &body));
            let _ = parse_blob(&whole);
        }
    }
}
