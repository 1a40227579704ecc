//! Extended attributes `user.h5mount.*`: what is known of a file beside its bytes.

use crate::namespace::{FileKind, GridTold, Node, Verb, Warmed};

/// What every name starts with.
pub(super) const PREFIX: &str = "user.h5mount.";

/// What names begin with that ask for something to be done with chunks: which these are follows.
const WISHES: [(&str, Verb); 4] = [
    ("user.h5mount.warm.", Verb::Warm),
    ("user.h5mount.pin.", Verb::Pin),
    ("user.h5mount.unpin.", Verb::Unpin),
    ("user.h5mount.held.", Verb::Held),
];
/// The chunk grid of the dataset whose path follows.
pub(super) const GRID: &str = "user.h5mount.grid.";
/// Paths of the datasets of a file.
pub(super) const DATASETS: &str = "user.h5mount.datasets";

/// Bytes of one value; the kernel's own limit (`XATTR_SIZE_MAX`).
const VALUE_BYTES: usize = 64 << 10;

/// Names of the facts that are shown; the rest is for `h5mount info`.
const FACTS: [&str; 8] = ["root", "owner", "acls", "dialect", "schema", "shown", "layout_version", "version"];

/// What an attribute is told from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// The path: nothing is read for it.
    Source,
    /// A fact of this name about the version that is current.
    Fact(&'static str),
    /// The problems of that version.
    Problems,
}

/// The attributes that `node` has. They follow from what it is, not from what is in it, so that listing the names of
/// attributes, as `ls -l` does for every file, reads nothing. One that has nothing to tell is empty.
pub(super) fn all_of(node: &Node) -> impl Iterator<Item = (&'static str, Told)> {
    let described = match node {
        Node::Folder(_) => false,
        Node::File(file) => *file.kind() == FileKind::Described,
    };
    let facts = FACTS.into_iter().map(|name| (name, Told::Fact(name)));
    let of_version = facts.chain([("problems", Told::Problems)]).filter(move |_| described);
    [("source", Told::Source)].into_iter().chain(of_version)
}

/// What the attribute of this name is told from; `None` where `node` has none of this name.
pub(super) fn find(node: &Node, name: &str) -> Option<Told> {
    let name = name.strip_prefix(PREFIX)?;
    all_of(node).find(|(known, _)| *known == name).map(|(_, told)| told)
}

/// Names, each ended by NUL, as listxattr wants them.
pub(super) fn names(node: &Node) -> Vec<u8> {
    all_of(node).flat_map(|(name, _)| PREFIX.bytes().chain(name.bytes()).chain([0])).collect()
}

/// What a name asks for, and of which chunks.
pub(super) fn wish(name: &str) -> Option<(Verb, &str)> {
    WISHES.iter().find_map(|(prefix, verb)| Some((*verb, name.strip_prefix(prefix)?)))
}

/// The value of a fact, or of the URL of a file or folder.
pub(super) fn text(value: &str) -> Vec<u8> {
    cut(value, VALUE_BYTES)
}

/// What became of a wish: a word and its value on each line.
pub(super) fn warmed(warmed: &Result<Warmed, String>) -> Vec<u8> {
    let Warmed { chunks, absent, failed, gone, unkept, bytes, reason } = match warmed {
        Ok(warmed) => warmed,
        Err(error) => return lines([format!("error {error}")]),
    };
    let mut told = vec![
        format!("chunks {chunks}"),
        format!("absent {absent}"),
        format!("failed {failed}"),
        format!("bytes {bytes}"),
    ];
    told.extend((*gone > 0).then(|| format!("gone {gone}")));
    told.extend((*unkept > 0).then(|| format!("unkept {unkept}")));
    told.extend(reason.as_ref().map(|reason| format!("reason {}", reason.replace('\n', " "))));
    lines(told)
}

/// The chunks of a dataset: a word and its value on each line.
pub(super) fn grid(grid: &GridTold) -> Vec<u8> {
    let list = |extents: &[u64]| extents.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let mut told = vec![format!("shape {}", list(&grid.shape)), format!("chunk {}", list(&grid.chunk))];
    told.extend(grid.chunk_bytes.map(|bytes| format!("chunk_bytes {bytes}")));
    lines(told)
}

/// The value of a list, a line each.
pub(super) fn lines(list: impl IntoIterator<Item = impl ToString>) -> Vec<u8> {
    fit(&list.into_iter().map(|line| line.to_string()).collect::<Vec<_>>())
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
    use crate::namespace::{Namespace, NodeId};

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
        let folder = Node::Folder(Namespace::folder_for_tests(NodeId(1), "home"));
        assert_eq!(names(&folder), b"user.h5mount.source\0");
        assert_eq!(find(&folder, "user.h5mount.source"), Some(Told::Source));
        assert_eq!(find(&folder, "user.h5mount.problems"), None);
        assert_eq!(find(&folder, "security.selinux"), None);
    }
}
