//! The table of shared messages (III.I): heaps of messages that many object headers have in common.

use super::bytes::Space;
use super::cursor::Cursor;
use super::fields::CHECKSUM_LEN;
use super::heap::fractal::decode::StoredHeap;
use super::register::Aside;
use super::{FormatError, UNDEFINED_ADDRESS};

/// Type of the message in the superblock's extension that leads to the table.
pub const KIND: u8 = 0x0f;

const STRUCTURE: &str = "shared message table";
const LIST: &str = "shared message list";

/// One index of the table: which types of messages it has, and the heap they are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Index {
    /// Bit *n*: messages of type *n*.
    kinds: u16,
    heap: u64,
}

/// The file's table of shared messages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedTable {
    indexes: Vec<Index>,
}

impl SharedTable {
    /// The table that a message of the superblock's extension leads to.
    pub fn decode(space: &Space<'_>, message: &mut Cursor<'_>) -> Result<Self, FormatError> {
        message.version(0..=0)?;
        let (address, count) = (message.address()?, message.u8()?);
        let entry = 14 + 2 * space.sizes().offset();
        let len = 4 + usize::from(count) * entry + CHECKSUM_LEN;
        let mut table = space.cursor(STRUCTURE, address, len as u64)?.checked()?;
        table.signature(b"SMTB")?;
        let mut indexes = Vec::new();
        for _ in 0..count {
            table.skip(1)?;
            let form = table.u8()?;
            let kinds = table.u16()?;
            table.skip(4)?;
            let most = u64::from(table.u16()?);
            table.skip(2 + 2)?;
            // The index, which only a writer asks: a list of that many places, or a tree.
            match (form, table.address()?) {
                (_, UNDEFINED_ADDRESS) => {}
                (0, list) => {
                    let place = 5 + (4 + 8).max(4 + space.sizes().offset() as u64);
                    space.claim(LIST, list, 4 + most * place + CHECKSUM_LEN as u64, 0);
                }
                (_, tree) => space.aside(Aside::Tree(tree)),
            }
            indexes.push(Index { kinds, heap: table.address()? });
        }
        Ok(SharedTable { indexes })
    }

    /// The heap of the shared messages of a type; `None` where such are not shared.
    pub fn heap<'s, 'a>(&self, space: &'s Space<'a>, kind: u8) -> Result<Option<StoredHeap<'s, 'a>>, FormatError> {
        let index = self
            .indexes
            .iter()
            .find(|index| kind < 16 && index.kinds & 1 << kind != 0 && index.heap != UNDEFINED_ADDRESS);
        index.map(|index| StoredHeap::open(space, index.heap)).transpose()
    }
}
