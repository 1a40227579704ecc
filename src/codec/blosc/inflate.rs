//! Frames whose codec is zlib, which is what HSDS writes where it says gzip or deflate.
//!
//! Their splits are zlib streams, and are inflated as all others are here: twice as fast as in c-blosc, and without zlib
//! itself in the program.

use super::super::deflate::inflate_into;
use super::super::error::{CodecError, zeros};
use super::super::{bitshuffle, shuffle};
use super::blocks;
use super::header::{BIT_SHUFFLE, BYTE_SHUFFLE, Header, invalid};

/// How the blocks of a frame were transposed before they were compressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Plain,
    Bytes,
    Bits,
}

impl Order {
    /// As c-blosc has it: shuffled bytes go before shuffled bits where both are said.
    fn of(header: &Header) -> Order {
        match header.flags {
            flags if flags & BYTE_SHUFFLE != 0 && header.element > 1 => Order::Bytes,
            flags if flags & BIT_SHUFFLE != 0 => Order::Bits,
            _ => Order::Plain,
        }
    }

    fn undo(self, block: &[u8], element: u32, plain: &mut [u8]) {
        match self {
            Order::Plain => plain.copy_from_slice(block),
            Order::Bytes => shuffle::decode_into(block, element, plain),
            // Blocks that are no whole number of eight elements are left as they are.
            Order::Bits if (block.len() / element.max(1) as usize).is_multiple_of(8) => {
                bitshuffle::decode_into(block, element, plain);
            }
            Order::Bits => plain.copy_from_slice(block),
        }
    }
}

/// Decodes the blocks of `frame`, which were checked, into `plain`, which is as long as the header says.
pub(super) fn decode(header: &Header, frame: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
    let order = Order::of(header);
    let mut scratch = match order {
        Order::Plain => Vec::new(),
        Order::Bytes | Order::Bits => zeros(u64::from(header.block))?,
    };
    for (number, out) in (0..).zip(plain.chunks_mut(header.block as usize)) {
        if order == Order::Plain {
            inflate_block(header, frame, number, out)?;
        } else if let Some(block) = scratch.get_mut(..out.len()) {
            inflate_block(header, frame, number, block)?;
            order.undo(block, header.element, out);
        }
    }
    Ok(())
}

/// Inflates the splits of block `number` side by side into `block`.
fn inflate_block(header: &Header, frame: &[u8], number: u32, block: &mut [u8]) -> Result<(), CodecError> {
    let mut rest = block;
    blocks::splits(header, frame, number, |split| {
        let bad = || invalid(split.at, "a split that cannot be inflated to its length");
        let (room, after) = std::mem::take(&mut rest).split_at_mut_checked(split.plain as usize).ok_or_else(bad)?;
        rest = after;
        if split.packed.len() == room.len() {
            room.copy_from_slice(split.packed);
            return Ok(());
        }
        match inflate_into(split.packed, room) {
            Ok(made) if made == room.len() => Ok(()),
            Ok(_) | Err(_) => Err(bad()),
        }
    })
}
