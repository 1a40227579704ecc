//! Creation: how a dataset's elements are cut into chunks and where these are kept.
//!
//! Two places say something about the layout, and they often differ: the top level holds what a 0.9 server really uses,
//! the creation properties what was asked for (and what a 1.0 server uses, which writes no other).

use serde_json::Value;

use super::document::{Document, unsigned};
use super::fault::Fault;
use super::filters::{self, ShuffleOnly};
use super::linked::{Linked, linked};
use super::shape::extents;
use super::stream::{Objects, stored_size};
use super::value::Encoder;
use crate::model::chunk::{ChunkRecipe, Initializer};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::Datatype;
use crate::model::elements::Elements;
use crate::model::grid::Grid;
use crate::model::hierarchy::DataLayout;
use crate::model::limits;
use crate::model::location::Bucket;
use crate::model::pipeline::{Filter, Pipeline, StoredForm};

/// How a dataset is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct Creation {
    /// As the presented file shows it.
    pub layout: DataLayout,
    /// As the presented file may declare them; none where the layout is contiguous.
    pub filters: Vec<Filter>,
    /// What stored chunks are.
    pub stored: StoredForm,
    /// How chunks are made plain; `None` for a null dataspace.
    pub recipe: Option<ChunkRecipe>,
    /// Where they are.
    pub storage: Storage,
}

/// Where chunks are kept.
#[derive(Clone, PartialEq, Debug)]
pub enum Storage {
    /// Nowhere: a null dataspace, and compact storage of 0.9, which keeps no value.
    Nowhere,
    /// As objects of the store.
    Objects {
        /// Partitions of their keys; below 2, none.
        partitions: u64,
        /// What gives a chunk that is not stored, where not the fill value does.
        initializer: Option<Initializer>,
    },
    /// In HDF5 files.
    Linked(Linked),
}

/// How the dataset of this document is kept.
pub fn creation(
    document: &Document,
    datatype: &Datatype,
    dataspace: &Dataspace,
    home: &Bucket,
    shuffle_only: ShuffleOnly,
) -> Result<Creation, Fault> {
    if *dataspace == Dataspace::Null {
        return Ok(Creation {
            layout: DataLayout::Contiguous,
            filters: Vec::new(),
            stored: StoredForm::Other,
            recipe: None,
            storage: Storage::Nowhere,
        });
    }
    let properties = document.get("creationProperties");
    let requested = properties.and_then(|properties| properties.get("layout")).filter(|layout| !layout.is_null());
    let effective = document.get("layout");
    let class = |layout: Option<&Value>| layout.and_then(|layout| layout.get("class")?.as_str().map(str::to_owned));
    let dims_of =
        |layout: Option<&Value>| layout.and_then(|layout| layout.get("dims").filter(|dims| !dims.is_null()).cloned());
    let listed = filters::listed(properties.and_then(|properties| properties.get("filters")))?;
    let dims = dataspace.dims();
    let whole: Vec<u64> = dims.iter().map(|&dim| dim.max(1)).collect();

    let link = requested.map(|layout| linked(layout, dims.len(), home)).transpose()?.flatten();
    let (chunk, chosen, storage) = match (link, dims_of(effective)) {
        (Some(link), _) => {
            if stored_size(datatype) != Some(datatype.size()) {
                return Err(Fault::Unsupported("linked data of variable length or of references".into()));
            }
            let real = requested.and_then(|layout| layout.get("hyper_dims")).filter(|dims| !dims.is_null()).cloned();
            let chunk = match &link {
                Linked::Contiguous { .. } => whole.clone(),
                Linked::Listed { .. } => {
                    chunk_shape(&dims_of(requested).ok_or(Fault::Missing("dims of the layout"))?, dims)?
                }
                Linked::Table { .. } => {
                    let real = real.or_else(|| dims_of(requested));
                    chunk_shape(&real.ok_or(Fault::Missing("dims of the layout"))?, dims)?
                }
            };
            (chunk, requested, Storage::Linked(link))
        }
        (None, Some(effective_dims)) => {
            (chunk_shape(&effective_dims, dims)?, effective, objects(properties, effective))
        }
        (None, None) if class(effective).as_deref() == Some("H5D_COMPACT") => {
            (whole.clone(), effective, Storage::Nowhere)
        }
        (None, None) if class(requested).as_deref() == Some("H5D_CHUNKED") => {
            let asked = dims_of(requested).ok_or(Fault::Missing("dims of the layout"))?;
            (chunk_shape(&asked, dims)?, requested, objects(properties, requested))
        }
        (None, None) => (whole.clone(), None, objects(properties, None)),
    };

    let grid = Grid::new(dims, &chunk).ok_or_else(|| Fault::limit("number of chunks", u64::MAX))?;
    let elements = grid.chunk_elements().ok_or_else(|| Fault::limit("elements of a chunk", u64::MAX))?;
    let raw_len = match stored_size(datatype) {
        Some(size) => Some(elements.checked_mul(size).ok_or_else(|| Fault::limit("bytes of a chunk", u64::MAX))?),
        None => None,
    };

    let fixed = match dataspace {
        Dataspace::Simple { dims, max_dims } => dims.iter().zip(max_dims).all(|(&dim, &max)| max == Some(dim)),
        _ => true,
    };
    let asked_chunked = match (&storage, class(requested).as_deref()) {
        (Storage::Linked(Linked::Contiguous { .. }), _) => false,
        (Storage::Linked(_), _) | (_, Some("H5D_CHUNKED")) => true,
        // A 0.9 server gives every dataset chunks, whatever was asked for, and answers with them: so are they shown.
        _ => class(chosen).as_deref() == Some("H5D_CHUNKED"),
    };
    // Several chunks, or one that reaches past the extent, have their elements in another order than the dataset.
    let layout = match dims.is_empty() || (fixed && !asked_chunked && chunk == whole) {
        true => DataLayout::Contiguous,
        // What can grow cannot be contiguous in HDF5.
        false => DataLayout::Chunked(chunk),
    };
    check_sizes(&grid, elements, datatype, &layout)?;

    let element = stored_size(datatype).and_then(|size| u32::try_from(size).ok());
    let decode = match &storage {
        Storage::Nowhere | Storage::Linked(Linked::Contiguous { .. }) => Pipeline::default(),
        Storage::Linked(_) => filters::decode_linked(&listed, element.ok_or(Fault::Missing("element size"))?)?,
        Storage::Objects { .. } => filters::decode_stored(&listed, element, shuffle_only),
    };
    if let (Storage::Linked(Linked::Contiguous { size, .. }), Some(raw_len)) = (&storage, raw_len)
        && *size < raw_len
    {
        return Err(Fault::malformed("layout", format!("{size} bytes are linked where its shape takes {raw_len}")));
    }
    // Values that vary in length, or are kept in another form than HDF5's, are not what a filter of HDF5 gives back.
    let same = stored_size(datatype) == Some(datatype.size()) && !datatype.needs_placement();
    let stored = if same { filters::stored_form(&listed, &decode) } else { StoredForm::Other };
    let filters = match layout {
        DataLayout::Chunked(_) => filters::declared(&listed),
        _ => Vec::new(),
    };
    Ok(Creation { layout, filters, stored, recipe: Some(ChunkRecipe { grid, raw_len, decode }), storage })
}

