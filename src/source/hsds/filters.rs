//! Filters: what a dataset lists, and what its chunks really went through (the two differ).
//!
//! HSDS writes Blosc frames under every compressor and never applies fletcher32, n-bit or scale-offset. Chunks that
//! stay in an HDF5 file went through what that file's pipeline says.

use serde_json::Value;

use super::document::unsigned;
use super::fault::Fault;
use crate::model::pipeline::{Decode, Filter, Pipeline, StoredForm};

/// How datasets are read that list the shuffle filter and no compressor. Servers up to 0.5 stored their chunks
/// shuffled, later ones as they are; nothing in the store tells which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ShuffleOnly {
    /// Stored as they are.
    #[default]
    Raw,
    /// Stored shuffled.
    Shuffled,
}

/// Level declared for a deflate filter that names none: zlib's own default.
const DEFAULT_LEVEL: u8 = 6;

/// One listed filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    kind: Kind,
    id: Option<u16>,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    // In the order in which a writer applies them.
    Recorded,
    Shuffle,
    Bitshuffle,
    Deflate(u8),
    Blosc,
    Compressor,
    Fletcher32,
}

/// The filters of `creationProperties`, in the order in which a writer applies them.
pub fn listed(value: Option<&Value>) -> Result<Vec<Listed>, Fault> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    let list = value.as_array().ok_or_else(|| Fault::malformed("filters", "are no list"))?;
    let mut filters = list.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    // HSDS gives the order in its list no meaning. A stable sort: equal kinds stay as listed.
    filters.sort_by_key(|filter| match filter.kind {
        Kind::Deflate(_) => Kind::Deflate(0),
        kind => kind,
    });
    filters
        .dedup_by(|later, earlier| later.kind == earlier.kind && later.id == earlier.id && later.name == earlier.name);
    Ok(filters)
}

fn one(value: &Value) -> Result<Listed, Fault> {
    let member = |key: &str| value.get(key);
    let name = value.as_str().or_else(|| member("name").and_then(Value::as_str)).unwrap_or_default();
    let class = member("class").and_then(Value::as_str).unwrap_or_default();
    let id = unsigned(value).or_else(|| member("id").and_then(unsigned)).and_then(|id| u16::try_from(id).ok());
    let level =
        member("level").and_then(unsigned).and_then(|level| u8::try_from(level).ok()).unwrap_or(DEFAULT_LEVEL).min(9);
    // The class decides; a client's own class (USER) and the short forms go by name, then by id.
    let word = match class {
        "" | "H5Z_FILTER_USER" if !name.is_empty() => name.to_ascii_lowercase(),
        "" | "H5Z_FILTER_USER" => String::new(),
        class => class.strip_prefix("H5Z_FILTER_").unwrap_or(class).to_ascii_lowercase(),
    };
    let kind = match (word.as_str(), id) {
        ("shuffle", _) if name == "bitshuffle" || id == Some(32008) => Kind::Bitshuffle,
        ("shuffle", _) | ("", Some(2)) => Kind::Shuffle,
        ("bitshuffle", _) | ("", Some(32008)) => Kind::Bitshuffle,
        ("deflate" | "gzip" | "zlib", _) | ("", Some(1)) => Kind::Deflate(level),
        ("blosc" | "blosclz", _) | ("", Some(32001)) => Kind::Blosc,
        ("lz4" | "lz4hc" | "zstd", _) | ("", Some(32004 | 32005 | 32015)) => Kind::Compressor,
        ("fletcher32", _) | ("", Some(3)) => Kind::Fletcher32,
        ("nbit" | "scaleoffset", _) | ("", Some(5 | 6)) => Kind::Recorded,
        _ => {
            let shown = if word.is_empty() { value.to_string() } else { word };
            return Err(Fault::Unsupported(format!("data under the filter {shown}")));
        }
    };
    let name = if name.is_empty() { class.to_owned() } else { name.to_owned() };
    Ok(Listed { kind, id, name })
}

