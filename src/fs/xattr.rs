//! Extended attributes `user.h5mount.*`: what is known of a file beside its bytes.

use std::collections::BTreeMap;

use crate::namespace::{NamespaceError, Version};

/// What every name starts with.
pub(super) const PREFIX: &str = "user.h5mount.";

/// Bytes of one value; the kernel's own limit (`XATTR_SIZE_MAX`).
const VALUE_BYTES: usize = 64 << 10;

/// Names of the facts that are shown; the rest is for `h5mount info`.
const FACTS: [&str; 7] = ["root", "owner", "acls", "dialect", "schema", "layout_version", "version"];

/// All of a file, by name.
pub(super) fn of_version(source: &str, version: &Version) -> BTreeMap<String, Vec<u8>> {
    let mut all = of_folder(&format!("{source}/{}", version.path()));
    for name in FACTS {
        if let Some(value) = version.facts().get(name) {
            all.insert(format!("{PREFIX}{name}"), cut(value, VALUE_BYTES));
        }
    }
    if !version.problems().is_empty() {
        let lines: Vec<String> = version.problems().iter().map(ToString::to_string).collect();
        all.insert(format!("{PREFIX}problems"), fit(&lines));
    }
    all
}

/// All of a file that cannot be opened: why.
pub(super) fn of_broken(source: &str, path: &str, error: &NamespaceError) -> BTreeMap<String, Vec<u8>> {
    let mut all = of_folder(&format!("{source}/{path}"));
    all.insert(format!("{PREFIX}problems"), fit(&[error.to_string()]));
    all
}

/// All of a folder.
pub(super) fn of_folder(url: &str) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([(format!("{PREFIX}source"), cut(url.trim_end_matches('/'), VALUE_BYTES))])
}

/// Names, each ended by NUL, as listxattr wants them.
pub(super) fn names(all: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    all.keys().flat_map(|name| name.bytes().chain([0])).collect()
}

/// The text, or as much of it as fits into `room` bytes and a mark that it goes on.
fn cut(text: &str, room: usize) -> Vec<u8> {
    const MORE: &str = "…";
    if text.len() <= room {
        return text.as_bytes().to_vec();
    }
    let most = room.saturating_sub(MORE.len());
    let kept = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    [text.get(..kept).unwrap_or_default().as_bytes(), MORE.as_bytes()].concat()
}

/// As many lines as fit into one value, and how many did not.
fn fit(lines: &[String]) -> Vec<u8> {
    /// Room for the line that tells how many are missing.
    const REST: usize = 64;
    let mut value = Vec::new();
    for (position, line) in lines.iter().enumerate() {
        let line = cut(line, VALUE_BYTES - REST - 1);
        if value.len() + line.len() + 1 + REST > VALUE_BYTES {
            value.extend_from_slice(format!("… and {} more", lines.len() - position).as_bytes());
            return value;
        }
        if position > 0 {
            value.push(b'\n');
        }
        value.extend_from_slice(&line);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_problems_ends_with_their_number() {
        let lines = vec!["x".repeat(1000); 100];
        let value = fit(&lines);
        assert!(value.len() <= VALUE_BYTES);
        let text = String::from_utf8(value).unwrap();
        assert!(text.ends_with("… and 35 more"), "{}", &text[text.len() - 30..]);
        assert_eq!(fit(&["one".into(), "two".into()]), b"one\ntwo");
    }

    #[test]
    fn no_value_is_longer_than_the_kernel_takes() {
        let long = "é".repeat(VALUE_BYTES);
        for value in
            [cut(&long, VALUE_BYTES), cut(&format!("x{long}"), VALUE_BYTES), fit(&[long.clone(), long.clone()])]
        {
            assert!(value.len() <= VALUE_BYTES && value.len() > VALUE_BYTES - 100);
            assert!(String::from_utf8(value).unwrap().contains('…'));
        }
        assert_eq!(cut("é", 2), "é".as_bytes());
    }

    #[test]
    fn names_end_with_a_zero_byte() {
        let all = of_folder("file:///store/home/");
        assert_eq!(names(&all), b"user.h5mount.source\0");
        assert_eq!(all["user.h5mount.source"], b"file:///store/home");
    }
}
