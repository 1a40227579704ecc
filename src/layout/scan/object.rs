//! One object of a file: its header, and all that the header leads to but other objects.

use std::cell::RefCell;
use std::collections::HashMap;

use super::dataset::Described;
use super::group::{DraftLink, name_of};
use super::placement::Placement;
use super::types;
use super::values::Values;
use crate::format::bytes::{Branches, Ranks, Space};
use crate::format::cursor::Cursor;
use crate::format::datatype::decode::StoredType;
use crate::format::heap::fractal::decode::StoredHeap;
use crate::format::index::btree2;
use crate::format::message::data_layout::decode::StoredLayout;
use crate::format::message::fill_value::{StoredFill, StoredFillValue};
use crate::format::message::shared::StoredShared;
use crate::format::message::{
    attribute, attribute_info, comment, data_layout, external_files, fill_value, filter_pipeline, link_info,
    reference_count, shared, symbol_table, times,
};
use crate::format::object_header::decode::{StoredHeader, StoredMessage};
use crate::format::object_header::{self, ATTRIBUTE_ORDER_INDEXED, ATTRIBUTE_ORDER_TRACKED, message_flags::SHARED};
use crate::format::register::Aside;
use crate::format::shared_table::SharedTable;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS, dataspace, datatype};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::Datatype;
use crate::model::elements::Elements;
use crate::model::hierarchy::{Allocation, DataLayout, Details, FillTime, ObjectId, Storing};
use crate::model::name::Name;

/// An object as it was read, other objects by their address or provisional number.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) kind: DraftKind,
    pub(super) attributes: Vec<DraftAttribute>,
    pub(super) attributes_tracked: bool,
    pub(super) modified: Option<u32>,
    pub(super) details: Details,
    /// Attributes that cannot be shown, and why.
    pub(super) faults: Vec<(Name, FormatError)>,
}

#[derive(Debug)]
pub(super) enum DraftKind {
    Group { links: Vec<DraftLink>, tracked: bool },
    Dataset(Box<DraftDataset>),
    Datatype(Datatype),
}

#[derive(Debug)]
pub(super) struct DraftDataset {
    pub(super) datatype: DraftType,
    pub(super) dataspace: Dataspace,
    pub(super) fill: Option<Elements>,
    pub(super) layout: DataLayout,
    pub(super) placement: Placement,
}

/// A type, and the address of the header where it is committed.
#[derive(Debug)]
pub(super) struct DraftType {
    pub(super) datatype: Datatype,
    pub(super) committed: Option<u64>,
}

#[derive(Debug)]
pub(super) struct DraftAttribute {
    pub(super) name: Name,
    pub(super) datatype: DraftType,
    pub(super) dataspace: Dataspace,
    pub(super) value: Elements,
    /// Its number in the order of creation, where kept.
    order: Option<u32>,
}

/// What objects of a file share while they are read.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) shared: SharedTable,
    /// Provisional numbers of objects that links or references name, by the address of the header.
    pub(super) numbers: HashMap<u64, ObjectId>,
    /// Committed types by address.
    pub(super) types: HashMap<u64, StoredType>,
    /// Bytes that values may still take.
    pub(super) budget: u64,
    /// Room of nodes of the old trees.
    pub(super) ranks: Ranks,
    /// No dataset is left out because nothing here undoes its filters, and what other readers refuse is judged.
    pub(super) all: bool,
    /// The object that is read.
    pub(super) reads: u64,
    /// What a reader may pass over and libhdf5 does not, with the address of the object's header.
    pub(super) judged: RefCell<Vec<(u64, FormatError)>>,
}

impl Context {
    /// The provisional number of the object at `address`.
    pub(super) fn number(&mut self, address: u64) -> ObjectId {
        let next = ObjectId(u32::try_from(self.numbers.len()).unwrap_or(u32::MAX));
        *self.numbers.entry(address).or_insert(next)
    }
}

/// Reads one object.
pub(super) struct Reader<'c, 's, 'a> {
    pub(super) space: &'s Space<'a>,
    pub(super) context: &'c mut Context,
}

