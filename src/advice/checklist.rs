//! The checklist: what of a file makes it dear to read from far away, why, and the command that mends it.
//!
//! Most points are those of the guide to cloud-optimised HDF5 and netCDF files (guide.cloudnativegeo.org) and of the HDF
//! Group's list (Jelenak and Robinson, AGU 2023, IN31B-0653): metadata in one place, chunks neither small nor huge, no
//! elements of variable length, filters that readers have.

use serde::Serialize;

use super::cost::Cost;
use super::opening::Opening;
use super::shape::balanced;

/// Smallest chunk, before compression, that is worth a request. At 20 ms a request and 100 MB/s 100 KiB are a twentieth of
/// the wait for them; the guide gives the same bound.
pub const SMALLEST: u64 = 100 << 10;
/// Largest chunk: the chunk cache of HDF5 2.0 holds 8 MiB (before: 1 MiB), and a chunk that does not fit is fetched and
/// inflated anew for every read of a part of it.
pub const LARGEST: u64 = 8 << 20;
/// What is advised between the two: fits every library's cache, and ten of them fill a connection for a latency.
const GOOD: u64 = 1 << 20;
/// Datasets of fewer bytes are read at once whatever their shape.
const SMALL: u64 = 1 << 20;
/// Structures below which a file opens soon for any reader: at 20 ms each a third of a second.
const FEW: u64 = 16;
/// Pages of metadata that a reader with a page buffer may well ask for.
const FEW_PAGES: u64 = 4;
/// Pages are as large as all metadata up to this, which ros3 reads at once anyway.
const LARGEST_PAGE: u64 = 16 << 20;
/// Smallest page that `h5repack` makes without being told.
const SMALLEST_PAGE: u64 = 4096;
/// A dearer way of reading that takes fewer requests than this is fast enough: two seconds at 20 ms.
const BEARABLE: u64 = 100;
/// How many times as dear one way of reading may be as the other before chunks are called lopsided. The worst that a
/// balanced shape does by rounding is 4.
const LOPSIDED: u64 = 32;
/// A filter should save a tenth of the bytes, or reading plain bytes is faster.
const GAIN: (u64, u64) = (10, 9);
/// A tenth of a file that no structure names is worth a repack.
const WASTE: u64 = 10;

/// A file, as far as advice needs it.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// What commands call it.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// How space is handed out, as `h5repack -S` calls it.
    pub strategy: String,
    /// Bytes of a page, where it is paged.
    pub page: Option<u64>,
    /// Bytes of structures.
    pub metadata: u64,
    /// Requests to learn all of it.
    pub opening: Opening,
    /// Bytes that no structure names.
    pub unnamed: u64,
    /// Written through the netCDF library.
    pub netcdf: bool,
    /// No file, but objects of a store: no command rewrites it.
    pub domain: bool,
}

/// A dataset, as far as advice needs it.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Its path.
    pub path: String,
    /// Extents.
    pub dims: Vec<u64>,
    /// The dimension of a series.
    pub axis: usize,
    /// Bytes of an element.
    pub element: u64,
    /// Extents of a chunk; `None` for one piece.
    pub chunk: Option<Vec<u64>>,
    /// Bytes of what was written, before filters.
    pub plain: u64,
    /// Bytes of it in the file.
    pub stored: u64,
    /// Whether any filter compresses, and whether bytes are shuffled before.
    pub compressed: (bool, bool),
    /// Filters that not every HDF5 library has; whether they are undone here.
    pub foreign: Vec<(String, bool)>,
    /// Elements lie in heaps.
    pub variable: bool,
    /// A series of one point, and a map.
    pub costs: (Cost, Cost),
}

