//! The symbol table message (IV.A.2.r): where an old group keeps its links.

use crate::format::FormatError;
use crate::format::cursor::Cursor;

/// Type of the message in an object header.
pub const KIND: u8 = 0x11;

/// Where the links of an old group are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SymbolTable {
    /// Address of the v1 B-tree of symbol nodes.
    pub tree: u64,
    /// Address of the local heap of names.
    pub heap: u64,
}

/// A message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<SymbolTable, FormatError> {
    Ok(SymbolTable { tree: body.address()?, heap: body.address()? })
}
