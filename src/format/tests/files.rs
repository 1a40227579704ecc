//! Files that other programs wrote: every structure of the good ones decodes, and no damage does more than an error.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::bytes::{Bytes, Space};
use super::super::cache_image::{self, CacheImage};
use super::super::cursor::Cursor;
use super::super::heap::fractal::decode::StoredHeap;
use super::super::heap::{global, local};
use super::super::index::{btree1, btree2, extensible_array, fixed_array, symbol_node};
use super::super::message::*;
use super::super::object_header::decode::StoredMessage;
use super::super::shared_table::{self, SharedTable};
use super::super::{FormatError, Kind, UNDEFINED_ADDRESS, dataspace, datatype, object_header, superblock};
use crate::format::index::element::StoredChunk;
use data_layout::decode::{StoredIndex, StoredLayout};
use datatype::decode::{StoredClass, StoredType};
use object_header::message_flags::SHARED;

/// What a walk met.
#[derive(Default, Debug, PartialEq, Eq)]
struct Met {
    groups: usize,
    datasets: usize,
    types: usize,
    attributes: usize,
    chunks: usize,
    heap_objects: usize,
    errors: Vec<FormatError>,
}

struct Walk<'s, 'a> {
    space: &'s Space<'a>,
    shared: SharedTable,
    met: Met,
    seen: BTreeSet<u64>,
    next: Vec<u64>,
}

/// Decodes all that the root group leads to.
fn walk(bytes: &dyn Bytes) -> Result<Met, FormatError> {
    let found = superblock::decode::decode(bytes)?;
    let space = Space::new(bytes, found.base, found.sizes);
    let mut image = CacheImage::default();
    if found.extension != UNDEFINED_ADDRESS
        && let Some(message) = object_header::decode::decode(&space, found.extension)?.find(cache_image::KIND)
    {
        image = CacheImage::decode(&space, &mut { message.body })?;
    }
    let space = space.imaged(Some(&image));
    let mut walk = Walk {
        space: &space,
        shared: SharedTable::default(),
        met: Met::default(),
        seen: BTreeSet::new(),
        next: vec![found.root],
    };
    if found.extension != UNDEFINED_ADDRESS {
        let extension = object_header::decode::decode(&space, found.extension)?;
        if let Some(message) = extension.find(shared_table::KIND) {
            walk.shared = SharedTable::decode(&space, &mut { message.body })?;
        }
        if let Some(message) = extension.find(file_space_info::KIND) {
            file_space_info::decode(&mut { message.body })?;
        }
    }
    while let Some(address) = walk.next.pop() {
        if walk.seen.insert(address)
            && let Err(error) = walk.object(address)
        {
            walk.met.errors.push(error);
        }
    }
    Ok(walk.met)
}