/// The filters as the presented file may declare them.
pub fn declared(filters: &[Listed]) -> Vec<Filter> {
    filters
        .iter()
        .map(|filter| match filter.kind {
            Kind::Shuffle => Filter::Shuffle,
            Kind::Deflate(level) => Filter::Deflate(level),
            Kind::Fletcher32 => Filter::Fletcher32,
            Kind::Bitshuffle => Filter::Other { id: Some(32008), name: filter.name.clone() },
            _ => Filter::Other { id: filter.id, name: filter.name.clone() },
        })
        .collect()
}

/// What makes a chunk plain that HSDS stored. `element`: bytes of an element; `None` where they differ in length.
pub fn decode_stored(filters: &[Listed], element: Option<u32>, shuffle_only: ShuffleOnly) -> Pipeline {
    let has = |wanted: fn(Kind) -> bool| filters.iter().any(|filter| wanted(filter.kind));
    let compressed = has(|kind| matches!(kind, Kind::Deflate(_) | Kind::Blosc | Kind::Compressor));
    let shuffled = element.filter(|_| has(|kind| kind == Kind::Shuffle));
    let mut steps = Vec::new();
    match (compressed, shuffled, shuffle_only) {
        (true, unshuffle, _) => steps.push(Decode::BloscOrDeflate { unshuffle }),
        (false, Some(element), ShuffleOnly::Shuffled) => steps.push(Decode::Unshuffle { element }),
        _ => {}
    }
    if let Some(element) = element.filter(|_| has(|kind| kind == Kind::Bitshuffle)) {
        steps.push(Decode::BitshuffleLz4 { element });
    }
    Pipeline { steps }
}

/// What makes a chunk plain that lies in an HDF5 file.
pub fn decode_linked(filters: &[Listed], element: u32) -> Result<Pipeline, Fault> {
    let mut steps = Vec::new();
    // A loader drops fletcher32 from the list. Inflating stops at the stream's end and so before the checksum; where
    // nothing is inflated, a surplus of its four bytes is cut.
    if !filters.iter().any(|filter| matches!(filter.kind, Kind::Deflate(_) | Kind::Blosc | Kind::Bitshuffle)) {
        steps.push(Decode::TrimFletcher32);
    }
    for filter in filters.iter().rev() {
        match filter.kind {
            Kind::Deflate(_) => steps.push(Decode::Deflate),
            Kind::Shuffle => steps.push(Decode::Unshuffle { element }),
            Kind::Bitshuffle => steps.push(Decode::BitshuffleLz4 { element }),
            Kind::Blosc => steps.push(Decode::BloscOrDeflate { unshuffle: None }),
            Kind::Fletcher32 => {}
            Kind::Recorded | Kind::Compressor => {
                return Err(Fault::Unsupported(format!("linked data under the filter {}", filter.name)));
            }
        }
    }
    Ok(Pipeline { steps })
}

