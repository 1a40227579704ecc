//! What a reader will want next, from the chunks that it touched, in coordinates of the chunk grid. Pure: touches go in,
//! wishes come out.
//!
//! A selection is read in the order of an odometer: along one axis, then a step along another and the first axis anew.
//! A [`Stream`] is such an odometer, of which each wheel is learned when it first turns over. Several streams may take
//! turns on one grid. Nothing is wished for past the end of the grid or of a wheel, and never more than was used before,
//! so that a reader who stops early costs at most as much again as he has read.

use std::collections::{BTreeSet, VecDeque};

use crate::model::grid::{coordinates, number};

/// Streams that are followed on one grid: as many threads as share one handle of a file, and then some.
const STREAMS: usize = 16;
/// Touches that belong to no stream and may yet begin one. Between two of a stream there is one of each other stream.
const LONE: usize = 16;
/// Touches of a stream that it is not surprised by: the kernel asks for pieces of several chunks at a time, and not
/// always in order.
const RECENT: usize = 64;
/// So many touches in a row of no stream that was sure, and a reader reads here and there: two neighbours may be chance, as every
/// fourth of 200 in 512 is beside another. No fewer than streams that begin at the same time.
const SCATTERED: usize = 16;
/// First wishes of a stream. Four: with the two chunks that made it known, a series of ten costs three round trips.
const FIRST: usize = 4;
/// Chunks of an axis that is taken to be walked to its end by whoever walks on it: what is guessed too much is hardly more than
/// the first wishes. A year of half hours in chunks of two thousand has nine, and comes with what made it known.
const SHORT: u64 = 9;
/// Touches elsewhere after which a stream has ended, for each of its own: as many streams as there may be take their turns.
/// What was asked for it is not waited for any more.
const ENDED: u64 = 16;
/// And however long it was.
const LATEST: u64 = 256;

/// What is to be done after a touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Chunks to fetch, the most urgent first.
    pub ask: Vec<u64>,
    /// Chunks that were asked for and are not wanted any more.
    pub forget: Vec<u64>,
}

/// The touches of one reader on one grid.
#[derive(Debug)]
pub struct Pattern {
    /// Chunks along each axis.
    counts: Vec<u64>,
    streams: Vec<Stream>,
    lone: VecDeque<Vec<u64>>,
    touches: u64,
    /// The latest touches, all of no stream that was sure.
    strays: usize,
}

/// One wheel of the odometer.
#[derive(Clone, Debug)]
struct Wheel {
    axis: usize,
    step: i64,
    from: u64,
    /// Where it turns over; the slowest wheel has not done so yet.
    to: Option<u64>,
}

/// One selection that is being read.
#[derive(Debug)]
struct Stream {
    /// The fastest wheel first; never none.
    wheels: Vec<Wheel>,
    at: Vec<u64>,
    /// Chunks that were touched.
    run: usize,
    /// Chunks that have to be touched before it is acted on.
    needs: usize,
    /// Whether it was seen often enough to act on.
    sure: bool,
    recent: VecDeque<u64>,
    /// What was wished for and not touched yet.
    asked: BTreeSet<u64>,
    /// When it was last touched, in touches of the grid.
    used: u64,
}

impl Pattern {
    /// No touch yet, on a grid of `counts` chunks along each axis.
    pub fn new(counts: &[u64]) -> Pattern {
        Pattern { counts: counts.to_vec(), streams: Vec::new(), lone: VecDeque::new(), touches: 0, strays: 0 }
    }

