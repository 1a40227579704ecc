//! BloscLZ: runs of bytes, and copies of what came before, most often three bytes long or more.
//!
//! A byte below 32 is followed by one more literal bytes than it says. Any other holds in its upper three bits two less
//! than the length of a copy, less another one (7: the next bytes add to it, up to one below 255), and in its lower five
//! the upper bits of how far back, less one, it begins; the next byte has the lower eight. Where all thirteen bits are
//! set, two bytes more say how much farther back it is.

/// Control bytes below this lead to literal bytes.
const COPY: usize = 32;
/// The farthest that thirteen bits say.
const FAR: usize = 8191;

/// Plain bytes into `plain`; how many there were, or nothing where the bytes mean none.
pub(super) fn decode(packed: &[u8], plain: &mut [u8]) -> Option<usize> {
    let (mut at, mut made) = (0, 0);
    let byte = |at: &mut usize| {
        let byte = packed.get(*at).copied();
        *at += 1;
        byte.map(usize::from)
    };
    // What comes first is literal, whatever its upper bits say.
    let mut control = byte(&mut at)? & 0x1f;
    loop {
        if control < COPY {
            let length = control + 1;
            let literal = packed.get(at..at.checked_add(length)?)?;
            plain.get_mut(made..made + length)?.copy_from_slice(literal);
            (at, made) = (at + length, made + length);
            if at >= packed.len() {
                return Some(made);
            }
            control = byte(&mut at)?;
            continue;
        }
        let (mut length, high) = ((control >> 5) - 1, (control & 0x1f) << 8);
        if length == 6 {
            loop {
                let more = byte(&mut at)?;
                length += more;
                if more < 255 {
                    break;
                }
                if length > plain.len() {
                    return None;
                }
            }
        }
        let low = byte(&mut at)?;
        let mut back = high + low + 1;
        if back == FAR + 1 {
            back += byte(&mut at)? << 8;
            back += byte(&mut at)?;
        }
        length += 3;
        let end = made.checked_add(length).filter(|&end| end <= plain.len())?;
        let start = made.checked_sub(back)?;
        // The last bytes of all are literal.
        if at >= packed.len() {
            return Some(made);
        }
        // A copy may overlap what it makes.
        for (from, to) in (start..).zip(made..end) {
            let byte = *plain.get(from)?;
            *plain.get_mut(to)? = byte;
        }
        made = end;
        control = byte(&mut at)?;
    }
}