/// One element of the fill value (`None` for zero bytes), and the bytes it takes in memory.
pub fn fill(document: &Document, datatype: &Datatype, objects: &dyn Objects) -> Result<(Option<Elements>, u64), Fault> {
    let value =
        document.get("creationProperties").and_then(|properties| Some((properties, properties.get("fillValue")?)));
    let Some((properties, value)) = value.filter(|(_, value)| !value.is_null()) else { return Ok((None, 0)) };
    let mut encoder = Encoder::new(objects);
    let fill = match properties.get("fillValue_encoding").and_then(Value::as_str) {
        None => encoder.single(datatype, value)?,
        Some("base64") => encoder.encoded(datatype, value, 1)?,
        Some(other) => return Err(Fault::Unsupported(format!("a fill value encoded as {other}"))),
    };
    let zero = fill.places.is_empty() && fill.bytes.iter().all(|&byte| byte == 0);
    Ok(if zero { (None, 0) } else { (Some(fill), encoder.made) })
}

/// The chunk shape a layout gives, for an extent of `dims`.
fn chunk_shape(given: &Value, dims: &[u64]) -> Result<Vec<u64>, Fault> {
    let chunk = extents("dims of the layout", given)?;
    if dims.is_empty() && chunk.iter().all(|&dim| dim == 1) {
        // A scalar is stored as one chunk of one element.
        return Ok(Vec::new());
    }
    if chunk.len() != dims.len() {
        return Err(Fault::malformed("dims of the layout", "have another rank than the shape"));
    }
    if chunk.contains(&0) {
        return Err(Fault::malformed("dims of the layout", "hold no element"));
    }
    Ok(chunk)
}

/// Storage as objects, under the layout whose dims were chosen.
fn objects(properties: Option<&Value>, chosen: Option<&Value>) -> Storage {
    let partitions = chosen.and_then(|layout| unsigned(layout.get("partition_count")?)).unwrap_or(0);
    Storage::Objects { partitions, initializer: properties.and_then(initializer) }
}

fn initializer(properties: &Value) -> Option<Initializer> {
    let given = properties.get("initializer").filter(|given| !given.is_null())?;
    let words: Vec<&str> = match given {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::String(words) => words.split_whitespace().collect(),
        _ => return Some(Initializer::Unsupported(given.to_string())),
    };
    let (command, options) = words.split_first()?;
    if command.trim_start_matches("hsds-") != "arange" {
        return Some(Initializer::Unsupported(words.join(" ")));
    }
    let (mut start, mut step) = (0.0, 1.0);
    for option in options {
        let Some((key, number)) = option.split_once('=') else { continue };
        let number = number.parse::<f64>().ok().filter(|number| number.is_finite());
        match (key, number) {
            ("--start", Some(number)) => start = number,
            ("--step", Some(number)) => step = number,
            ("--start" | "--step", None) => return Some(Initializer::Unsupported(words.join(" "))),
            _ => {}
        }
    }
    Some(Initializer::Arange { start, step })
}

/// Holds a dataset against the limits, in the sizes of the presented file.
fn check_sizes(grid: &Grid, chunk_elements: u64, datatype: &Datatype, layout: &DataLayout) -> Result<(), Fault> {
    let chunk_bytes = chunk_elements.checked_mul(datatype.size());
    let (bytes, limit) = match layout {
        DataLayout::Contiguous | DataLayout::Compact(_) | DataLayout::Virtual(_) | DataLayout::External(_) => {
            let elements = grid.dims().iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
            (elements.and_then(|elements| elements.checked_mul(datatype.size())), limits::FILE_BYTES)
        }
        DataLayout::Chunked(_) => {
            if chunk_bytes.is_none_or(|bytes| bytes > limits::CHUNK_BYTES) {
                return Err(Fault::limit("bytes of a chunk", limits::CHUNK_BYTES));
            }
            (chunk_bytes.and_then(|bytes| bytes.checked_mul(grid.total())), limits::FILE_BYTES)
        }
    };
    match bytes.filter(|&bytes| bytes <= limit) {
        Some(_) => Ok(()),
        None => Err(Fault::limit("bytes of the dataset", limit)),
    }
}
