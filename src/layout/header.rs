//! The messages of an object's header.
//!
//! The same code measures and encodes: addresses have a fixed width, so a header with zeros for them has its final
//! length.

use std::borrow::Cow;

use crate::format::heap::local;
use crate::format::message::attribute::{self, AttributeType};
use crate::format::message::attribute_info::{self, AttributeInfo};
use crate::format::message::data_layout::{self, Chunked, Compact, Contiguous, Virtual};
use crate::format::message::external_files::{self, ExternalSlot};
use crate::format::message::fill_value::{self, FillValue};
use crate::format::message::filter_pipeline::{self, FilterEntry};
use crate::format::message::link::{self, LinkBody};
use crate::format::message::link_info::{self, LinkInfo};
use crate::format::message::{comment, group_info, reference_count, shared};
use crate::format::object_header::{MESSAGE_LEN, Message, ObjectHeader, message_flags};
use crate::format::{FormatError, UNDEFINED_ADDRESS, dataspace, datatype};
use crate::model::datatype::Datatype;
use crate::model::hierarchy::{
    Allocation, Attribute, DataLayout, FillTime, Link, LinkTarget, ObjectId, RawPart, Storing, TypeUse,
};
use crate::model::limits::RANK;
use crate::model::name::Name;

use super::index::PlacedIndex;
use super::inventory::{Shown, ShownDataset, ShownKind};
use super::storage::Index;

/// Bytes of the largest fill value that a header holds: the message has a few fields before it.
const FILL_LEN: usize = MESSAGE_LEN - 16;

/// What of a header depends on where things lie.
pub(super) struct Places<'a> {
    /// Header address of every object.
    pub(super) headers: &'a [u64],
    /// Heap and name index of dense links.
    pub(super) links: Option<(u64, u64)>,
    /// Heap and name index of dense attributes.
    pub(super) attributes: Option<(u64, u64)>,
    /// Address of a dataset's index, or of its data where it has none; undefined where there is no data.
    pub(super) data: u64,
    /// Heap of the names of raw files, where a dataset's elements lie in such.
    pub(super) names: u64,
    /// Heap object that says of which datasets a virtual one is made; `None` where it is made of none.
    pub(super) mapping: Option<(u64, u32)>,
    /// Elements of a compact dataset in file form.
    pub(super) compact: Option<Cow<'a, [u8]>>,
    /// The fill value in file form.
    pub(super) fill: Option<Cow<'a, [u8]>>,
    /// Value of each attribute in file form.
    pub(super) values: Vec<Cow<'a, [u8]>>,
}

impl<'a> Places<'a> {
    /// Stand-ins of the right length.
    pub(super) fn measuring(shown: &Shown<'a>, headers: &'a [u64]) -> Self {
        let fill = match &shown.kind {
            ShownKind::Dataset(dataset) => dataset.fill.map(|fill| Cow::Borrowed(fill.bytes.as_ref())),
            _ => None,
        };
        let compact = match &shown.kind {
            ShownKind::Dataset(dataset) => match &dataset.dataset.layout {
                DataLayout::Compact(elements) => Some(Cow::Borrowed(elements.bytes.as_ref())),
                _ => None,
            },
            _ => None,
        };
        Places {
            headers,
            links: shown.dense_links.then_some((0, 0)),
            attributes: shown.dense_attributes.then_some((0, 0)),
            data: 0,
            names: 0,
            mapping: None,
            compact,
            fill,
            values: shown.attributes.iter().map(|attribute| Cow::Borrowed(attribute.value.bytes.as_ref())).collect(),
        }
    }

    fn header(&self, id: ObjectId) -> u64 {
        self.headers.get(id.0 as usize).copied().unwrap_or_default()
    }
}

