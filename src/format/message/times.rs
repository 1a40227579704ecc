//! The modification time messages (IV.A.2.o, IV.A.2.s): when an object with an old header was last changed.

use crate::format::FormatError;
use crate::format::cursor::Cursor;

/// Type of the message in an object header.
pub const KIND: u8 = 0x12;
/// Type of the message as the oldest files have it, in letters.
pub const OLD_KIND: u8 = 0x0e;

/// Seconds since 1970.
pub fn decode(body: &mut Cursor<'_>) -> Result<u32, FormatError> {
    body.version(1..=1)?;
    body.skip(3)?;
    body.u32()
}

/// A time of the old form, `YYYYMMDDhhmmss`, as seconds since 1970; `None` where it is none.
pub fn decode_old(body: &mut Cursor<'_>) -> Result<Option<u32>, FormatError> {
    let text = body.take(14)?;
    let number = |from: usize, len: usize| {
        let digits = text.get(from..from + len)?;
        digits
            .iter()
            .try_fold(0i64, |value, &digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    };
    let parts = || Some([number(0, 4)?, number(4, 2)?, number(6, 2)?, number(8, 2)?, number(10, 2)?, number(12, 2)?]);
    let Some([year, month, day, hour, minute, second]) = parts() else { return Ok(None) };
    if !(1..=12).contains(&month) {
        return Ok(None);
    }
    // Days since 1970-03-01 in the proleptic calendar, counted with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Ok(u32::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::bytes::Sizes;

    #[test]
    fn old_times_are_seconds() {
        let seconds = |text: &[u8]| decode_old(&mut Cursor::new("time", text, 0, Sizes::EIGHT)).unwrap();
        assert_eq!(seconds(b"19700101000000"), Some(0));
        assert_eq!(seconds(b"20000229123456"), Some(951_827_696));
        assert_eq!(seconds(b"2000 229123456"), None);
    }
}
