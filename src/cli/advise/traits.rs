//! A file and its datasets, as far as advice on them needs to know them.

use serde::Serialize;

use crate::advice::checklist::{Dataset, File};
use crate::advice::cost::{self, Cost, Reading, span};
use crate::cli::paths::Paths;
use crate::cli::stored::Sizes;
use crate::cli::wording::{filters, shape, type_use};
use crate::model::chunk::ChunkSource;
use crate::model::dataspace::Dataspace;
use crate::model::hierarchy::{DataLayout, Hierarchy, ObjectId, ObjectKind};
use crate::model::pipeline::Filter;
use crate::source::Contents;

/// What libhdf5 reads at least of data in one piece: its sieve buffer.
const SIEVE: u64 = 64 << 10;
/// What the kernel reads at least of a mounted file, unless it was told otherwise.
const READ_AHEAD: u64 = 128 << 10;
/// Filters with numbers below are HDF5's own; others are registered (256 and up).
const OWN: u16 = 256;
/// Own filters that compress beside deflate: szip, n-bit, scale-offset.
const COMPRESS: [u16; 3] = [4, 5, 6];
/// An attribute that the netCDF library leaves on the root group.
const NETCDF: &[u8] = b"_NCProperties";

/// What is told of one dataset.
#[derive(Debug, Serialize)]
pub(super) struct DatasetReport {
    pub(super) path: String,
    r#type: String,
    pub(super) shape: String,
    /// `None` for data in one piece.
    pub(super) chunk: Option<Vec<u64>>,
    pub(super) chunk_bytes: Option<u64>,
    pub(super) filters: Vec<String>,
    /// Chunks that were written; `None` where the store tells nothing of them.
    chunks: Option<u64>,
    plain_bytes: Option<u64>,
    stored_bytes: Option<u64>,
    /// Plain bytes to stored ones.
    pub(super) ratio: Option<f64>,
    pub(super) series: Costs,
    pub(super) map: Costs,
    pub(super) scan: Costs,
}

/// What a way of reading costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Costs {
    /// From the file as it is stored; `None` for what is no file.
    pub(super) stored: Option<Cost>,
    /// Through a mount.
    pub(super) shown: Cost,
}

/// What the hierarchy tells of a file.
pub(super) fn file(name: &str, contents: &Contents) -> File {
    let root = contents.hierarchy.get(Hierarchy::ROOT);
    let netcdf = root.is_some_and(|root| root.attributes.iter().any(|one| one.name.as_bytes() == NETCDF));
    let domain = contents.chunks.container().is_none();
    File { name: name.to_owned(), netcdf, domain, ..File::default() }
}

/// What is told of a dataset, and its traits; `None` for what is none, or has no elements. `sizes` are those of its
/// written chunks; `packed`: a filter of it is not undone here.
pub(super) fn dataset(
    contents: &Contents,
    paths: &Paths,
    id: ObjectId,
    sizes: Option<Option<Sizes>>,
    packed: bool,
) -> Option<(DatasetReport, Dataset)> {
    let hierarchy = &contents.hierarchy;
    let ObjectKind::Dataset(dataset) = &hierarchy.get(id)?.kind else { return None };
    let recipe = contents.chunks.recipe(id)?;
    let grid = &recipe.grid;
    if grid.total() == 0 {
        return None;
    }
    let datatype = hierarchy.datatype(&dataset.datatype)?;
    let element = match (recipe.raw_len, grid.chunk_elements()) {
        (Some(bytes), Some(count @ 1..)) => bytes / count,
        _ => datatype.size(),
    };
    let in_file = contents.chunks.container().is_some();
    let one_piece = in_file && dataset.layout == DataLayout::Contiguous;
    let axis = match &dataset.dataspace {
        Dataspace::Simple { max_dims, .. } => cost::axis(max_dims),
        _ => 0,
    };
    let dims = grid.dims();
    let written = sizes.map(|sizes| sizes.map_or((0, 0), |sizes| (sizes.chunks, sizes.bytes)));
    // Where only sums are known, every chunk has its share of them.
    let share = written.map_or(recipe.raw_len.unwrap_or(0), |(_, bytes)| bytes / grid.total());
    let costs = |reading| {
        let span = span(reading, dims, axis);
        if one_piece {
            let nothing = written.is_some_and(|(chunks, _)| chunks == 0);
            let piece = |window| if nothing { Cost::default() } else { cost::of_piece(dims, element, &span, window) };
            return Costs { stored: Some(piece(SIEVE)), shown: piece(READ_AHEAD) };
        }
        let each = cost::of_chunks(grid, &span, &|at| match contents.chunks.locate(id, at) {
            ChunkSource::Range(_, range) => Some(range.end.saturating_sub(range.start)),
            ChunkSource::Fill => None,
            // Whether it is there, only a request tells.
            ChunkSource::Object(_) | ChunkSource::Table { .. } | ChunkSource::Computed { .. } => Some(share),
        });
        Costs { stored: in_file.then_some(each), shown: each }
    };
    let (series, map, scan) = (costs(Reading::Series), costs(Reading::Map), costs(Reading::Scan));
    let plain = written.and_then(|(chunks, _)| recipe.raw_len.map(|len| chunks.saturating_mul(len)));
    let stored = written.map(|(_, bytes)| bytes);
    let ratio = plain.zip(stored).filter(|(_, stored)| *stored > 0).map(|(plain, stored)| {
        // Two digits are what people compare.
        (plain as f64 / stored as f64 * 100.0).round() / 100.0
    });
    let (path, chunk) = (paths.of(id), (!one_piece).then(|| grid.chunk().to_vec()));
    let told = DatasetReport {
        path: path.clone(),
        r#type: type_use(hierarchy, &dataset.datatype),
        shape: shape(&dataset.dataspace),
        chunk: chunk.clone(),
        chunk_bytes: chunk.as_ref().and(recipe.raw_len),
        filters: filters(&dataset.filters),
        chunks: written.map(|(chunks, _)| chunks),
        plain_bytes: plain,
        stored_bytes: stored,
        ratio,
        series,
        map,
        scan,
    };
    let (mut compresses, mut shuffled, mut foreign) = (false, false, Vec::new());
    for filter in &dataset.filters {
        match filter {
            Filter::Deflate(_) => compresses = true,
            Filter::Shuffle => shuffled = true,
            Filter::Fletcher32 => {}
            Filter::Other { id: Some(id), .. } if *id < OWN => compresses |= COMPRESS.contains(id),
            Filter::Other { name, .. } => foreign.push((name.clone(), !packed)),
        }
    }
    let traits = Dataset {
        path,
        dims: dims.to_vec(),
        axis,
        element,
        chunk,
        plain: plain.unwrap_or(0),
        stored: stored.unwrap_or(0),
        compressed: (compresses, shuffled),
        foreign: if in_file { foreign } else { Vec::new() },
        variable: datatype.needs_heap(),
        costs: (series.stored.unwrap_or(series.shown), map.stored.unwrap_or(map.shown)),
    };
    Some((told, traits))
}
