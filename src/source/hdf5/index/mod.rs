//! The index of an HDF5 file: all that a scan found, in one object.
//!
//! It is kept where the next mount finds it: on local disk, beside the file in its store, or in a folder of indexes. It names the
//! state of the file that it was made of, and is of no use for any other. Nothing of it is believed but that: what a damaged or forged one
//! says passes the checks that a file passes, and memory is only taken for what is there. The form is described in
//! `docs/cache.md`: a header, then a zlib stream, of which [`bytes`] has numbers and lists, [`types`], [`objects`] and [`places`] what
//! stands in them, and [`sound`] what has to hold between them.

mod bytes;
mod objects;
mod places;
mod sound;
#[cfg(test)]
mod tests;
mod types;

use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

pub use bytes::Damaged;
use bytes::{In, Kept, Out};

use crate::format::{FormatError, Kind};
use crate::layout::scan::{Addresses, Fault, FileFacts, Placement, Scanned};
use crate::model::hierarchy::{Hierarchy, ObjectId};
use crate::model::limits;
use crate::model::location::ETag;

/// Begins every index. The digits are the version of the form: another one is of another program, and is not read.
const MAGIC: &[u8; 8] = b"h5anew01";
/// What a scan finds: raised when it learns to find more in files that it read before.
const SCAN: u64 = 1;
/// Magic, CRC32C of all that follows it, bytes of the file, bytes of what is packed, bytes of the tag.
const HEADER: usize = 32;
/// Where what is checked begins.
const CHECKED: usize = 12;
/// Bytes of a tag; services have some dozen.
const TAG: usize = 1 << 10;
/// Faults that are kept of one file; a damaged one may have millions.
const FAULTS: usize = 10_000;
/// How space is handed out, by the number that stands for it here.
const STRATEGIES: [&str; 4] = ["FSM_AGGR", "PAGE", "AGGR", "NONE"];
/// How deep types and values lie in one another at most: as deep as a scan goes, in both.
const DEPTH: usize = 2 * limits::DATATYPE_DEPTH;

/// The state of a file that something was found in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// What names it.
    pub tag: ETag,
    /// Bytes of the file.
    pub size: u64,
    /// When it was written.
    pub modified: SystemTime,
}

/// A file as it was scanned.
#[derive(Debug)]
pub struct Found {
    /// Its objects.
    pub hierarchy: Hierarchy,
    /// Where elements lie, by object number.
    pub placements: Vec<Option<Placement>>,
    /// Its objects by address.
    pub addresses: Addresses,
    /// What cannot be shown.
    pub faults: Vec<Told>,
    /// Facts of the file as a whole.
    pub facts: FileFacts,
    /// Bytes that were read to find all this.
    pub read: u64,
}

/// Something that cannot be shown, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// The object, or the nearest one above it that is shown.
    pub object: ObjectId,
    /// What of it: `/link`, `@attribute`, or nothing.
    pub what: String,
    /// Why, with structure and byte.
    pub reason: String,
    /// Where nothing is wrong with it, but nothing here can show it: what that is.
    pub unsupported: Option<String>,
}

impl From<Fault> for Told {
    fn from(Fault { object, what, error, .. }: Fault) -> Told {
        let reason = error.to_string();
        let FormatError { kind, reason: why, .. } = error;
        Told { object, what, reason, unsupported: (kind == Kind::Unsupported).then_some(why) }
    }
}

impl Found {
    /// What a scan that read `read` bytes gave.
    pub fn of(scanned: Scanned, read: u64) -> Found {
        let Scanned { hierarchy, placements, addresses, faults, facts } = scanned;
        let mut told: Vec<Told> = Vec::new();
        let mut unsupported = false;
        for fault in faults {
            // The first of these decides how the file is shown.
            let decides = fault.error.kind == Kind::Unsupported && !unsupported;
            unsupported |= decides;
            if decides || told.len() < FAULTS {
                told.push(fault.into());
            }
        }
        Found { hierarchy, placements, addresses, faults: told, facts, read }
    }

    /// What nothing here can show.
    pub fn unsupported(&self) -> Option<(&Told, &str)> {
        self.faults.iter().find_map(|told| Some((told, told.unsupported.as_deref()?)))
    }
}

