//! Golden images: a hash of everything in the presented file of each sample, kept in `tests/golden`.
//!
//! An image is a pure function of metadata, options and layout version; this is what notices when it is not, or when the
//! function changed. Heaps of chunks are placed as a reader would find them.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use h5mount::fetch::Plain;
use h5mount::layout::{FilterPresentation, Image, LAYOUT_VERSION, PresentOptions, SegmentKind, plan};
use h5mount::model::chunk::ChunkId;
use h5mount::namespace::NamespaceSettings;
use md5::{Digest, Md5};

use super::samples::{self, File, Sample, VERSIONS};

const WRITE: &str = "UPDATE_GOLDEN";

fn text(hash: Md5) -> String {
    hash.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Neighbouring segments of one kind, hashed together.
struct Run {
    range: Range<u64>,
    kind: String,
    count: u64,
    hash: Md5,
}

/// A line for each metadata piece, each dataset's chunks and each dataset's heap windows.
async fn describe(sample: &Sample, file: &File, image: &Image) -> String {
    let mut runs: Vec<Run> = Vec::new();
    let mut place: Option<Range<u64>> = None;
    for segment in image.segments(0..image.len()) {
        let len = segment.range.end - segment.range.start;
        let (kind, bytes) = match segment.kind {
            // Padding of slots; its place is known from what stands on both sides.
            SegmentKind::Zero => {
                place = Some(segment.range);
                continue;
            }
            SegmentKind::Metadata { part, at } => {
                let mut bytes = vec![0; len as usize];
                image.synthesize(&part, at, &mut bytes);
                (format!("metadata {part:?}"), bytes)
            }
            SegmentKind::Chunk { id, .. } => {
                (format!("chunks of object {}", id.dataset.0), chunk(sample, file, image, id).await.0)
            }
            SegmentKind::Heap { id, .. } => {
                (format!("heaps of object {}", id.dataset.0), chunk(sample, file, image, id).await.1)
            }
        };
        if runs.last().is_none_or(|run| run.kind != kind) {
            runs.push(Run { range: segment.range.clone(), kind, count: 0, hash: Md5::new() });
        }
        let run = runs.last_mut().unwrap();
        run.range.end = segment.range.end;
        run.count += 1;
        for number in [segment.range.start, segment.range.end, bytes.len() as u64] {
            run.hash.update(number.to_le_bytes());
        }
        run.hash.update(&bytes);
    }
    let mut lines = format!("layout version {LAYOUT_VERSION}, {} bytes", image.len());
    if let Some(last) = place.filter(|place| place.end == image.len()) {
        write!(lines, ", zeros from {}", last.start).unwrap();
    }
    lines.push('\n');
    for Run { range, kind, count, hash } in runs {
        writeln!(lines, "{}..{} {kind} ({count}): {}", range.start, range.end, text(hash)).unwrap();
    }
    lines
}

/// A chunk as presented and its heap; nothing of what was never written, and of what cannot be read.
async fn chunk(sample: &Sample, file: &File, image: &Image, id: ChunkId) -> (Vec<u8>, Vec<u8>) {
    let fetcher = &sample.house.fetcher;
    if let Some(framing) = image.framing(id.dataset) {
        let stored = fetcher.stored(&file.chunks, id, framing, image.fill_element(id.dataset)).await;
        return (stored.map_or_else(|_| b"unreadable".to_vec(), |bytes| bytes.to_vec()), Vec::new());
    }
    match fetcher.chunk(&file.chunks, id, None).await {
        Ok(Plain::Bytes(plain)) if image.needs_window(id.dataset) => {
            let elements = file.contents.chunks.elements(id.dataset, plain).unwrap();
            let window = image.place(id, &elements).unwrap();
            (window.chunk.to_vec(), window.heap.to_vec())
        }
        Ok(Plain::Bytes(plain)) => (plain.to_vec(), Vec::new()),
        Ok(Plain::Absent) => (image.fill_element(id.dataset).unwrap_or_default().to_vec(), Vec::new()),
        // Samples of broken chunks; their place is part of the image all the same.
        Err(_) => (b"unreadable".to_vec(), Vec::new()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_the_samples_stay_as_they_are() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut changed = Vec::new();
    for version in VERSIONS {
        let sample = samples::open(version, NamespaceSettings::default()).await;
        for (mode, filters) in [
            ("declared", FilterPresentation::Declared),
            ("hidden", FilterPresentation::Hidden),
            ("stored", FilterPresentation::Stored),
        ] {
            let mut found = String::new();
            for file in &sample.files {
                let image = plan(&file.contents.hierarchy, &PresentOptions { filters }).unwrap();
                writeln!(found, "# {}: {}", file.name(), describe(&sample, file, &image).await).unwrap();
            }
            let path = directory.join(format!("{version}-{mode}.txt"));
            if std::env::var_os(WRITE).is_some() {
                std::fs::write(&path, &found).unwrap();
                continue;
            }
            let expected = std::fs::read_to_string(&path).unwrap_or_default();
            let mut file = "";
            for (at, line) in found.lines().enumerate() {
                file = line.strip_prefix("# ").unwrap_or(file);
                if expected.lines().nth(at) != Some(line) {
                    let name = file.split(':').next().unwrap_or_default();
                    changed.push(format!("{version}, {mode}, {name}: {line}"));
                    break;
                }
            }
            if found.lines().count() < expected.lines().count() {
                changed.push(format!("{version}, {mode}: fewer lines than before"));
            }
        }
    }
    assert!(
        changed.is_empty(),
        "presented files have other bytes than before, first here:\n{}\nIf that is meant, raise LAYOUT_VERSION in \
         src/layout/mod.rs (once a release) and run {WRITE}=1 cargo test --test images",
        changed.join("\n")
    );
}