/// The header of an object.
pub(super) fn object_header(shown: &Shown<'_>, places: &Places<'_>) -> Result<ObjectHeader, FormatError> {
    let mut messages = Vec::new();
    match &shown.kind {
        ShownKind::Group { tracked } => {
            let (heap, name_index) = places.links.unwrap_or((UNDEFINED_ADDRESS, UNDEFINED_ADDRESS));
            let max_creation = shown.links.len() as u64;
            let indexed = *tracked && places.links.is_none() && shown.details.links_indexed;
            let info = LinkInfo { tracked: *tracked, indexed, max_creation, heap, name_index };
            messages.push(message(link_info::KIND, 0, info.body()));
            messages.push(message(group_info::KIND, message_flags::CONSTANT, group_info::body()));
            if places.links.is_none() {
                for body in link_bodies(shown, places) {
                    messages.push(message(link::KIND, 0, body?));
                }
            }
        }
        ShownKind::Dataset(dataset) => dataset_messages(dataset, shown.details.storing, places, &mut messages)?,
        ShownKind::Datatype(datatype) => messages.push(datatype_message(datatype)?),
    }
    let attributes_indexed = indexed_attributes(shown, places);
    if !shown.attributes.is_empty() {
        let (heap, name_index) = places.attributes.unwrap_or((UNDEFINED_ADDRESS, UNDEFINED_ADDRESS));
        // Tracked means at most 65535 attributes.
        let max_creation = u16::try_from(shown.attributes.len()).unwrap_or(u16::MAX);
        let (tracked, indexed) = (shown.attributes_tracked, attributes_indexed);
        let info = AttributeInfo { tracked, indexed, max_creation, heap, name_index };
        messages.push(message(attribute_info::KIND, message_flags::DONT_SHARE, info.body()));
        if places.attributes.is_none() {
            for (number, body) in attribute_bodies(shown, places).enumerate() {
                let creation_index = if shown.attributes_tracked { number as u16 } else { 0 };
                messages.push(Message { kind: attribute::KIND, flags: 0, body: body?, creation_index });
            }
        }
    }
    // Uses of a committed datatype are counted by the file it was read from, and only there.
    let references = shown.references.max(match shown.kind {
        ShownKind::Datatype(_) => shown.details.references.unwrap_or(0),
        _ => 0,
    });
    if references > 1 {
        messages.push(message(reference_count::KIND, message_flags::DONT_SHARE, reference_count::body(references)));
    }
    if let Some(comment) = comment(shown) {
        messages.push(message(comment::KIND, 0, comment::body(comment)));
    }
    Ok(ObjectHeader {
        messages,
        attribute_order_tracked: shown.attributes_tracked,
        attribute_order_indexed: attributes_indexed,
        times: shown.modified,
    })
}

/// Whether attributes are said to be indexed by the order of creation. In a heap they never are.
fn indexed_attributes(shown: &Shown<'_>, places: &Places<'_>) -> bool {
    shown.attributes_tracked && places.attributes.is_none() && shown.details.attributes_indexed
}

/// The comment on an object, where a message can hold it.
fn comment<'s>(shown: &'s Shown<'_>) -> Option<&'s Name> {
    shown.details.comment.as_ref().filter(|comment| comment.as_bytes().len() < MESSAGE_LEN)
}

/// The link messages of a group, in order.
pub(super) fn link_bodies<'s>(
    shown: &'s Shown<'_>,
    places: &'s Places<'_>,
) -> impl Iterator<Item = Result<Vec<u8>, FormatError>> + 's {
    shown.links.iter().enumerate().map(|(number, link)| link_message(shown, number, link, places).body())
}

/// Bytes of each link message.
pub(super) fn link_lens<'s>(shown: &'s Shown<'_>, places: &'s Places<'_>) -> impl Iterator<Item = u64> + 's {
    shown.links.iter().enumerate().map(|(number, link)| link_message(shown, number, link, places).encoded_len() as u64)
}

fn link_message<'s>(shown: &Shown<'_>, number: usize, link: &'s Link, places: &Places<'_>) -> link::Link<'s> {
    let tracked = matches!(shown.kind, ShownKind::Group { tracked: true });
    link::Link {
        name: &link.name,
        creation_order: tracked.then_some(number as u64),
        target: match &link.target {
            LinkTarget::Hard(id) => LinkBody::Hard(places.header(*id)),
            LinkTarget::Soft(path) => LinkBody::Soft(path),
            LinkTarget::External { file, path } => LinkBody::External { file, path },
            LinkTarget::User { class, value } => LinkBody::User { class: *class, value },
        },
    }
}

/// The attribute messages of an object, in order.
pub(super) fn attribute_bodies<'s>(
    shown: &'s Shown<'_>,
    places: &'s Places<'_>,
) -> impl Iterator<Item = Result<Vec<u8>, FormatError>> + 's {
    attributes(shown, places).map(|attribute| attribute.body())
}

/// Bytes of each attribute message.
pub(super) fn attribute_lens<'s>(shown: &'s Shown<'_>, places: &'s Places<'_>) -> impl Iterator<Item = u64> + 's {
    attributes(shown, places).map(|attribute| attribute.encoded_len() as u64)
}

