//! What is wrong with an object and keeps no reader here from reading it, but libhdf5 does: told when a file is judged.

use super::object::Reader;
use crate::format::heap::local::LocalHeap;
use crate::format::message::{attribute, fill_value, filter_pipeline};
use crate::format::object_header::decode::StoredHeader;
use crate::format::{dataspace, datatype};

/// Flags of a message (specification IV.A.1.b): it stands elsewhere, it could, and who does not know it shall not read on.
const SHARED: u8 = 0x02;
const SHAREABLE: u8 = 0x40;
const FAIL_IF_UNKNOWN: u8 = 0x80;
/// Types of messages that may stand elsewhere.
const MAY_BE_SHARED: [u8; 6] =
    [dataspace::KIND, datatype::KIND, fill_value::OLD_KIND, fill_value::KIND, filter_pipeline::KIND, attribute::KIND];
/// The last type that libhdf5 knows: file space info is 0x17, the image of a metadata cache 0x18.
const LAST_KNOWN: u8 = 0x18;

impl<'a> Reader<'_, '_, 'a> {
    /// Judges the flags of messages.
    pub(super) fn judge(&self, address: u64, header: &StoredHeader<'a>) {
        for message in &header.messages {
            let kind = message.kind;
            let wrong = if message.flags & (SHARED | SHAREABLE) != 0 && !MAY_BE_SHARED.contains(&kind) {
                format!("a message of type {kind} is marked as shared, which that type cannot be")
            } else if message.flags & FAIL_IF_UNKNOWN != 0 && kind > LAST_KNOWN {
                format!("a message of type {kind}, which nobody knows, forbids to read on")
            } else {
                continue;
            };
            self.context.judged.borrow_mut().push((address, message.body.named("object header message").bad(wrong)));
        }
    }

    /// Judges the free blocks of a group's heap.
    pub(super) fn judge_heap(&self, heap: &LocalHeap<'a>) {
        if let Err(error) = heap.check_free() {
            self.context.judged.borrow_mut().push((self.context.reads, error));
        }
    }
}
