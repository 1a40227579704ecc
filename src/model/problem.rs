//! Problems: what of a file cannot be shown, and why.

use std::fmt;

use serde::Serialize;

use super::name::Name;

/// Bytes of a path that is shown, counted from its end: groups may be nested without bound, and a name may be as long as
/// its document.
pub const PATH_BYTES: usize = 1 << 10;

/// Something that is left out or shown otherwise than stored.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize)]
pub struct Problem {
    /// The object, link or attribute, as a path in the file (`/group/dataset`, `/dataset@attribute`).
    pub path: String,
    /// The key of the store's object that holds it.
    pub key: String,
    /// What is wrong and what was done about it, as a sentence.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (in {})", self.path, self.reason, self.key)
    }
}

/// The end of a path, with a mark where it is cut.
pub fn end_of_path(path: String) -> String {
    let Some(mut cut @ 1..) = path.len().checked_sub(PATH_BYTES) else { return path };
    while !path.is_char_boundary(cut) {
        cut += 1;
    }
    format!("…{}", &path[cut..])
}

/// The last [`PATH_BYTES`] of a name as text, from the first whole character on.
pub fn end_of_name(name: &Name) -> String {
    let bytes = name.as_bytes();
    let end = &bytes[bytes.len().saturating_sub(PATH_BYTES)..];
    // Bytes 0x80 to 0xbf go on with a character that began before the cut; there are at most three.
    let cut =
        if end.len() < bytes.len() { end.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count() } else { 0 };
    String::from_utf8_lossy(&end[cut..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_and_names_show_their_end() {
        assert_eq!(end_of_path("/a/b".into()), "/a/b");
        assert_eq!(end_of_name(&Name::from("b")), "b");
        // Two bytes each, cut in the middle of one.
        let long = "ü".repeat(600) + "x";
        let cut = end_of_path(long.clone());
        assert!(cut.starts_with("…ü") && cut.ends_with("üx") && cut.len() <= PATH_BYTES + "…".len(), "{}", cut.len());
        assert_eq!(end_of_name(&Name::from(long.as_str())), cut.trim_start_matches('…'));
    }
}