impl Kept for Told {
    fn write(&self, out: &mut Out) {
        self.object.write(out);
        out.text(self.what.as_bytes());
        out.text(self.reason.as_bytes());
        out.byte(self.unsupported.is_some().into());
        if let Some(what) = &self.unsupported {
            out.text(what.as_bytes());
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Told {
            object: Kept::read(from)?,
            what: from.string()?,
            reason: from.string()?,
            unsupported: if bool::read(from)? { Some(from.string()?) } else { None },
        })
    }
}

/// The index of a file in this state; `None` where what was found has a form that an index has no words for.
pub fn encode(state: &State, found: &Found) -> Option<Vec<u8>> {
    let Found { hierarchy, placements, addresses, faults, facts, read } = found;
    // Heaps in the image of a cache are no places of the file.
    if placements.len() != hierarchy.objects.len() || addresses.has_heaps() {
        return None;
    }
    let mut out = Out::default();
    out.number(SCAN);
    // What one program cannot show, the next one may.
    out.text(program(found).as_bytes());
    let written = state.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    out.number(written.as_secs());
    out.number(written.subsec_nanos());
    out.byte(facts.superblock);
    out.number(facts.user_block);
    facts.page.write(&mut out);
    out.byte(u8::try_from(STRATEGIES.iter().position(|name| *name == facts.strategy)?).ok()?);
    facts.headers_first.write(&mut out);
    out.number(*read);
    out.text(&hierarchy.user_block);
    hierarchy.chunk_values.write(&mut out);
    out.number(hierarchy.objects.len() as u64);
    for (object, placement) in hierarchy.objects.iter().zip(placements) {
        places::write(object, placement.as_ref(), &mut out)?;
    }
    let (sizes, by_number) = (addresses.sizes(), addresses.by_number());
    out.byte(sizes.offsets);
    out.byte(sizes.lengths);
    out.number(by_number.len() as u64);
    let mut last = 0;
    for address in by_number {
        out.step(last, address);
        last = address;
    }
    out.list(faults);
    pack(state, &out.bytes)
}

/// The index of a file in this state in which `plain` stands, packed; `None` where the state has too long a name.
pub fn pack(state: &State, plain: &[u8]) -> Option<Vec<u8>> {
    let tag = state.tag.as_str().as_bytes();
    if tag.len() > TAG {
        return None;
    }
    // The fastest level: names and types repeat so often that the others gain little.
    let mut head = vec![0; HEADER];
    head.extend_from_slice(tag);
    let mut packed = ZlibEncoder::new(head, Compression::fast());
    packed.write_all(plain).ok()?;
    let mut bytes = packed.finish().ok()?;
    let fields = [state.size, plain.len() as u64].map(u64::to_le_bytes).concat();
    bytes.get_mut(..8)?.copy_from_slice(MAGIC);
    bytes.get_mut(CHECKED..28)?.copy_from_slice(&fields);
    bytes.get_mut(28..HEADER)?.copy_from_slice(&u32::try_from(tag.len()).ok()?.to_le_bytes());
    let sum = crc_fast::crc32_iscsi(bytes.get(CHECKED..)?) as u32;
    bytes.get_mut(8..CHECKED)?.copy_from_slice(&sum.to_le_bytes());
    Some(bytes)
}

/// The program whose index this is, where another may find otherwise.
fn program(found: &Found) -> &'static str {
    if found.unsupported().is_some() { env!("CARGO_PKG_VERSION") } else { "" }
}

/// What the header of an index says.
struct Head<'a> {
    size: u64,
    unpacked: u64,
    tag: &'a str,
    packed: &'a [u8],
}

fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let number = |at: std::ops::Range<usize>| -> Option<u64> {
        Some(bytes.get(at)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    if bytes.get(..8)? != MAGIC {
        return None;
    }
    let tag = usize::try_from(number(28..HEADER)?).ok().filter(|&len| len <= TAG)?;
    let (tag, packed) = bytes.get(HEADER..)?.split_at_checked(tag)?;
    Some(Head { size: number(CHECKED..20)?, unpacked: number(20..28)?, tag: std::str::from_utf8(tag).ok()?, packed })
}

/// Whether these bytes begin as the index of a file of `size` bytes in the state that `tag` names.
pub fn is_of(bytes: &[u8], tag: &ETag, size: u64) -> bool {
    head(bytes).is_some_and(|head| head.size == size && ETag::new(head.tag).names_same(tag))
}

/// Bytes of memory that an index takes while it is read, as far as it says itself.
pub fn takes(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).saturating_add(head(bytes).map_or(0, |head| head.unpacked))
}

