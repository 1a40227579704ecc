//! Chunks by number to names of extended attributes that ask for them: a few hundred in each name, found one by one, so
//! that a dataset of a hundred million chunks takes no more memory than one of ten.

use std::iter::Peekable;

/// Chunks of one question: a few seconds of work, after which progress shows.
const AT_ONCE: u64 = 256;
/// Bytes of an attribute's name, at most (`XATTR_NAME_MAX`).
const NAME_BYTES: usize = 255;

/// Names of attributes that ask for chunks, each with how many it is about.
pub struct Questions<I: Iterator<Item = u64>> {
    /// What every name begins with.
    begin: String,
    numbers: Peekable<I>,
    /// Neighbours that did not fit into the name before.
    left: Option<(u64, u64)>,
}

impl<I: Iterator<Item = u64>> Questions<I> {
    /// Those that ask to do what `verb` says with chunks of the dataset at `path`; `numbers` ascend.
    pub fn new(verb: &str, path: &str, numbers: I) -> Questions<I> {
        Questions { begin: format!("user.h5mount.{verb}.{path}#"), numbers: numbers.peekable(), left: None }
    }

    /// The next chunks that follow each other without a gap: first and last.
    fn run(&mut self) -> Option<(u64, u64)> {
        if let Some(left) = self.left.take() {
            return Some(left);
        }
        let first = self.numbers.next()?;
        let mut last = first;
        while last - first + 1 < AT_ONCE && self.numbers.next_if(|next| *next == last + 1).is_some() {
            last += 1;
        }
        Some((first, last))
    }
}

impl<I: Iterator<Item = u64>> Iterator for Questions<I> {
    type Item = (String, u64);

    fn next(&mut self) -> Option<(String, u64)> {
        let (mut name, mut count) = (self.begin.clone(), 0);
        while let Some((first, last)) = self.run() {
            let term = if first == last { first.to_string() } else { format!("{first}-{last}") };
            if count > 0 && (name.len() + 1 + term.len() > NAME_BYTES || count >= AT_ONCE) {
                self.left = Some((first, last));
                break;
            }
            if count > 0 {
                name.push(',');
            }
            name.push_str(&term);
            count += last - first + 1;
        }
        (count > 0).then_some((name, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_fit_into_a_name_and_hold_every_chunk_once() {
        let far = (0..3000u64).map(|n| n * 977);
        let pairs = (0..3000u64).flat_map(|n| [n * 5, n * 5 + 1]);
        for chunks in [vec![], vec![5], (0..1000).collect(), far.collect(), pairs.collect()] {
            let chunks: Vec<u64> = chunks;
            let (mut seen, mut counted) = (Vec::new(), 0);
            for (name, count) in Questions::new("warm", "/a/b", chunks.iter().copied()) {
                assert!(name.len() <= NAME_BYTES && count < 2 * AT_ONCE, "{name}");
                let list = name.strip_prefix("user.h5mount.warm./a/b#").unwrap();
                for term in list.split(',') {
                    let (first, last) = term.split_once('-').unwrap_or((term, term));
                    seen.extend(first.parse::<u64>().unwrap()..=last.parse().unwrap());
                }
                counted += count;
            }
            assert_eq!((&seen, counted), (&chunks, chunks.len() as u64));
        }
    }

    #[test]
    fn no_more_numbers_are_found_than_a_question_takes() {
        let mut found = 0;
        let numbers = (0..u64::MAX).inspect(|_| found += 1);
        let (name, count) = Questions::new("held", "/x", numbers).next().unwrap();
        assert_eq!((name.as_str(), count), ("user.h5mount.held./x#0-255", 256));
        assert!(found <= 2 * AT_ONCE + 1, "{found}");
    }
}