impl<'a> Walk<'_, 'a> {
    /// The body of a message, wherever it is; what is shared is in the same form there.
    fn body(&self, kind: u8, shared: bool, body: Cursor<'a>) -> Result<Cursor<'a>, FormatError> {
        if !shared {
            return Ok(body);
        }
        match shared::decode(&mut { body })? {
            shared::StoredShared::Committed(address) => {
                let header = object_header::decode::decode(self.space, address)?;
                header.find(kind).map(|message| message.body).ok_or_else(|| body.bad("leads to no such message"))
            }
            shared::StoredShared::Heap(_) => {
                let mut id = body;
                id.skip(2)?;
                let mut heap = self.shared.heap(self.space, kind)?.ok_or_else(|| body.bad("no such heap"))?;
                heap.object(id)
            }
        }
    }

    fn of(&self, message: &StoredMessage<'a>) -> Result<Cursor<'a>, FormatError> {
        self.body(message.kind, message.flags & SHARED != 0, message.body)
    }

    fn object(&mut self, address: u64) -> Result<(), FormatError> {
        let header = object_header::decode::decode(self.space, address)?;
        let has = |kind| header.find(kind).is_some();
        if has(data_layout::KIND) {
            self.met.datasets += 1;
        } else if has(symbol_table::KIND) || has(link_info::KIND) {
            self.met.groups += 1;
        } else {
            self.met.types += 1;
        }
        let mut layout = None;
        let mut element = None;
        for message in &header.messages {
            let mut body = self.of(message)?;
            match message.kind {
                dataspace::KIND => drop(dataspace::decode(&mut body)?),
                datatype::KIND => element = Some(datatype::decode::decode(&mut body)?),
                fill_value::KIND => drop(fill_value::decode(&mut body)?),
                fill_value::OLD_KIND => drop(fill_value::decode_old(&mut body)?),
                data_layout::KIND => layout = Some(data_layout::decode::decode(&mut body)?),
                filter_pipeline::KIND => drop(filter_pipeline::decode(&mut body)?),
                group_info::KIND => drop(group_info::decode(&mut body)?),
                reference_count::KIND => drop(reference_count::decode(&mut body)?),
                times::KIND => drop(times::decode(&mut body)?),
                times::OLD_KIND => drop(times::decode_old(&mut body)?),
                link::KIND => self.link(link::decode(&mut body)?),
                attribute::KIND => self.attribute(body)?,
                external_files::KIND => {
                    let files = external_files::decode(&mut body)?;
                    let heap = local::decode(self.space, files.heap)?;
                    for slot in files.slots {
                        heap.text(slot.name)?;
                    }
                }
                symbol_table::KIND => self.symbols(symbol_table::decode(&mut body)?)?,
                link_info::KIND => {
                    let info = link_info::StoredLinkInfo::decode(&mut body)?;
                    if info.heap != UNDEFINED_ADDRESS {
                        self.dense(info.heap, info.name_index, &[5], 4, |walk, mut body| {
                            walk.link(link::decode(&mut body)?);
                            Ok(())
                        })?;
                        self.order(info.order_index, &[6])?;
                    }
                }
                attribute_info::KIND => {
                    let info = attribute_info::StoredAttributeInfo::decode(&mut body)?;
                    if info.heap != UNDEFINED_ADDRESS {
                        self.dense(info.heap, info.name_index, &[8], 0, |walk, body| walk.attribute(body))?;
                        self.order(info.order_index, &[9])?;
                    }
                }
                _ => {}
            }
        }
        if let Some(layout) = layout {
            self.data(&layout, element.as_ref())?;
        }
        Ok(())
    }

    fn link(&mut self, link: link::StoredLink) {
        if let link::StoredTarget::Hard(address) = link.target {
            self.next.push(address);
        }
    }

    fn symbols(&mut self, table: symbol_table::SymbolTable) -> Result<(), FormatError> {
        let heap = local::decode(self.space, table.heap)?;
        for node in btree1::symbol_nodes(self.space, table.tree)? {
            for entry in symbol_node::decode(self.space, node)? {
                heap.text(entry.name)?;
                match entry.soft {
                    Some(path) => drop(heap.text(path.into())?),
                    None => self.next.push(entry.header),
                }
            }
        }
        Ok(())
    }

    /// Every message of a heap that a tree of names leads to; the id stands at byte `id_at` of a record.
    fn dense(
        &mut self,
        heap: u64,
        tree: u64,
        kinds: &[u8],
        id_at: usize,
        mut found: impl FnMut(&mut Self, Cursor<'a>) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let mut heap = StoredHeap::open(self.space, heap)?;
        let mut ids = Vec::new();
        btree2::decode::records(self.space, tree, kinds, &mut |_, mut record| {
            record.skip(id_at)?;
            let id = record.part(heap.id_len())?;
            let flags = if id_at == 0 { record.u8()? } else { 0 };
            ids.push((id, flags));
            Ok(())
        })?;
        for (id, flags) in ids {
            let body = if flags & SHARED != 0 {
                let mut shared =
                    self.shared.heap(self.space, attribute::KIND)?.ok_or_else(|| id.bad("no such heap"))?;
                shared.object(id)?
            } else {
                heap.object(id)?
            };
            found(self, body)?;
        }
        Ok(())
    }

    fn order(&self, tree: u64, kinds: &[u8]) -> Result<(), FormatError> {
        if tree != UNDEFINED_ADDRESS {
            btree2::decode::records(self.space, tree, kinds, &mut |_, _| Ok(()))?;
        }
        Ok(())
    }

    fn attribute(&mut self, mut body: Cursor<'a>) -> Result<(), FormatError> {
        let attribute = attribute::decode(&mut body)?;
        let mut datatype = self.body(datatype::KIND, attribute.datatype_shared, attribute.datatype)?;
        let mut dataspace = self.body(dataspace::KIND, attribute.dataspace_shared, attribute.dataspace)?;
        let datatype = datatype::decode::decode(&mut datatype)?;
        let elements = dataspace::decode(&mut dataspace)?.elements();
        let len = elements.and_then(|elements| elements.checked_mul(datatype.size.into()));
        let len = len.and_then(|len| usize::try_from(len).ok()).ok_or_else(|| body.bad("too many elements"))?;
        let data = { attribute.data }.part(len)?;
        self.met.attributes += 1;
        self.heap_objects(&datatype, data)
    }

    /// What elements of variable length lead to.
    fn heap_objects(&mut self, datatype: &StoredType, mut data: Cursor<'a>) -> Result<(), FormatError> {
        if !matches!(datatype.class, StoredClass::Sequence(_) | StoredClass::VariableString { .. }) {
            return Ok(());
        }
        while data.left() >= datatype.size as usize {
            let mut element = data.part(datatype.size as usize)?;
            let (count, heap, index) = (element.u32()?, element.address()?, element.u32()?);
            if count > 0 && heap != 0 && heap != UNDEFINED_ADDRESS {
                let collection = global::decode::decode(self.space, heap)?;
                let object = u16::try_from(index).ok().and_then(|index| collection.objects.get(&index));
                object.ok_or_else(|| element.bad(format!("no object {index} in the collection")))?;
                self.met.heap_objects += 1;
            }
        }
        Ok(())
    }

    fn data(&mut self, layout: &StoredLayout, element: Option<&StoredType>) -> Result<(), FormatError> {
        let chunks = match layout {
            StoredLayout::Chunked(chunks) => chunks,
            StoredLayout::Virtual { heap, .. } if *heap != UNDEFINED_ADDRESS => {
                return global::decode::decode(self.space, *heap).map(|_| ());
            }
            _ => return Ok(()),
        };
        let (space, plain) = (self.space, chunks.bytes().unwrap_or(u64::MAX));
        let (mut number, mut outside) = (0, None);
        let mut place = |chunk: StoredChunk| {
            number += 1;
            let end = chunk.address.checked_add(chunk.size.unwrap_or(plain));
            if end.is_none_or(|end| end > space.len()) {
                outside = Some(chunk);
            }
        };
        match chunks.index {
            StoredIndex::BTree1 => btree1::chunks(space, chunks.address, &chunks.chunk, &mut |_, chunk| place(chunk))?,
            StoredIndex::FixedArray => {
                fixed_array::decode::chunks(space, chunks.address, &mut |_, chunk| place(chunk))?
            }
            StoredIndex::ExtensibleArray => {
                extensible_array::decode::chunks(space, chunks.address, &mut |_, chunk| place(chunk))?;
            }
            StoredIndex::BTree2 if chunks.address != UNDEFINED_ADDRESS => {
                let kinds = [btree2::kind::CHUNK, btree2::kind::FILTERED_CHUNK];
                let rank = chunks.chunk.len();
                btree2::decode::records(space, chunks.address, &kinds, &mut |tree, mut record| {
                    let entry = usize::from(tree.record_size).saturating_sub(8 * rank);
                    let width = super::super::index::element::size_width(entry, space.sizes()).unwrap_or(0);
                    place(super::super::index::element::decode(&mut record, width)?);
                    Ok(())
                })?;
            }
            _ => {}
        }
        self.met.chunks += number;
        match (outside, element) {
            (Some(chunk), _) => Err(space.cursor("chunk", 0, 0)?.bad(format!("{chunk:?} lies outside the file"))),
            (None, None) => Err(space.cursor("dataset", 0, 0)?.bad("a dataset without a datatype")),
            _ => Ok(()),
        }
    }
}

fn sample_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5")
}

/// Name and bytes of a file, and the numbers of groups and datasets that libhdf5 finds in a sound one.
type Sample = (String, Vec<u8>, Option<(usize, usize)>);

/// The files of the list.
fn samples() -> Vec<Sample> {
    let folder = std::env::var_os("H5MOUNT_CORPUS").map_or_else(sample_folder, PathBuf::from);
    let table = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let mut files = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, class) = (fields[0], fields[6]);
        let counts = fields[8].parse().ok().zip(fields[9].parse().ok()).filter(|_| class == "good");
        let file = [folder.join(path), folder.join("open").join(path)].into_iter().find(|file| file.exists());
        files.push((path.to_owned(), std::fs::read(file.unwrap()).unwrap(), counts));
    }
    files
}