/// What a point of advice is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Metadata are strewn over the file.
    Strategy,
    /// Pages are too small for the metadata.
    PageSize,
    /// Bytes that no structure names.
    Waste,
    /// Chunks below the size that is worth a request.
    SmallChunks,
    /// Chunks above the size that caches hold.
    LargeChunks,
    /// Chunks that serve one way of reading only.
    ChunkShape,
    /// Elements in one piece.
    Contiguous,
    /// Compression: none, or one that does not pay.
    Compression,
    /// Filters that not every library has.
    Filter,
    /// Elements of variable length.
    VariableLength,
}

/// A point of advice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Advice {
    /// What about.
    pub topic: Topic,
    /// The dataset; `None` for the file.
    pub path: Option<String>,
    /// What is so, and what it costs.
    pub text: String,
    /// Commands that mend it.
    pub mend: Vec<String>,
}

/// Advice on a file as it is stored.
pub fn of_file(file: &File) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut say = |topic, text, mend| all.push(Advice { topic, path: None, text, mend });
    let page = file.metadata.next_power_of_two().clamp(SMALLEST_PAGE, LARGEST_PAGE);
    let paged = format!("h5repack -S PAGE -G {page} {} OUT", quoted(&file.name));
    match file.page {
        None if file.opening.each > FEW => {
            let text = format!(
                "metadata lie here and there (strategy {}): {} requests one by one, {} in blocks of 4 MiB",
                file.strategy, file.opening.each, file.opening.blocks
            );
            say(Topic::Strategy, text, vec![paged, AS_IT_IS.to_owned()]);
        }
        Some(size) if size < page && file.opening.pages.is_some_and(|pages| pages > FEW_PAGES) => {
            let pages = file.opening.pages.unwrap_or_default();
            let text = format!("metadata of {} bytes fill {pages} pages of {size} bytes", file.metadata);
            say(Topic::PageSize, text, vec![paged, AS_IT_IS.to_owned()]);
        }
        _ => {}
    }
    // Pages are not filled to their ends, and nothing is gained by packing them again.
    if file.page.is_none() && file.unnamed >= SMALL && file.unnamed >= file.size / WASTE {
        let text = format!("{} of {} bytes are named by no structure", file.unnamed, file.size);
        say(Topic::Waste, text, vec![format!("h5repack {} OUT", quoted(&file.name))]);
    }
    all
}

/// Nothing is rewritten where the file is read through a mount.
const AS_IT_IS: &str = "or leave it: h5mount FOLDER MOUNTPOINT shows it with its metadata in one place";

/// Advice on one dataset of a file.
pub fn of_dataset(file: &File, dataset: &Dataset) -> Vec<Advice> {
    let mut all = Vec::new();
    let total = dataset.dims.iter().fold(dataset.element, |product, &dim| product.saturating_mul(dim));
    let mut say = |topic, text: String, mend| {
        all.push(Advice { topic, path: Some(dataset.path.clone()), text, mend });
    };
    let rechunk = || vec![rechunk(file, dataset)];
    let repack = |filters: &str| match file.domain {
        true => vec![format!("write {} anew with {}", dataset.path, words(filters))],
        false => vec![format!("h5repack {} {} OUT", options(filters, &dataset.path), quoted(&file.name))],
    };
    let (series, map) = dataset.costs;
    if dataset.variable && total >= SMALL {
        let text = "elements of variable length lie in heaps, apart from their chunk: requests for both".to_owned();
        say(Topic::VariableLength, text, vec![format!("write {} with a type of fixed length", dataset.path)]);
    }
    for (filter, undone) in &dataset.foreign {
        let mut mend = repack("GZIP=4");
        if *undone {
            mend.push("or leave it: h5mount undoes it, and readers need no plugin".to_owned());
        }
        say(Topic::Filter, format!("{filter} is a filter that not every HDF5 library has"), mend);
    }
    if total < SMALL {
        return all;
    }
    let Some(chunk) = &dataset.chunk else {
        let text = format!(
            "one piece of {total} bytes: it cannot be compressed, and a series takes {} requests",
            series.requests
        );
        say(Topic::Contiguous, text, rechunk());
        return all;
    };
    let bytes = chunk.iter().fold(dataset.element, |product, &extent| product.saturating_mul(extent));
    if bytes < SMALLEST {
        let text = format!("chunks of {bytes} bytes, below {SMALLEST}: waiting takes longer than reading");
        say(Topic::SmallChunks, text, rechunk());
    } else if bytes > LARGEST {
        let text =
            format!("chunks of {bytes} bytes, above {LARGEST}: more than chunk caches hold, one element costs all");
        say(Topic::LargeChunks, text, rechunk());
    }
    let (dear, cheap) = (series.requests.max(map.requests), series.requests.min(map.requests).max(1));
    if dataset.dims.len() > 1 && dear >= BEARABLE && dear / cheap >= LOPSIDED {
        let text = format!("a series takes {} requests, a map {}", series.requests, map.requests);
        say(Topic::ChunkShape, text, rechunk());
    }
    match dataset.compressed {
        (false, _) if dataset.foreign.is_empty() && dataset.stored >= SMALL => {
            let text = "not compressed".to_owned();
            say(Topic::Compression, text, repack("SHUF GZIP=4"));
        }
        (true, _) if dataset.plain >= SMALL && saves_little(dataset) => {
            let text = format!("compression saves little: {} bytes of {}", dataset.stored, dataset.plain);
            say(Topic::Compression, text, repack("NONE"));
        }
        (true, false) if dataset.plain >= SMALL && dataset.element > 1 && dataset.foreign.is_empty() => {
            let text = "compressed, and bytes of elements are not shuffled before".to_owned();
            say(Topic::Compression, text, repack("SHUF GZIP=4"));
        }
        _ => {}
    }
    all
}

