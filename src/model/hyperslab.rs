//! Hyperslabs: regular parts of an array, as people type them (`[0:10, ::2, -1]`), and the chunks they touch.
//!
//! The notation is Python's, as h5py takes it: an index or `start:stop:step` for each dimension, negative numbers from
//! the end, `...` for all dimensions not named. Steps are positive.

use super::grid::Grid;

/// Positions at regular distances along one dimension.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Run {
    /// First position.
    pub start: u64,
    /// Distance of neighbours, at least 1.
    pub step: u64,
    /// How many; may be 0.
    pub count: u64,
}

impl Run {
    /// All positions of a dimension.
    pub fn all(extent: u64) -> Run {
        Run { start: 0, step: 1, count: extent }
    }

    /// The last position; `None` where there is none.
    pub fn last(&self) -> Option<u64> {
        let steps = self.count.checked_sub(1)?;
        self.start.checked_add(steps.checked_mul(self.step)?)
    }

    /// How many chunks of `extent` elements it touches.
    fn chunks(&self, extent: u64) -> u64 {
        match self.last() {
            None => 0,
            Some(_) if self.step >= extent => self.count,
            Some(last) => last / extent - self.start / extent + 1,
        }
    }

    /// The chunk that position number `at` lies in, and the number of the first position past that chunk.
    fn chunk(&self, at: u64, extent: u64) -> (u64, u64) {
        let chunk = (self.start + at * self.step) / extent;
        let steps = match (chunk + 1).checked_mul(extent) {
            Some(end) => (end - self.start).div_ceil(self.step),
            None => self.count,
        };
        (chunk, steps.min(self.count))
    }
}

/// A regular part of an array: one run a dimension.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Hyperslab {
    runs: Vec<Run>,
}

/// Why a text names no part of an array. Positions are bytes of the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HyperslabError {
    /// Not of the notation.
    #[error("at character {at}: {reason}; write for example [0:10, ::2] or [..., -1]")]
    Syntax {
        /// Where.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// More dimensions than the array has.
    #[error("it names more dimensions ({given}) than the dataset has ({rank})")]
    Rank {
        /// Dimensions named.
        given: usize,
        /// Dimensions of the array.
        rank: usize,
    },
    /// An index past the end.
    #[error("index {index} is outside dimension {dimension}, which has {extent} elements")]
    Outside {
        /// The index, as written.
        index: i64,
        /// The dimension, counted from 0.
        dimension: usize,
        /// Its extent.
        extent: u64,
    },
}

/// What stands between two commas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Term {
    Index(i64),
    Slice { start: Option<i64>, stop: Option<i64>, step: Option<i64>, at: usize },
    Rest,
}

/// What is in brackets at the end of `text`, brackets included, and what stands before: a path and a part of what it leads
/// to. Nothing is in brackets where none end the text.
pub fn split(text: &str) -> (&str, &str) {
    match text.rfind('[') {
        Some(at) if text.trim_end().ends_with(']') => text.split_at(at),
        _ => (text, ""),
    }
}

impl Hyperslab {
    /// The whole array.
    pub fn all(dims: &[u64]) -> Hyperslab {
        Hyperslab { runs: dims.iter().map(|&extent| Run::all(extent)).collect() }
    }

    /// The part of an array of extents `dims` that `text` names. The brackets around it may be left out; nothing between
    /// them, or `()`, is the whole array.
    pub fn parse(text: &str, dims: &[u64]) -> Result<Hyperslab, HyperslabError> {
        let terms = terms(text)?;
        let named = terms.iter().filter(|(term, _)| *term != Term::Rest).count();
        if named > dims.len() {
            return Err(HyperslabError::Rank { given: named, rank: dims.len() });
        }
        let mut runs = Vec::with_capacity(dims.len());
        let mut rest = dims.len() - named;
        for (term, at) in terms {
            match term {
                Term::Rest if rest == usize::MAX => {
                    return Err(HyperslabError::Syntax { at, reason: "a second `...`" });
                }
                Term::Rest => {
                    runs.extend(dims.iter().skip(runs.len()).take(rest).map(|&extent| Run::all(extent)));
                    rest = usize::MAX;
                }
                term => {
                    let dimension = runs.len();
                    let extent = dims.get(dimension).copied().unwrap_or(0);
                    runs.push(run(term, dimension, extent)?);
                }
            }
        }
        runs.extend(dims.iter().skip(runs.len()).map(|&extent| Run::all(extent)));
        Ok(Hyperslab { runs })
    }

