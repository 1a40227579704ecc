//! The file space info message, version 1 (IV.A.2.x): it stands in the superblock's extension and makes a file paged.

use crate::format::FormatError;
use crate::format::UNDEFINED_ADDRESS;
use crate::format::cursor::Cursor;
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

/// How a file hands out its space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFileSpace {
    /// The strategy, as `h5repack -S` calls it.
    pub strategy: &'static str,
    /// Addresses of managers of free space that are kept in the file.
    pub managers: Vec<u64>,
    /// True where space is handed out in pages.
    pub paged: bool,
    /// Bytes of a page; `None` where the message is of the version that knew none.
    pub page_size: Option<u64>,
}

/// A message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<StoredFileSpace, FormatError> {
    if body.version(0..=1)? == 0 {
        let strategy = match body.u8()? {
            1 | 2 => "FSM_AGGR",
            3 => "AGGR",
            _ => "NONE",
        };
        // Addresses of managers may follow; libhdf5 reads none of them, and files of its own tests have other bytes there.
        return Ok(StoredFileSpace { strategy, managers: Vec::new(), paged: false, page_size: None });
    }
    let (strategy, kept) = (body.u8()?, body.u8()? != 0);
    body.length()?;
    let page_size = Some(body.length()?);
    body.skip(2)?;
    body.address()?;
    let managers = if kept { managers(body)? } else { Vec::new() };
    let paged = strategy == STRATEGY_PAGE;
    let strategy = match strategy {
        0 => "FSM_AGGR",
        STRATEGY_PAGE => "PAGE",
        2 => "AGGR",
        _ => "NONE",
    };
    Ok(StoredFileSpace { strategy, managers, paged, page_size })
}

/// As many addresses as stand there; undefined ones are left out.
fn managers(body: &mut Cursor<'_>) -> Result<Vec<u64>, FormatError> {
    let mut managers = Vec::new();
    while body.left() >= body.sizes().offset() {
        managers.push(body.address()?);
    }
    managers.retain(|&address| address != UNDEFINED_ADDRESS);
    Ok(managers)
}