/// What stands in an index, not packed, as far as that takes no more than `most` bytes of memory.
///
/// # Errors
/// Where it is damaged, of another version, or larger.
pub fn unpack(bytes: &[u8], most: u64) -> Result<Vec<u8>, Damaged> {
    let damaged = |what| Damaged { at: 0, what };
    let Head { unpacked, packed, .. } = head(bytes).ok_or(damaged("no index"))?;
    let checked = bytes.get(CHECKED..).unwrap_or_default();
    let sum = crc_fast::crc32_iscsi(checked) as u32;
    if bytes.get(8..CHECKED) != Some(&sum.to_le_bytes()) {
        return Err(damaged("its checksum is another"));
    }
    if unpacked > most {
        return Err(damaged("more than may be held"));
    }
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(packed).take(unpacked.saturating_add(1)).read_to_end(&mut plain);
    if read.ok().map(|read| read as u64) != Some(unpacked) {
        return Err(damaged("it does not unpack"));
    }
    Ok(plain)
}

/// What the index in `bytes` says, and of which state of its file, as far as that takes no more than `most` bytes of memory.
///
/// # Errors
/// Where it is damaged, of another version, or larger.
pub fn decode(bytes: &[u8], most: u64) -> Result<(State, Found), Damaged> {
    let plain = unpack(bytes, most)?;
    let Head { size, tag, .. } = head(bytes).ok_or(Damaged { at: 0, what: "no index" })?;
    let mut from = In::new(&plain, most, DEPTH);
    if from.number()? != SCAN {
        return Err(from.damaged("of a program that finds other things"));
    }
    let program = from.string()?;
    let (seconds, nanos) = (from.number()?, from.small::<u32>()?);
    let written = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()));
    let modified = written.and_then(|written| SystemTime::UNIX_EPOCH.checked_add(written));
    let state =
        State { tag: ETag::new(tag), size, modified: modified.ok_or_else(|| from.damaged("a time past all times"))? };
    let facts = FileFacts {
        superblock: from.byte()?,
        user_block: from.number()?,
        page: Option::read(&mut from)?,
        strategy: match STRATEGIES.get(usize::from(from.byte()?)) {
            Some(name) => name,
            None => return Err(from.damaged("space handed out in no way")),
        },
        headers_first: bool::read(&mut from)?,
    };
    let read = from.number()?;
    let mut hierarchy = Hierarchy {
        objects: Vec::new(),
        user_block: from.text()?.to_vec().into(),
        chunk_values: Option::read(&mut from)?,
    };
    let count = from.count(1, size_of::<crate::model::hierarchy::Object>() + size_of::<Option<Placement>>())?;
    if count > limits::OBJECTS {
        return Err(from.damaged("more objects than a file may have"));
    }
    let mut placements = Vec::new();
    for _ in 0..count {
        let (object, placement) = places::read(&mut from)?;
        hierarchy.objects.push(object);
        placements.push(placement);
    }
    let sizes = crate::format::bytes::Sizes { offsets: from.byte()?, lengths: from.byte()? };
    let addresses = from.count(1, 2 * size_of::<(u64, ObjectId)>())?;
    let mut last = 0;
    let mut by_number = Vec::new();
    for _ in 0..addresses {
        last = from.step(last)?;
        by_number.push(last);
    }
    let addresses =
        Addresses::of(by_number, facts.user_block, sizes).ok_or_else(|| from.damaged("addresses of no file"))?;
    let found = Found { hierarchy, placements, addresses, faults: from.list()?, facts, read };
    if !from.is_at_end() {
        return Err(from.damaged("more than an index"));
    }
    if program != self::program(&found) {
        return Err(from.damaged("of another program"));
    }
    match sound::is_sound(&found) {
        true => Ok((state, found)),
        false => Err(from.damaged("parts that do not fit together")),
    }
}