    /// One run a dimension.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Number of elements; `None` past `u64`.
    pub fn elements(&self) -> Option<u64> {
        if self.runs.iter().any(|run| run.count == 0) {
            return Some(0);
        }
        self.runs.iter().try_fold(1u64, |product, run| product.checked_mul(run.count))
    }

    /// Number of chunks of `grid` that hold any of it; `None` past `u64`, or where the ranks differ.
    pub fn chunk_count(&self, grid: &Grid) -> Option<u64> {
        if grid.chunk().len() != self.runs.len() {
            return None;
        }
        let counts = self.runs.iter().zip(grid.chunk()).map(|(run, &extent)| run.chunks(extent));
        if counts.clone().any(|count| count == 0) {
            return Some(0);
        }
        counts.into_iter().try_fold(1u64, |product, count| product.checked_mul(count))
    }

    /// The chunks of `grid` that hold any of it, in C order. Nothing where the ranks differ.
    pub fn chunks<'a>(&'a self, grid: &'a Grid) -> Touched<'a> {
        let fits = grid.chunk().len() == self.runs.len() && self.runs.iter().all(|run| run.count > 0);
        Touched { runs: &self.runs, extents: grid.chunk(), at: fits.then(|| vec![0; self.runs.len()]) }
    }
}

impl std::fmt::Display for Hyperslab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[")?;
        for (number, run) in self.runs.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let stop = run.last().map_or(run.start, |last| last.saturating_add(1));
            match run {
                Run { count: 1, start, .. } => write!(f, "{comma}{start}")?,
                Run { step: 1, start, .. } => write!(f, "{comma}{start}:{stop}")?,
                Run { start, step, .. } => write!(f, "{comma}{start}:{stop}:{step}")?,
            }
        }
        write!(f, "]")
    }
}

/// A chunk that a hyperslab touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TouchedChunk {
    /// Its coordinates, in chunks.
    pub coordinates: Vec<u64>,
    /// Elements of the hyperslab in it; saturates.
    pub elements: u64,
}

/// The chunks that a hyperslab touches, found one by one.
#[derive(Clone, Debug)]
pub struct Touched<'a> {
    runs: &'a [Run],
    extents: &'a [u64],
    /// For each dimension the number of the first position in the next chunk; `None` at the end.
    at: Option<Vec<u64>>,
}

impl Iterator for Touched<'_> {
    type Item = TouchedChunk;

    fn next(&mut self) -> Option<TouchedChunk> {
        let at = self.at.as_mut()?;
        let mut coordinates = Vec::with_capacity(at.len());
        let (mut ends, mut elements) = (Vec::with_capacity(at.len()), 1u64);
        for ((run, &extent), &at) in self.runs.iter().zip(self.extents).zip(at.iter()) {
            let (chunk, end) = run.chunk(at, extent);
            coordinates.push(chunk);
            elements = elements.saturating_mul(end - at);
            ends.push(end);
        }
        // The last dimension moves on; one that has come to its end starts anew and moves the one before.
        let mut moved = false;
        for ((place, end), run) in at.iter_mut().zip(&ends).zip(self.runs).rev() {
            if *end < run.count {
                *place = *end;
                moved = true;
                break;
            }
            *place = 0;
        }
        if !moved {
            self.at = None;
        }
        Some(TouchedChunk { coordinates, elements })
    }
}

/// The run that a term means along a dimension of `extent` elements.
fn run(term: Term, dimension: usize, extent: u64) -> Result<Run, HyperslabError> {
    // From the end where negative; all of it within 65 bits.
    let place = |index: i64| if index < 0 { i128::from(extent) + i128::from(index) } else { i128::from(index) };
    match term {
        Term::Index(index) => match u64::try_from(place(index)) {
            Ok(start) if start < extent => Ok(Run { start, step: 1, count: 1 }),
            _ => Err(HyperslabError::Outside { index, dimension, extent }),
        },
        Term::Slice { start, stop, step, at } => {
            let clipped = |index: Option<i64>, default: u64| match index {
                None => default,
                Some(index) => u64::try_from(place(index).max(0)).unwrap_or(u64::MAX).min(extent),
            };
            let step = match step {
                None => 1,
                Some(step) => u64::try_from(step)
                    .ok()
                    .filter(|&step| step > 0)
                    .ok_or(HyperslabError::Syntax { at, reason: "the step must be 1 or more" })?,
            };
            let (start, stop) = (clipped(start, 0), clipped(stop, extent));
            Ok(Run { start, step, count: stop.saturating_sub(start).div_ceil(step) })
        }
        Term::Rest => Ok(Run::all(extent)),
    }
}