    /// A reader touches chunk `number`, which lies in the grid. At most `room` chunks are to be under way at a time for a
    /// stream.
    pub fn touch(&mut self, number: u64, room: usize) -> Wishes {
        self.touches += 1;
        let now = self.touches;
        let mut wishes = Wishes::default();
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.recent.contains(&number)) {
            stream.used = now;
            return wishes;
        }
        let place = coordinates(&self.counts, number);
        if self.lone.back() == Some(&place) {
            return wishes;
        }
        let counts = &self.counts;
        let followed =
            self.streams.iter_mut().find_map(|stream| stream.follow(counts, number, &place).then_some(stream));
        self.strays = match &followed {
            Some(stream) if stream.sure => 0,
            _ => self.strays.saturating_add(1),
        };
        if let Some(stream) = followed {
            stream.used = now;
            wishes.ask = stream.wishes(counts, room);
        } else if let Some(mut stream) = self.begin(&place) {
            stream.used = now;
            wishes.ask = stream.wishes(&self.counts, room);
            self.streams.insert(0, stream);
        } else {
            self.lone.push_back(place);
            if self.lone.len() > LONE {
                self.lone.pop_front();
            }
        }
        self.end(now, &mut wishes.forget);
        wishes
    }

    /// Chunk `number` was wished for and is not fetched after all; it may be wished for again.
    pub fn refused(&mut self, number: u64) {
        for stream in &mut self.streams {
            stream.asked.remove(&number);
        }
    }

    /// Chunks that were wished for may be wished for again, but for those of which `coming` says that they are being fetched.
    pub fn doubt(&mut self, coming: impl Fn(u64) -> bool) {
        for stream in &mut self.streams {
            stream.asked.retain(|&number| coming(number));
        }
    }

    /// The stream that a lone touch and this one are of. Neighbours make one at once, if nothing came between; else a third touch
    /// has to confirm it, and a fourth where there were many of no stream, or some of two hundred random reads would look like
    /// scans.
    fn begin(&mut self, place: &[u64]) -> Option<Stream> {
        let latest = self.lone.len().checked_sub(1)?;
        for index in (0..=latest).rev() {
            let Some((axis, step)) = self.lone.get(index).and_then(|lone| single_step(lone, place)) else { continue };
            let neighbour = step.unsigned_abs() == 1;
            if !neighbour && index != latest {
                continue;
            }
            let first = self.lone.remove(index)?;
            let from = first.get(axis).copied()?;
            let needs = match self.strays <= SCATTERED {
                true if neighbour && index == latest => 2,
                true => 3,
                false => 4,
            };
            let recent = [&first[..], place].map(|place| number(&self.counts, place)).into_iter().collect();
            return Some(Stream {
                wheels: vec![Wheel { axis, step, from, to: None }],
                at: place.to_vec(),
                run: 2,
                needs,
                sure: needs <= 2,
                recent,
                asked: BTreeSet::new(),
                used: 0,
            });
        }
        None
    }

    /// Ends streams that are not read any more, or that there are too many of. A guess that was wrong leaves its last
    /// touch behind, which may begin another.
    fn end(&mut self, now: u64, forget: &mut Vec<u64>) {
        while let Some(index) = self.outlived(now) {
            let stream = self.streams.remove(index);
            forget.extend(stream.asked);
        }
        // Of guesses with a stride one at a time is followed, the latest.
        let mut guesses = 0;
        let lone = &mut self.lone;
        self.streams.retain(|stream| {
            let guess = !stream.sure && stream.wheels.iter().any(|wheel| wheel.step.unsigned_abs() != 1);
            guesses += usize::from(guess);
            let keep = !guess || guesses == 1 && stream.used + 1 >= now;
            if !keep {
                lone.push_front(stream.at.clone());
                lone.truncate(LONE);
            }
            keep
        });
    }

    fn outlived(&self, now: u64) -> Option<usize> {
        let patience = |stream: &Stream| match stream.sure {
            true => LATEST.min(ENDED.saturating_mul(stream.run as u64)),
            // As long as the touches are remembered that might have made it.
            false => LONE as u64,
        };
        let (index, oldest) =
            self.streams.iter().enumerate().min_by_key(|(_, stream)| stream.used + patience(stream))?;
        (self.streams.len() > STREAMS || oldest.used + patience(oldest) < now).then_some(index)
    }
}