/// Whether filters save less than they should.
fn saves_little(dataset: &Dataset) -> bool {
    dataset.plain.saturating_mul(GAIN.1) < dataset.stored.saturating_mul(GAIN.0)
}

/// Filters as options of `h5repack` for one dataset.
fn options(filters: &str, path: &str) -> String {
    let option = |filter: &str| format!("-f {}", quoted(&format!("{path}:{filter}")));
    filters.split(' ').map(option).collect::<Vec<_>>().join(" ")
}

/// The same for people.
fn words(filters: &str) -> &'static str {
    match filters {
        "NONE" => "no filter",
        "GZIP=4" => "gzip",
        _ => "shuffle and gzip",
    }
}

/// The command that gives chunks of a balanced shape.
fn rechunk(file: &File, dataset: &Dataset) -> String {
    let chunk = balanced(&dataset.dims, dataset.element, dataset.axis, GOOD);
    let extents = |between: &str| chunk.iter().map(u64::to_string).collect::<Vec<_>>().join(between);
    let name = quoted(&file.name);
    if file.domain {
        return format!("write {} anew with chunks of ({})", dataset.path, extents(", "));
    }
    match file.netcdf {
        true => format!("nccopy -c {} {name} OUT", quoted(&format!("{}:{}", dataset.path, extents(",")))),
        false => format!("h5repack -l {} {name} OUT", quoted(&format!("{}:CHUNK={}", dataset.path, extents("x")))),
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+:=,%@".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        let opening = Opening { each: 900, head: 800, blocks: 30, pages: None };
        File {
            name: "a b.h5".to_owned(),
            size: 100 << 20,
            strategy: "FSM_AGGR".to_owned(),
            metadata: 300_000,
            opening,
            ..File::default()
        }
    }

    fn dataset(dims: &[u64], chunk: &[u64]) -> Dataset {
        let total = dims.iter().product::<u64>() * 4;
        let cost = |requests| Cost { requests, bytes: 0 };
        Dataset {
            path: "/t".to_owned(),
            dims: dims.to_vec(),
            element: 4,
            chunk: Some(chunk.to_vec()),
            plain: total,
            stored: total / 3,
            compressed: (true, true),
            costs: (cost(10), cost(10)),
            ..Dataset::default()
        }
    }

    fn topics(advice: &[Advice]) -> Vec<Topic> {
        advice.iter().map(|advice| advice.topic).collect()
    }

    #[test]
    fn a_strewn_file_is_to_be_paged_with_all_metadata_in_one_page() {
        let strewn = of_file(&file());
        assert_eq!(topics(&strewn), [Topic::Strategy]);
        assert_eq!(strewn[0].mend[0], "h5repack -S PAGE -G 524288 'a b.h5' OUT");
        let paged = |page, pages| {
            let opening = Opening { pages: Some(pages), ..file().opening };
            of_file(&File { page: Some(page), opening, ..file() })
        };
        assert_eq!(topics(&paged(4096, 80)), [Topic::PageSize]);
        assert_eq!(topics(&paged(524_288, 1)), []);
        assert_eq!(topics(&paged(65_536, 4)), []);
        let few = Opening { each: 16, ..file().opening };
        assert_eq!(topics(&of_file(&File { opening: few, unnamed: 10 << 20, ..file() })), [Topic::Waste]);
    }

    #[test]
    fn chunks_are_judged_by_size_and_shape() {
        let said = |dataset: &Dataset| topics(&of_dataset(&file(), dataset));
        assert_eq!(said(&dataset(&[1000, 1000], &[512, 512])), []);
        assert_eq!(said(&dataset(&[1000, 1000], &[10, 100])), [Topic::SmallChunks]);
        assert_eq!(said(&dataset(&[4000, 1000], &[3000, 1000])), [Topic::LargeChunks]);
        // What is small is read at once.
        assert_eq!(said(&dataset(&[10, 1000], &[1, 100])), []);
        let mut lopsided = dataset(&[4000, 512, 512], &[1, 512, 512]);
        lopsided.costs.0.requests = 4000;
        lopsided.costs.1.requests = 1;
        let advice = of_dataset(&File { netcdf: true, ..file() }, &lopsided);
        assert_eq!(topics(&advice), [Topic::ChunkShape]);
        assert_eq!(advice[0].mend, ["nccopy -c /t:63,64,64 'a b.h5' OUT"]);
    }

    #[test]
    fn filters_are_judged_by_what_they_gain_and_who_has_them() {
        let said = |dataset: &Dataset| topics(&of_dataset(&file(), dataset));
        let good = dataset(&[1000, 1000], &[512, 512]);
        assert_eq!(said(&Dataset { compressed: (false, false), ..good.clone() }), [Topic::Compression]);
        assert_eq!(said(&Dataset { compressed: (true, false), ..good.clone() }), [Topic::Compression]);
        assert_eq!(said(&Dataset { stored: 3_900_000, ..good.clone() }), [Topic::Compression]);
        let foreign = vec![("blosc".to_owned(), true), ("zfp".to_owned(), false)];
        let advice = of_dataset(&file(), &Dataset { foreign, compressed: (false, false), ..good.clone() });
        assert_eq!(topics(&advice), [Topic::Filter, Topic::Filter]);
        assert_eq!(advice.iter().map(|advice| advice.mend.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(said(&Dataset { chunk: None, ..good.clone() }), [Topic::Contiguous]);
        assert_eq!(said(&Dataset { variable: true, ..good }), [Topic::VariableLength]);
    }

    #[test]
    fn what_is_no_file_is_written_anew_by_no_command() {
        let domain = File { domain: true, ..file() };
        let small = Dataset { compressed: (false, false), ..dataset(&[1000, 1000], &[10, 100]) };
        let mends: Vec<String> = of_dataset(&domain, &small).into_iter().flat_map(|advice| advice.mend).collect();
        assert_eq!(mends, ["write /t anew with chunks of (500, 500)", "write /t anew with shuffle and gzip"]);
    }

    #[test]
    fn words_for_a_shell_are_quoted_where_they_must_be() {
        assert_eq!(["a/b.h5", "a b", "it's", ""].map(quoted), ["a/b.h5", "'a b'", "'it'\\''s'", "''"]);
    }
}
