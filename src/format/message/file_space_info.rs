//! The file space info message, version 1 (IV.A.2.x): it stands in the superblock's extension and makes a file paged.

use crate::format::UNDEFINED_ADDRESS;
use crate::format::fields::Fields;

/// Type of the message in an object header.
pub const KIND: u8 = 0x17;

/// Strategy `H5F_FSPACE_STRATEGY_PAGE`: space is handed out in pages.
const STRATEGY_PAGE: u8 = 1;

/// The message's body: paged, free space not kept in the file. `threshold` is the smallest free section that a writer
/// will ever reuse, in bytes.
pub fn body(page_size: u64, threshold: u64) -> Vec<u8> {
    let mut out = vec![1, STRATEGY_PAGE, 0];
    out.put_u64(threshold);
    out.put_u64(page_size);
    out.put_u16(0); // Page-end metadata threshold: no reader looks at it.
    out.put_u64(UNDEFINED_ADDRESS); // End of file before free-space managers: there are none.
    out
}