/// The terms of a text, each with its position.
fn terms(text: &str) -> Result<Vec<(Term, usize)>, HyperslabError> {
    let trimmed = text.trim();
    let mut base = text.len() - text.trim_start().len();
    let inner = match (trimmed.strip_prefix('['), trimmed.ends_with(']')) {
        (Some(inner), true) => {
            base += 1;
            inner.strip_suffix(']').unwrap_or(inner)
        }
        (None, false) => trimmed,
        (Some(_), false) => return Err(HyperslabError::Syntax { at: base + trimmed.len(), reason: "`]` is missing" }),
        (None, true) => return Err(HyperslabError::Syntax { at: base, reason: "`[` is missing" }),
    };
    if matches!(inner.trim(), "" | "()") {
        return Ok(Vec::new());
    }
    let mut terms = Vec::new();
    let mut pieces = inner.split(',').peekable();
    while let Some(piece) = pieces.next() {
        // Python lets a tuple end with a comma.
        if piece.trim().is_empty() && pieces.peek().is_none() && !terms.is_empty() {
            break;
        }
        terms.push((term(piece, base)?, base));
        base += piece.len() + 1;
    }
    Ok(terms)
}

fn term(piece: &str, at: usize) -> Result<Term, HyperslabError> {
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error: std::num::ParseIntError| {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let large = matches!(error.kind(), PosOverflow | NegOverflow);
            let reason = if large { "a number past 2^63" } else { "no whole number, and no slice" };
            HyperslabError::Syntax { at, reason }
        }),
    };
    if piece.trim() == "..." {
        return Ok(Term::Rest);
    }
    let mut parts = piece.split(':');
    let first = number(parts.next().unwrap_or_default())?;
    let Some(second) = parts.next() else {
        return first.map(Term::Index).ok_or(HyperslabError::Syntax { at, reason: "nothing between the commas" });
    };
    let (stop, step) = (number(second)?, number(parts.next().unwrap_or_default())?);
    match parts.next() {
        None => Ok(Term::Slice { start: first, stop, step, at }),
        Some(_) => Err(HyperslabError::Syntax { at, reason: "more than two colons" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn run(start: u64, step: u64, count: u64) -> Run {
        Run { start, step, count }
    }

    #[test]
    fn the_notation_is_pythons() {
        let dims = [10, 20, 30];
        let parse = |text| Hyperslab::parse(text, &dims).map(|slab| slab.runs);
        assert_eq!(parse("[0:10, ::2]").unwrap(), [run(0, 1, 10), run(0, 2, 10), run(0, 1, 30)]);
        assert_eq!(parse("[..., -1]").unwrap(), [run(0, 1, 10), run(0, 1, 20), run(29, 1, 1)]);
        assert_eq!(parse(" [3,...,5:2] ").unwrap(), [run(3, 1, 1), run(0, 1, 20), run(5, 1, 0)]);
        assert_eq!(parse("-3:,1:-1:7,").unwrap(), [run(7, 1, 3), run(1, 7, 3), run(0, 1, 30)]);
        assert_eq!(parse("[:100, 5, 40:]").unwrap(), [run(0, 1, 10), run(5, 1, 1), run(30, 1, 0)]);
        for all in ["", "[]", "[()]", "[...]", "[:]", "[:,:,:]"] {
            assert_eq!(parse(all).unwrap(), Hyperslab::all(&dims).runs, "{all}");
        }
        assert_eq!(Hyperslab::parse("[()]", &[]).unwrap().elements(), Some(1));
    }

    #[test]
    fn what_names_no_part_is_refused_with_its_place() {
        let parse = |text| Hyperslab::parse(text, &[10, 20]).unwrap_err();
        for (text, place) in
            [("[1,,2]", 3), ("[1, x]", 3), ("[1:2:3:4]", 1), ("[..., ...]", 5), ("[1", 2), ("[::0]", 1)]
        {
            assert!(matches!(parse(text), HyperslabError::Syntax { at, .. } if at == place), "{text}: {}", parse(text));
        }
        assert!(matches!(parse("1]"), HyperslabError::Syntax { at: 0, .. }));
        assert!(matches!(parse("[::-1]"), HyperslabError::Syntax { .. }));
        assert_eq!(parse("[1,2,3]"), HyperslabError::Rank { given: 3, rank: 2 });
        assert_eq!(parse("[0,20]"), HyperslabError::Outside { index: 20, dimension: 1, extent: 20 });
        assert_eq!(parse("[-11]"), HyperslabError::Outside { index: -11, dimension: 0, extent: 10 });
    }

    #[test]
    fn a_billion_chunks_are_counted_without_walking_over_them() {
        let grid = Grid::new(&[1 << 40, 1 << 40], &[1 << 10, 1 << 20]).unwrap();
        let all = Hyperslab::all(grid.dims());
        assert_eq!(all.chunk_count(&grid), Some(1 << 50));
        let first = all.chunks(&grid).next().unwrap();
        assert_eq!(first, TouchedChunk { coordinates: vec![0, 0], elements: 1 << 30 });
    }

    fn text() -> impl Strategy<Value = String> {
        let number = prop_oneof![Just(String::new()), (-30i64..30).prop_map(|number| number.to_string())];
        let slice =
            (number.clone(), number, prop_oneof![Just(String::new()), (1u8..9).prop_map(|step| format!(":{step}"))])
                .prop_map(|(start, stop, step)| format!("{start}:{stop}{step}"));
        let term =
            prop_oneof![3 => slice, 1 => (-30i64..30).prop_map(|index| index.to_string()), 1 => Just("...".into())];
        prop::collection::vec(term, 0..4).prop_map(|terms| format!("[{}]", terms.join(", ")))
    }

    proptest! {
        /// Every element of the slab lies in exactly one of the chunks found, and those are found in C order.
        #[test]
        fn chunks_are_those_of_the_elements(
            shape in prop::collection::vec((0u64..25, 1u64..9), 0..4), text in text(),
        ) {
            let (dims, extents): (Vec<u64>, Vec<u64>) = shape.into_iter().unzip();
            let grid = Grid::new(&dims, &extents).unwrap();
            let Ok(slab) = Hyperslab::parse(&text, &dims) else { return Ok(()) };
            let mut points = vec![Vec::new()];
            for run in slab.runs() {
                prop_assert!(run.last().is_none_or(|last| last < dims[points[0].len()]));
                let positions: Vec<u64> = (0..run.count).map(|n| run.start + n * run.step).collect();
                points = points
                    .iter()
                    .flat_map(|point| positions.iter().map(move |&at| [point.as_slice(), &[at]].concat()))
                    .collect();
                if points.is_empty() {
                    break;
                }
            }
            let mut expected = BTreeMap::<Vec<u64>, u64>::new();
            for point in &points {
                *expected.entry(point.iter().zip(&extents).map(|(at, extent)| at / extent).collect()).or_default() += 1;
            }
            let found: Vec<(Vec<u64>, u64)> =
                slab.chunks(&grid).map(|chunk| (chunk.coordinates, chunk.elements)).collect();
            prop_assert_eq!(slab.elements(), Some(points.len() as u64));
            prop_assert_eq!(slab.chunk_count(&grid), Some(found.len() as u64));
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            // Written out and read again it is the same part.
            let again = Hyperslab::parse(&slab.to_string(), &dims).unwrap();
            prop_assert_eq!(again.elements(), slab.elements());
            prop_assert!(again.chunks(&grid).eq(slab.chunks(&grid)));
        }

        #[test]
        fn any_text_is_a_part_or_an_error(text in ".{0,40}", dims in prop::collection::vec(any::<u64>(), 0..5)) {
            if let Ok(slab) = Hyperslab::parse(&text, &dims) {
                prop_assert_eq!(slab.runs().len(), dims.len());
            }
        }
    }
}