/// `H5MOUNT_CORPUS` may name another folder of such files with the same kind of list.
#[test]
fn structures_of_foreign_files_decode() {
    let (mut faults, mut good, mut total) = (Vec::new(), 0, Met::default());
    for (name, bytes, counts) in samples() {
        let met = walk(&bytes.as_slice());
        let Some((groups, datasets)) = counts else { continue };
        good += 1;
        match met {
            Err(error) => faults.push(format!("{name}: {error}")),
            Ok(met) => {
                if (met.groups, met.datasets) != (groups, datasets) {
                    let found = (met.groups, met.datasets);
                    faults.push(format!("{name}: {found:?} groups and datasets, not {:?}", (groups, datasets)));
                }
                faults.extend(met.errors.iter().map(|error| format!("{name}: {error}")));
                total.datasets += met.datasets;
                total.chunks += met.chunks;
                total.attributes += met.attributes;
                total.heap_objects += met.heap_objects;
            }
        }
    }
    println!("{good} files: {total:?}");
    assert!(good >= 20 && total.chunks > 100 && total.heap_objects > 10, "{good} {total:?}");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Bytes turned at random places, from a fixed seed: errors, not panics, and no endless walk.
#[test]
fn damaged_files_are_errors() {
    let mut random = fastrand::Rng::with_seed(6);
    let (mut tried, mut refused) = (0, 0);
    for (_, bytes, _) in samples().into_iter().filter(|(_, bytes, _)| bytes.len() < 32 << 10) {
        for _ in 0..20 {
            let mut bytes = bytes.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
            tried += 1;
            refused += usize::from(walk(&bytes.as_slice()).is_ok_and(|met| met.errors.is_empty()));
        }
    }
    println!("{tried} damaged files, {refused} without an error");
    assert!(tried > 100 && refused < tried);
}

/// What is not there is asked for by its range, until it is.
#[test]
fn missing_ranges_are_asked_for() {
    struct Parts(Vec<u8>, BTreeSet<u64>);
    const PAGE: u64 = 512;
    impl Bytes for Parts {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn get(&self, range: std::ops::Range<u64>) -> Result<&[u8], std::ops::Range<u64>> {
            let missing = (range.start / PAGE..range.end.div_ceil(PAGE)).any(|page| !self.1.contains(&page));
            if missing { Err(range) } else { Ok(&self.0[range.start as usize..range.end as usize]) }
        }
    }
    for (name, bytes, _) in
        samples().into_iter().filter(|(_, bytes, counts)| counts.is_some() && bytes.len() < 16 << 10)
    {
        let whole = walk(&bytes.as_slice()).unwrap();
        let mut parts = Parts(bytes, BTreeSet::new());
        let met = loop {
            let met = walk(&parts);
            let errors: Vec<_> = match &met {
                Ok(met) => met.errors.iter().collect(),
                Err(error) => vec![error],
            };
            let needs: Vec<_> = errors.iter().filter_map(|error| error.needs()).collect();
            if needs.is_empty() {
                break met.unwrap();
            }
            let pages: Vec<u64> = needs.iter().flat_map(|need| need.start / PAGE..need.end.div_ceil(PAGE)).collect();
            assert!(errors.iter().all(|error| matches!(error.kind, Kind::Needs(_))), "{name}: {errors:?}");
            let before = parts.1.len();
            parts.1.extend(pages);
            assert!(parts.1.len() > before, "{name} asks for what it has");
        };
        assert_eq!(met, whole, "{name}");
    }
}