fn attributes<'s>(shown: &'s Shown<'_>, places: &'s Places<'_>) -> impl Iterator<Item = attribute::Attribute<'s>> + 's {
    shown.attributes.iter().zip(&places.values).map(|(attribute, value)| attribute_message(attribute, value, places))
}

fn attribute_message<'s>(attribute: &'s Attribute, data: &'s [u8], places: &Places<'_>) -> attribute::Attribute<'s> {
    attribute::Attribute {
        name: &attribute.name,
        datatype: match &attribute.datatype {
            TypeUse::Own(datatype) => AttributeType::Own(datatype),
            TypeUse::Committed(id) => AttributeType::Committed(places.header(*id)),
        },
        dataspace: &attribute.dataspace,
        data,
    }
}

fn dataset_messages(
    shown: &ShownDataset<'_>,
    storing: Option<Storing>,
    places: &Places<'_>,
    messages: &mut Vec<Message>,
) -> Result<(), FormatError> {
    let ShownDataset { dataset, storage, .. } = shown;
    let mut space = Vec::new();
    dataspace::encode(&dataset.dataspace, &mut space)?;
    messages.push(message(dataspace::KIND, 0, space));
    messages.push(match &dataset.datatype {
        TypeUse::Own(datatype) => datatype_message(datatype)?,
        TypeUse::Committed(id) => {
            let body = shared::committed(places.header(*id)).to_vec();
            message(datatype::KIND, message_flags::SHARED | message_flags::CONSTANT, body)
        }
    });
    // When libhdf5 would have allocated the space itself.
    let allocation = match storage.index {
        Index::Contiguous => Allocation::Late,
        Index::Implicit => Allocation::Early,
        _ => Allocation::Incremental,
    };
    // A value too large for the message still fills the chunks that nobody wrote.
    let value = places.fill.as_deref().filter(|fill| fill.len() <= FILL_LEN);
    let usual = Storing { allocation, fill_time: FillTime::IfSet, fill_undefined: false };
    let storing = storing.unwrap_or(usual);
    messages.push(message(fill_value::KIND, message_flags::CONSTANT, FillValue { value, storing }.body()?));
    let body = match (&storage.index, &dataset.layout) {
        (_, DataLayout::Compact(_)) => Compact { data: places.compact.as_deref().unwrap_or_default() }.body()?,
        (_, DataLayout::Virtual(_)) => {
            let (heap, index) = places.mapping.unwrap_or((UNDEFINED_ADDRESS, 0));
            Virtual { heap, index }.body()
        }
        (_, DataLayout::External(parts)) => {
            let (_, offsets) = raw_names(places.names, parts);
            let slot = |(part, name): (&RawPart, u64)| ExternalSlot { name, offset: part.offset, size: part.size };
            let slots: Vec<_> = parts.iter().zip(offsets).map(slot).collect();
            messages.push(message(external_files::KIND, 0, external_files::body(places.names, &slots)));
            Contiguous { address: UNDEFINED_ADDRESS, size: storage.chunk_len }.body()
        }
        (Index::Contiguous, _) | (_, DataLayout::Contiguous) => {
            Contiguous { address: places.data, size: storage.chunk_len }.body()
        }
        (_, DataLayout::Chunked(chunk)) => Chunked {
            chunk: chunk.get(..RANK.min(chunk.len())).unwrap_or_default(),
            element_size: storage.element_size,
            index: PlacedIndex::kind(storage),
            address: places.data,
        }
        .body()?,
    };
    messages.push(message(data_layout::KIND, 0, body));
    if !storage.filters.is_empty() {
        let entries: Vec<_> = storage
            .filters
            .iter()
            .map(|filter| FilterEntry {
                id: filter.id,
                optional: filter.optional,
                name: filter.name,
                values: &filter.values,
            })
            .collect();
        messages.push(message(filter_pipeline::KIND, message_flags::CONSTANT, filter_pipeline::body(&entries)?));
    }
    Ok(())
}

/// The heap at `address` of the names of raw files, and where each stands in it.
pub(super) fn raw_names(address: u64, parts: &[RawPart]) -> (Vec<u8>, Vec<u64>) {
    local::encode(address, parts.iter().map(|part| part.file.as_bytes()))
}

fn datatype_message(datatype: &Datatype) -> Result<Message, FormatError> {
    let mut body = Vec::new();
    datatype::encode(datatype, &mut body)?;
    Ok(message(datatype::KIND, message_flags::CONSTANT, body))
}

fn message(kind: u8, flags: u8, body: Vec<u8>) -> Message {
    Message { kind, flags, body, creation_index: 0 }
}