impl<'s, 'a> Reader<'_, 's, 'a> {
    /// The object whose header is at `address`.
    pub(super) fn object(&mut self, address: u64) -> Result<Draft, FormatError> {
        let header = object_header::decode::decode(self.space, address)?;
        if self.context.all {
            self.context.reads = address;
            self.judge(address, &header);
        }
        // What else it leads to is looked for even where some of it is not at hand, so that all is asked for at once.
        let (mut branches, mut faults) = (Branches::default(), Vec::new());
        let attributes = self.attributes(&header, &mut faults);
        let attributes = branches.value(attributes)?;
        let kind = self.kind(&header);
        let kind = branches.value(kind)?;
        branches.end()?;
        let (Some(kind), Some(attributes)) = (kind, attributes) else {
            return Err(self.space.cursor("object header", address, 0)?.bad("nothing is known of it"));
        };
        let attributes_tracked = header.version == 2 && header.flags & ATTRIBUTE_ORDER_TRACKED != 0;
        let details = self.details(&header)?;
        Ok(Draft { kind, attributes, attributes_tracked, modified: modified(&header)?, details, faults })
    }

    /// What of an object changes none of its values.
    fn details(&self, header: &StoredHeader<'a>) -> Result<Details, FormatError> {
        let mut details =
            Details { attributes_indexed: header.flags & ATTRIBUTE_ORDER_INDEXED != 0, ..Details::default() };
        if let Some(info) = header.find(link_info::KIND) {
            details.links_indexed = link_info::StoredLinkInfo::decode(&mut { info.body })?.indexed;
        }
        if let Some(message) = header.find(comment::KIND) {
            details.comment = Some(comment::decode(&mut { message.body })?);
        }
        if let Some(message) = header.find(fill_value::KIND) {
            let StoredFill { allocation, write, value } = fill_value::decode(&mut self.message(message)?)?;
            let fill_undefined = value == StoredFillValue::Undefined;
            details.storing = allocation.map(|allocation| Storing { allocation, fill_time: write, fill_undefined });
        } else if let Some(message) = header.find(data_layout::KIND) {
            // Of files older than the message, the library takes what their writers did.
            let allocation = match data_layout::decode::decode(&mut self.message(message)?)? {
                StoredLayout::Compact(_) => Allocation::Early,
                StoredLayout::Contiguous { .. } => Allocation::Late,
                StoredLayout::Chunked(_) | StoredLayout::Virtual { .. } => Allocation::Incremental,
            };
            let fill_undefined = header.find(fill_value::OLD_KIND).is_none();
            details.storing = Some(Storing { allocation, fill_time: FillTime::IfSet, fill_undefined });
        }
        details.references = match header.find(reference_count::KIND) {
            Some(message) => Some(reference_count::decode(&mut { message.body })?),
            None => Some(header.references),
        };
        Ok(details)
    }

    fn kind(&mut self, header: &StoredHeader<'a>) -> Result<DraftKind, FormatError> {
        if let Some(table) = header.find(symbol_table::KIND) {
            let links = self.symbols(symbol_table::decode(&mut { table.body })?)?;
            return Ok(DraftKind::Group { links, tracked: false });
        }
        if let Some(info) = header.find(link_info::KIND) {
            let info = link_info::StoredLinkInfo::decode(&mut { info.body })?;
            return Ok(DraftKind::Group { links: self.links(header, &info)?, tracked: info.tracked });
        }
        if header.find(data_layout::KIND).is_some() {
            return Ok(DraftKind::Dataset(Box::new(self.dataset(header)?)));
        }
        match header.find(datatype::KIND) {
            Some(message) => {
                let body = message.body;
                let (stored, _) = self.datatype(message.flags & SHARED != 0, body)?;
                Ok(DraftKind::Datatype(model_type(&stored, &body)?))
            }
            // Groups without any link of old writers have neither message.
            None => Ok(DraftKind::Group { links: Vec::new(), tracked: false }),
        }
    }

    /// The body of a message, which may stand elsewhere; with the address of the header, where it is in another one.
    fn body(&self, kind: u8, shared: bool, body: Cursor<'a>) -> Result<(Cursor<'a>, Option<u64>), FormatError> {
        if !shared {
            return Ok((body, None));
        }
        match shared::decode(&mut { body })? {
            StoredShared::Committed(address) => {
                let header = object_header::decode::decode(self.space, address)?;
                let found = header.find(kind).filter(|message| message.flags & SHARED == 0);
                let found = found.ok_or_else(|| body.bad(format!("no such message in the header at {address}")))?;
                Ok((found.body, Some(address)))
            }
            StoredShared::Heap(_) => {
                let mut id = body;
                id.skip(2)?;
                let heap = self.context.shared.heap(self.space, kind)?;
                let mut heap = heap.ok_or_else(|| body.bad("leads into a heap that the file does not have"))?;
                Ok((heap.object(id)?, None))
            }
        }
    }

    fn message(&self, message: &StoredMessage<'a>) -> Result<Cursor<'a>, FormatError> {
        Ok(self.body(message.kind, message.flags & SHARED != 0, message.body)?.0)
    }

    fn datatype(&mut self, shared: bool, body: Cursor<'a>) -> Result<(StoredType, Option<u64>), FormatError> {
        if shared
            && let StoredShared::Committed(address) = shared::decode(&mut { body })?
            && let Some(known) = self.context.types.get(&address)
        {
            return Ok((known.clone(), Some(address)));
        }
        let (mut found, committed) = self.body(datatype::KIND, shared, body)?;
        let stored = datatype::decode::decode(&mut found)?;
        if let Some(address) = committed {
            self.context.types.insert(address, stored.clone());
        }
        Ok((stored, committed))
    }

    fn dataset(&mut self, header: &StoredHeader<'a>) -> Result<DraftDataset, FormatError> {
        let missing = |what: &str| match header.find(data_layout::KIND) {
            Some(message) => message.body.bad(format!("a dataset without its {what}")),
            None => FormatError { kind: Kind::Value, structure: "dataset", at: 0, reason: what.to_owned() },
        };
        let message = header.find(datatype::KIND).ok_or_else(|| missing("datatype"))?;
        let (stored, committed) = self.datatype(message.flags & SHARED != 0, message.body)?;
        let datatype = model_type(&stored, &message.body)?;
        let message = header.find(dataspace::KIND).ok_or_else(|| missing("dataspace"))?;
        let dataspace = dataspace::decode(&mut self.message(message)?)?;
        let filters = match header.find(filter_pipeline::KIND) {
            Some(message) => filter_pipeline::decode(&mut self.message(message)?)?,
            None => Vec::new(),
        };
        let mut branches = Branches::default();
        let fill = self.fill(header, &stored, &datatype);
        let fill = branches.value(fill)?.flatten();
        let message = header.find(data_layout::KIND).ok_or_else(|| missing("layout"))?;
        let layout = data_layout::decode::decode(&mut self.message(message)?)?;
        let described = Described { dataspace: dataspace.clone(), stored, datatype: datatype.clone(), filters };
        let placed = match (header.find(external_files::KIND), &layout) {
            (Some(files), StoredLayout::Contiguous { .. }) => self.external(described, files),
            _ => self.placement(described, &layout, &message.body),
        };
        let placed = branches.value(placed)?;
        branches.end()?;
        let (layout, placement) = placed.ok_or_else(|| missing("place"))?;
        // Bytes that nobody can undo must not be taken for elements.
        if let Some(filter) = placement.not_undone().filter(|_| !self.context.all) {
            let reason = format!("its chunks went through {filter}, which is not undone here");
            return Err(message.body.fault(Kind::Unsupported, reason));
        }
        let datatype = DraftType { datatype, committed };
        Ok(DraftDataset { datatype, dataspace, fill, layout, placement })
    }

    fn fill(
        &mut self,
        header: &StoredHeader<'a>,
        stored: &StoredType,
        datatype: &Datatype,
    ) -> Result<Option<Elements>, FormatError> {
        let new = header.find(fill_value::KIND);
        let Some(message) = new.or_else(|| header.find(fill_value::OLD_KIND)) else { return Ok(None) };
        let mut body = self.message(message)?;
        let StoredFill { value, .. } = match new {
            Some(_) => fill_value::decode(&mut body)?,
            None => fill_value::decode_old(&mut body)?,
        };
        let StoredFillValue::Value(value) = value else { return Ok(None) };
        if value.len() as u64 != u64::from(stored.size) {
            return Err(body.bad(format!("a fill value of {} bytes for elements of {}", value.len(), stored.size)));
        }
        // Read again where it stands: heaps are found from the bytes of the file.
        let start = body.position().saturating_sub(self.space.base()).saturating_sub(value.len() as u64);
        let data = self.space.within("fill value", start, value.len() as u64)?;
        self.values(stored, datatype, data, 1).map(Some)
    }

    pub(super) fn values(
        &mut self,
        stored: &StoredType,
        datatype: &Datatype,
        data: Cursor<'a>,
        count: u64,
    ) -> Result<Elements, FormatError> {
        let Context { numbers, budget, .. } = &mut *self.context;
        let mut object = |address: u64| {
            let next = ObjectId(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
            (address != UNDEFINED_ADDRESS).then(|| *numbers.entry(address).or_insert(next))
        };
        Values::new(self.space, &mut object, budget).elements(stored, datatype, data, count)
    }

    /// All attributes, in the order in which they were created where that is kept.
    fn attributes(
        &mut self,
        header: &StoredHeader<'a>,
        faults: &mut Vec<(Name, FormatError)>,
    ) -> Result<Vec<DraftAttribute>, FormatError> {
        let mut bodies = Vec::new();
        for message in header.messages.iter().filter(|message| message.kind == attribute::KIND) {
            bodies.push((self.message(message)?, message.creation_index.map(u32::from)));
        }
        if let Some(message) = header.find(attribute_info::KIND) {
            let info = attribute_info::StoredAttributeInfo::decode(&mut { message.body })?;
            self.space.aside(Aside::Tree(info.order_index));
            if info.heap != UNDEFINED_ADDRESS {
                self.dense_attributes(&info, &mut bodies)?;
            }
        }
        let (mut branches, mut attributes) = (Branches::default(), Vec::new());
        for (body, order) in bodies {
            let stored = attribute::decode(&mut { body })?;
            let name = name_of(stored.name.to_vec(), stored.utf8);
            match self.attribute(&stored, name.clone(), order) {
                Ok(attribute) => attributes.push(attribute),
                Err(error) if matches!(error.kind, Kind::Needs(_)) => branches.ended(Err(error))?,
                // The presented file could not say what this one does, so it is not for an attribute to be left out.
                Err(error) if error.kind == Kind::Unsupported => return Err(error),
                Err(error) => faults.push((name, error)),
            }
        }
        branches.end()?;
        attributes.sort_by_key(|attribute| attribute.order);
        Ok(attributes)
    }

    fn dense_attributes(
        &mut self,
        info: &attribute_info::StoredAttributeInfo,
        bodies: &mut Vec<(Cursor<'a>, Option<u32>)>,
    ) -> Result<(), FormatError> {
        let mut heap = StoredHeap::open(self.space, info.heap)?;
        let mut records = Vec::new();
        let kinds = [btree2::kind::ATTRIBUTE_NAME];
        btree2::decode::records(self.space, info.name_index, &kinds, &mut |_, mut record| {
            let id = record.part(heap.id_len())?;
            records.push((id, record.u8()?, record.u32()?));
            Ok(())
        })?;
        let mut branches = Branches::default();
        for (id, flags, order) in records {
            let body = if flags & SHARED != 0 {
                let shared = self.context.shared.heap(self.space, attribute::KIND)?;
                shared.ok_or_else(|| id.bad("leads into a heap that the file does not have"))?.object(id)
            } else {
                heap.object(id)
            };
            if let Some(body) = branches.value(body)? {
                bodies.push((body, info.tracked.then_some(order)));
            }
        }
        branches.end()
    }

    fn attribute(
        &mut self,
        stored: &attribute::StoredAttribute<'a>,
        name: Name,
        order: Option<u32>,
    ) -> Result<DraftAttribute, FormatError> {
        let (kind, committed) = self.datatype(stored.datatype_shared, stored.datatype)?;
        let datatype = model_type(&kind, &stored.datatype)?;
        let (mut space, _) = self.body(dataspace::KIND, stored.dataspace_shared, stored.dataspace)?;
        let dataspace = dataspace::decode(&mut space)?;
        let count = dataspace.elements().ok_or_else(|| stored.dataspace.bad("more elements than fit 64 bits"))?;
        let value = self.values(&kind, &datatype, stored.data, count)?;
        Ok(DraftAttribute { name, datatype: DraftType { datatype, committed }, dataspace, value, order })
    }
}

fn model_type(stored: &StoredType, at: &Cursor<'_>) -> Result<Datatype, FormatError> {
    types::datatype(stored).map_err(|reason| at.fault(Kind::Unsupported, reason))
}

/// When the object was last changed, in seconds since 1970.
fn modified(header: &StoredHeader<'_>) -> Result<Option<u32>, FormatError> {
    if let Some(times) = header.times {
        return Ok(Some(times.modification));
    }
    match (header.find(times::KIND), header.find(times::OLD_KIND)) {
        (Some(message), _) => times::decode(&mut { message.body }).map(Some),
        (None, Some(message)) => times::decode_old(&mut { message.body }),
        (None, None) => Ok(None),
    }
}