/// What the chunks are that `decode` makes plain. HSDS writes Blosc frames under any compressor since 0.6; older chunks
/// in between are zlib streams, which is for whoever reads them to notice.
pub fn stored_form(filters: &[Listed], decode: &Pipeline) -> StoredForm {
    match decode.steps[..] {
        [Decode::BloscOrDeflate { .. }] => {
            let shuffle = u32::from(filters.iter().any(|filter| filter.kind == Kind::Shuffle));
            let name = filters.iter().rev().find_map(|filter| match filter.kind {
                Kind::Deflate(_) => Some("zlib"),
                Kind::Blosc | Kind::Compressor => Some(filter.name.as_str()),
                _ => None,
            });
            // As Blosc numbers them; its own codec where none is named.
            let codecs = ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"];
            let codec = codecs.iter().position(|codec| Some(*codec) == name).unwrap_or(0);
            StoredForm::Blosc { shuffle, codec: codec as u32 }
        }
        [Decode::Deflate] => StoredForm::Zlib { shuffled: false },
        [Decode::Deflate, Decode::Unshuffle { .. }] => StoredForm::Zlib { shuffled: true },
        _ => StoredForm::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(value: Value) -> Vec<Listed> {
        listed(Some(&value)).unwrap()
    }

    #[test]
    fn the_order_is_a_writers_and_recorded_filters_do_nothing() {
        let filters = list(json!([
            {"class": "H5Z_FILTER_FLETCHER32", "id": 3, "name": "fletcher32"},
            {"class": "H5Z_FILTER_DEFLATE", "id": 1, "level": 4, "name": "gzip"},
            {"class": "H5Z_FILTER_SHUFFLE", "id": 2, "name": "shuffle"},
            {"class": "H5Z_FILTER_SCALEOFFSET", "id": 6, "name": "scaleoffset"}]));
        let other = Filter::Other { id: Some(6), name: "scaleoffset".into() };
        assert_eq!(declared(&filters), [other, Filter::Shuffle, Filter::Deflate(4), Filter::Fletcher32]);
        let decode = decode_stored(&filters, Some(8), ShuffleOnly::Raw);
        assert_eq!(decode.steps, [Decode::BloscOrDeflate { unshuffle: Some(8) }]);
        assert_eq!(decode_stored(&filters, None, ShuffleOnly::Raw).steps, [Decode::BloscOrDeflate { unshuffle: None }]);
        assert!(decode_linked(&filters, 8).is_err());
    }

    #[test]
    fn what_lies_in_the_store_follows_from_how_it_is_read() {
        let zlib = list(json!([
            {"class": "H5Z_FILTER_SHUFFLE", "id": 2, "name": "shuffle"},
            {"class": "H5Z_FILTER_DEFLATE", "id": 1, "level": 4, "name": "gzip"},
            {"class": "H5Z_FILTER_FLETCHER32", "id": 3, "name": "fletcher32"}]));
        let form = stored_form(&zlib, &decode_stored(&zlib, Some(8), ShuffleOnly::Raw));
        assert_eq!(form, StoredForm::Blosc { shuffle: 1, codec: 4 });
        assert_eq!(stored_form(&zlib, &decode_linked(&zlib, 8).unwrap()), StoredForm::Zlib { shuffled: true });
        let zstd = list(json!([{"class": "H5Z_FILTER_USER", "id": 32015, "name": "zstd"}]));
        let form = stored_form(&zstd, &decode_stored(&zstd, Some(8), ShuffleOnly::Raw));
        assert_eq!(form, StoredForm::Blosc { shuffle: 0, codec: 5 });
        let shuffle = list(json!([2]));
        assert_eq!(stored_form(&shuffle, &decode_linked(&shuffle, 8).unwrap()), StoredForm::Other);
        assert_eq!(stored_form(&shuffle, &decode_stored(&shuffle, Some(8), ShuffleOnly::Raw)), StoredForm::Other);
    }

    #[test]
    fn shuffle_alone_goes_by_the_option() {
        let filters = list(json!([{"class": "H5Z_FILTER_SHUFFLE", "id": 2, "name": "shuffle"}]));
        assert_eq!(decode_stored(&filters, Some(4), ShuffleOnly::Raw).steps, []);
        assert_eq!(decode_stored(&filters, Some(4), ShuffleOnly::Shuffled).steps, [Decode::Unshuffle { element: 4 }]);
        assert_eq!(
            decode_linked(&filters, 4).unwrap().steps,
            [Decode::TrimFletcher32, Decode::Unshuffle { element: 4 }]
        );
    }

    #[test]
    fn other_names_of_the_same_things() {
        let user = list(json!([{"class": "H5Z_FILTER_USER", "id": 32015, "name": "zstd"}]));
        assert_eq!(declared(&user), [Filter::Other { id: Some(32015), name: "zstd".into() }]);
        assert_eq!(declared(&list(json!(["gzip"]))), [Filter::Deflate(6)]);
        assert_eq!(declared(&list(json!([2]))), [Filter::Shuffle]);
        let bits = list(json!([{"class": "H5Z_FILTER_SHUFFLE", "id": 2, "name": "bitshuffle"}]));
        assert_eq!(decode_stored(&bits, Some(4), ShuffleOnly::Raw).steps, [Decode::BitshuffleLz4 { element: 4 }]);
        assert!(listed(Some(&json!([{"class": "H5Z_FILTER_SZIP", "id": 4}]))).is_err());
        assert!(listed(Some(&json!({}))).is_err());
    }
}
