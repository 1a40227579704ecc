//! Heap windows: the address range that each chunk of variable-length data owns, before anybody knows what is in it.
//!
//! Chunk *i* of a dataset points into the window at base + *i* · stride. The stride follows from metadata alone and is so
//! large that no chunk a store accepts outgrows it; what is not used is never stored anywhere and reads as zeros.

use crate::model::datatype::{Datatype, ReferenceKind};

use super::pages::{PAGE, round_up};

/// Bytes of the largest variable-length value that HSDS accepts, in its own form.
const STORED_VALUE: u64 = 1_000_000;
/// How much a nested value grows at most on its way into the file: one byte takes 5 in the store (a count of 4) and here
/// 16 as a field of the outer value, 16 as an object's header and 8 with padding.
const EXPANSION: u64 = 8;
/// Header and padding of one heap object.
const OBJECT_OVERHEAD: u64 = 32;
/// Bytes of what leads to a heap object: a region reference has 12.
const LEAST_LINK: u64 = 12;
/// A collection that the next object does not fit is closed with up to half of it unused.
const WASTE: u64 = 2;
/// Bytes of all windows of a file; libhdf5 and the kernel count in signed 64 bits, and the raw data want their part.
pub(crate) const WINDOW_BYTES: u64 = 1 << 60;

/// Bytes that the window of a chunk of `elements` elements would like to have.
pub(crate) fn wanted_stride(datatype: &Datatype, elements: u64) -> u64 {
    let bytes = element_bound(datatype).saturating_mul(elements).saturating_mul(WASTE);
    round_up(bytes.saturating_add(PAGE), PAGE).min(WINDOW_BYTES)
}

/// Bytes of a window for values that take at most `bytes` together, whatever they are.
pub(crate) fn stride_of_values(bytes: u64) -> u64 {
    // Each object is led to by at least as many bytes of another value or of the chunk.
    let objects = bytes / LEAST_LINK;
    let bytes = bytes.saturating_add(objects.saturating_mul(OBJECT_OVERHEAD)).saturating_mul(WASTE);
    round_up(bytes.min(WINDOW_BYTES - PAGE).saturating_add(PAGE), PAGE)
}

/// Cuts strides (bytes a window, number of windows) such that all windows together keep to [`WINDOW_BYTES`]. The number
/// of windows must be such that one page each does.
pub(crate) fn fit(strides: &mut [(u64, u64)]) {
    let sum: u128 = strides.iter().map(|&(stride, count)| u128::from(stride) * u128::from(count)).sum();
    if sum <= u128::from(WINDOW_BYTES) {
        return;
    }
    // A page each is given before the rest is shared out, so that rounding up to a page keeps to the sum.
    let pages: u128 = strides.iter().map(|&(_, count)| u128::from(count) * u128::from(PAGE)).sum();
    let rest = u128::from(WINDOW_BYTES).saturating_sub(pages);
    for (stride, _) in strides {
        // Below 2^60, as the stride is: scaled by the share and cut to whole pages.
        let share = mul_div(u128::from(*stride), rest, sum) as u64;
        *stride = PAGE + share / PAGE * PAGE;
    }
}

/// a · b / c for a below 2^61 and b up to 2^60.
fn mul_div(a: u128, b: u128, c: u128) -> u128 {
    a * b / c.max(1)
}

/// Heap bytes of one element at most.
fn element_bound(datatype: &Datatype) -> u64 {
    match datatype {
        Datatype::VariableString(_) => STORED_VALUE + OBJECT_OVERHEAD,
        Datatype::Sequence(base) => value_bound(base).saturating_add(OBJECT_OVERHEAD),
        Datatype::Reference(ReferenceKind::Region) => STORED_VALUE * EXPANSION,
        Datatype::Compound(compound) => {
            compound.members.iter().fold(0, |sum: u64, member| sum.saturating_add(element_bound(&member.datatype)))
        }
        Datatype::Array(array) => {
            array.dims.iter().fold(element_bound(&array.base), |bound, &dim| bound.saturating_mul(dim.into()))
        }
        _ => 0,
    }
}

/// Heap bytes of one sequence of `base`, all that is nested in it included.
fn value_bound(base: &Datatype) -> u64 {
    let levels = variable_levels(base);
    // A compound in the file may have gaps that the store's form has not.
    let plain = STORED_VALUE.saturating_mul(EXPANSION.saturating_pow(levels));
    if has_gaps(base) { plain.saturating_mul(EXPANSION) } else { plain }
}

/// Variable-length types inside each other, this one included.
fn variable_levels(datatype: &Datatype) -> u32 {
    match datatype {
        Datatype::VariableString(_) | Datatype::Reference(ReferenceKind::Region) => 1,
        Datatype::Sequence(base) => 1 + variable_levels(base),
        Datatype::Array(array) => variable_levels(&array.base),
        Datatype::Compound(compound) => {
            compound.members.iter().map(|member| variable_levels(&member.datatype)).max().unwrap_or(0)
        }
        _ => 0,
    }
}

fn has_gaps(datatype: &Datatype) -> bool {
    match datatype {
        Datatype::Compound(compound) => {
            let sum = compound.members.iter().fold(0u64, |sum, member| sum.saturating_add(member.datatype.size()));
            sum < compound.size.into() || compound.members.iter().any(|member| has_gaps(&member.datatype))
        }
        Datatype::Array(array) => has_gaps(&array.base),
        Datatype::Sequence(base) => has_gaps(base),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::datatype::{StringPadding, VariableString};
    use crate::model::name::CharacterSet;
    use proptest::prelude::*;

    fn string() -> Datatype {
        Datatype::VariableString(VariableString { padding: StringPadding::NullTerminated, charset: CharacterSet::Utf8 })
    }

    #[test]
    fn a_window_holds_the_largest_strings_a_store_accepts() {
        assert!(wanted_stride(&string(), 100) >= 100 * 1_000_016);
        assert_eq!(wanted_stride(&string(), u64::MAX), WINDOW_BYTES);
        let nested = Datatype::Sequence(Box::new(string()));
        // 200,000 strings of one byte are a stored value of a million bytes.
        assert!(wanted_stride(&nested, 1) >= 200_000 * (16 + 24) + 16);
    }

    #[test]
    fn a_window_holds_what_all_values_take_together() {
        // One value; and as many of a byte as lead to one another.
        assert!(stride_of_values(3_000_000) >= 3_000_000 + OBJECT_OVERHEAD);
        let many = 1_000_000;
        assert!(stride_of_values(many * (LEAST_LINK + 1)) >= many * (OBJECT_OVERHEAD + 1));
        assert_eq!(stride_of_values(u64::MAX), WINDOW_BYTES);
        assert_eq!(stride_of_values(0), PAGE);
    }

    proptest! {
        #[test]
        fn windows_keep_to_their_sum(wanted in prop::collection::vec((1u64..(1 << 48), 0u64..(1 << 40)), 1..9)) {
            let mut strides: Vec<_> = wanted.iter().map(|&(pages, count)| ((pages << 12).min(WINDOW_BYTES), count)).collect();
            fit(&mut strides);
            let sum: u128 = strides.iter().map(|&(stride, count)| u128::from(stride) * u128::from(count)).sum();
            prop_assert!(sum <= u128::from(WINDOW_BYTES));
            for (&(stride, _), (pages, _)) in strides.iter().zip(wanted) {
                prop_assert!(stride % PAGE == 0 && stride >= PAGE && stride <= (pages << 12).min(WINDOW_BYTES) + PAGE);
            }
        }
    }
}
