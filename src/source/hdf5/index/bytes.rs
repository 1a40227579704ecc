//! Numbers, texts and lists as an index has them: written one after the other, read back with a limit on each.
//!
//! A number is written in groups of seven bits, the lowest first, the highest bit of a byte saying that another follows;
//! one that may be negative is folded first, so that small ones of either sign stay short.

/// What an index says that no file could have said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} (at byte {at})")]
pub struct Damaged {
    /// Where, in the bytes that are not packed.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Something that an index holds.
pub(super) trait Kept: Sized {
    fn write(&self, out: &mut Out);
    fn read(from: &mut In<'_>) -> Result<Self, Damaged>;
}

/// Bytes that are written.
#[derive(Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
}

impl Out {
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn number(&mut self, number: impl Into<u64>) {
        let mut rest: u64 = number.into();
        while rest > 0x7f {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }

    /// How far `to` lies from `from`, over the end of all numbers where that is nearer.
    pub(super) fn step(&mut self, from: u64, to: u64) {
        let step = to.wrapping_sub(from) as i64;
        self.number((step << 1 ^ step >> 63) as u64);
    }

    pub(super) fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn list<T: Kept>(&mut self, items: &[T]) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| item.write(self));
    }
}

/// Bytes that are read.
pub(super) struct In<'a> {
    rest: &'a [u8],
    len: usize,
    /// Bytes of memory that what is read may still take.
    room: u64,
    /// How deep things may still lie in one another.
    pub(super) depth: usize,
}

/// Items for which memory is taken before the first is read; more are believed once they are there.
const AT_ONCE: usize = 256;

impl<'a> In<'a> {
    /// Of `bytes`, things that take at most `room` bytes of memory and are nested at most `depth` deep.
    pub(super) fn new(bytes: &'a [u8], room: u64, depth: usize) -> Self {
        In { rest: bytes, len: bytes.len(), room, depth }
    }

    pub(super) fn damaged(&self, what: &'static str) -> Damaged {
        Damaged { at: self.len - self.rest.len(), what }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Counts what is about to be held.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), Damaged> {
        self.room = self.room.checked_sub(bytes).ok_or_else(|| self.damaged("more than may be held"))?;
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.damaged("it ends too soon"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        let taken = self.take(1)?;
        taken.first().copied().ok_or_else(|| self.damaged("it ends too soon"))
    }

    pub(super) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number of more than 64 bits"))
    }

    /// A number of fewer bits.
    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Damaged> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| self.damaged("a number that is too large"))
    }

    /// The number that lies a written step from `from`.
    pub(super) fn step(&mut self, from: u64) -> Result<u64, Damaged> {
        let folded = self.number()?;
        let step = (folded >> 1) ^ (folded & 1).wrapping_neg();
        Ok(from.wrapping_add(step))
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], Damaged> {
        let len = self.small()?;
        self.hold(len as u64)?;
        self.take(len)
    }

    pub(super) fn string(&mut self) -> Result<String, Damaged> {
        let text = self.text()?.to_vec();
        String::from_utf8(text).map_err(|_| self.damaged("a text that is none"))
    }

    /// How many of something follow, each of at least `least` bytes here and `each` in memory.
    pub(super) fn count(&mut self, least: usize, each: usize) -> Result<usize, Damaged> {
        let count: usize = self.small()?;
        if count > self.rest.len() / least.max(1) {
            return Err(self.damaged("more than there are bytes for"));
        }
        self.hold((count as u64).saturating_mul(each as u64))?;
        Ok(count)
    }

    pub(super) fn list<T: Kept>(&mut self) -> Result<Vec<T>, Damaged> {
        let count = self.count(1, size_of::<T>())?;
        let mut items = Vec::with_capacity(count.min(AT_ONCE));
        for _ in 0..count {
            items.push(T::read(self)?);
        }
        Ok(items)
    }

    /// What `read` reads, one level deeper.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Damaged>) -> Result<T, Damaged> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| self.damaged("it is nested too deeply"))?;
        let value = read(self)?;
        self.depth += 1;
        Ok(value)
    }
}

impl Kept for u64 {
    fn write(&self, out: &mut Out) {
        out.number(*self);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        from.number()
    }
}

impl Kept for u32 {
    fn write(&self, out: &mut Out) {
        out.number(*self);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        from.small()
    }
}

impl Kept for bool {
    fn write(&self, out: &mut Out) {
        out.byte((*self).into());
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.damaged("neither yes nor no")),
        }
    }
}

impl Kept for Vec<u8> {
    fn write(&self, out: &mut Out) {
        out.text(self);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(from.text()?.to_vec())
    }
}

impl<T: Kept> Kept for Option<T> {
    fn write(&self, out: &mut Out) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        if bool::read(from)? { T::read(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Kept> Kept for Box<T> {
    fn write(&self, out: &mut Out) {
        T::write(self, out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        from.hold(size_of::<T>() as u64)?;
        T::read(from).map(Box::new)
    }
}

/// Implements [`Kept`] for an enumeration of names alone, each by its number.
macro_rules! numbered {
    ($kind:ty: $($name:ident = $number:literal),+) => {
        impl Kept for $kind {
            fn write(&self, out: &mut Out) {
                out.byte(match self {
                    $(<$kind>::$name => $number,)+
                });
            }

            fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
                match from.byte()? {
                    $($number => Ok(<$kind>::$name),)+
                    _ => Err(from.damaged("a number that stands for nothing")),
                }
            }
        }
    };
}
pub(super) use numbered;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_steps_come_back(number: u64, from: u64, text: Vec<u8>) {
            let mut out = Out::default();
            out.number(number);
            out.step(from, number);
            out.text(&text);
            out.list(&[number, from]);
            let mut back = In::new(&out.bytes, 1 << 20, 1);
            prop_assert_eq!(back.number(), Ok(number));
            prop_assert_eq!(back.step(from), Ok(number));
            prop_assert_eq!(back.text(), Ok(&text[..]));
            prop_assert_eq!(back.list::<u64>(), Ok(vec![number, from]));
            prop_assert!(back.is_at_end());
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_held() {
        let read = |bytes: &[u8]| In::new(bytes, 100, 1).number();
        assert_eq!(read(&[0xff; 9]), Err(Damaged { at: 9, what: "it ends too soon" }));
        assert!(read(&[[0xff; 9].as_slice(), &[1]].concat()).is_ok_and(|number| number == u64::MAX));
        assert!(read(&[[0xff; 9].as_slice(), &[2]].concat()).is_err());
        // Six numbers of 8 bytes each have room, where 50 bytes are there.
        let listed =
            |count: u8| In::new(&[[count].as_slice(), &[0; 50]].concat(), 48, 1).list::<u64>().map(|list| list.len());
        assert_eq!(listed(6), Ok(6));
        assert!(listed(7).is_err() && listed(51).is_err());
        let mut flat = In::new(&[], 0, 1);
        assert!(flat.deeper(|deep| deep.deeper(|_| Ok(()))).is_err());
    }
}