impl Stream {
    /// Whether the touch is a next one of this stream, which then stands there.
    fn follow(&mut self, counts: &[u64], number: u64, place: &[u64]) -> bool {
        let mut at = self.at.clone();
        let mut passed = Vec::new();
        // Whoever leaps over more than was asked for is somebody else.
        let reach = self.asked.len().max(1);
        for _ in 0..reach {
            if !self.step(counts, &mut at) {
                break;
            }
            let reached = self::number(counts, &at);
            passed.push(reached);
            if reached == number {
                self.run += 1;
                self.sure |= self.run >= self.needs;
                self.at = at;
                for passed in passed {
                    self.asked.remove(&passed);
                    self.remember(passed);
                }
                return true;
            }
        }
        if self.turn(place) {
            self.run += 1;
            self.at = place.to_vec();
            self.asked.remove(&number);
            self.remember(number);
            return true;
        }
        false
    }

    fn remember(&mut self, number: u64) {
        self.recent.push_back(number);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Whether the slowest wheel turns over with this touch: all wheels stand where they began, and another axis has
    /// moved by one chunk. The axis becomes a wheel.
    fn turn(&mut self, place: &[u64]) -> bool {
        let mut first = self.at.clone();
        for wheel in &self.wheels {
            if let Some(coordinate) = first.get_mut(wheel.axis) {
                *coordinate = wheel.from;
            }
        }
        let Some((axis, step)) = single_step(&first, place) else { return false };
        if step.unsigned_abs() != 1 || self.wheels.iter().any(|wheel| wheel.axis == axis) {
            return false;
        }
        let (Some(last), Some(from)) = (self.wheels.last_mut(), first.get(axis)) else { return false };
        last.to = self.at.get(last.axis).copied();
        self.wheels.push(Wheel { axis, step, from: *from, to: None });
        self.sure = true;
        true
    }

    /// Moves `at` to what comes after it; `false` at the end.
    fn step(&self, counts: &[u64], at: &mut [u64]) -> bool {
        for wheel in &self.wheels {
            let (Some(coordinate), Some(count)) = (at.get_mut(wheel.axis), counts.get(wheel.axis)) else {
                return false;
            };
            if wheel.to == Some(*coordinate) {
                *coordinate = wheel.from;
                continue;
            }
            return match coordinate.checked_add_signed(wheel.step).filter(|next| next < count) {
                Some(next) => {
                    *coordinate = next;
                    true
                }
                None => false,
            };
        }
        false
    }

    /// Chunks that a stream begins with, of which nobody knows how long it is.
    fn first(&self, counts: &[u64]) -> usize {
        let axis = self.wheels.first().and_then(|wheel| counts.get(wheel.axis));
        match axis.filter(|&&count| count <= SHORT) {
            Some(count) => usize::try_from(*count).map_or(FIRST, |count| count.max(FIRST)),
            None => FIRST,
        }
    }

    /// What is to be asked for now: as many chunks ahead as were touched, from [`FIRST`] or a short axis up to `room`.
    fn wishes(&mut self, counts: &[u64], room: usize) -> Vec<u64> {
        let mut wishes = Vec::new();
        let ahead = self.run.max(self.first(counts)).min(room);
        // Some at a time: looking for them means going past those that were asked for.
        if !self.sure || self.asked.len() * 4 > ahead * 3 {
            return wishes;
        }
        let mut at = self.at.clone();
        for _ in 0..ahead {
            if !self.step(counts, &mut at) {
                break;
            }
            let next = number(counts, &at);
            if self.asked.insert(next) {
                wishes.push(next);
            }
        }
        wishes
    }
}

/// The axis along which two places differ, and by how much; `None` unless they differ along one only.
fn single_step(from: &[u64], to: &[u64]) -> Option<(usize, i64)> {
    let mut found = None;
    for (axis, (from, to)) in from.iter().zip(to).enumerate() {
        if from != to {
            let step = i64::try_from(i128::from(*to) - i128::from(*from)).ok()?;
            if found.replace((axis, step)).is_some() {
                return None;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
