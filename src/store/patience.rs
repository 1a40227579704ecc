//! Patience: how long what looks half written is read again, where a store lets readers see half of a write.
//!
//! HSDS writes the files of a directory tree in place, so a reader beside it may meet an empty, short or half new
//! object. `source` (documents) and `fetch` (chunks) both wait for it by this one rule. Where the store promises whole
//! objects (`Capabilities::atomic_put`) nothing is ever torn, and only what may follow is waited for. But what a service
//! sends may be broken on its way, so that no single answer decides that an object is.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Store;

/// Pauses before an object that one answer of a service made look broken is asked for again. Twice: a third answer that
/// was damaged as well would be no accident. Short, since no writer is waited for: only so long that the answers do not
/// come from one and the same state of a proxy.
const DOUBTED: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(50)];

/// What is waited for, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Pauses before a torn object is read again; their sum is all that one question waits, however many objects it
    /// reads.
    pub pauses: Vec<Duration>,
    /// An object written less than this ago may still be being written, and what it names may follow.
    pub young: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            // A second in all: an object is written in well under that. Short pauses first, since most are.
            pauses: [50, 100, 200, 300, 350].map(Duration::from_millis).to_vec(),
            // Longer than any write takes and than clocks of file servers differ.
            young: Duration::from_secs(10),
        }
    }
}

impl Patience {
    /// Whether an object last written then may still be being written. Clocks of file servers differ, so a time in the
    /// near future counts as now.
    pub fn is_young(&self, modified: SystemTime) -> bool {
        let now = SystemTime::now();
        let apart = now.duration_since(modified).or_else(|_| modified.duration_since(now));
        apart.unwrap_or(Duration::MAX) < self.young
    }

    /// The patience of one question to `store`, to be shared by all that is read for it.
    pub fn for_question(&self, store: &Store) -> Waiting {
        let total = self.pauses.iter().sum();
        let capabilities = store.capabilities();
        let (torn, sent) = (!capabilities.atomic_put, !capabilities.directories);
        Waiting { pauses: self.pauses.clone(), total, begun: OnceLock::new(), torn, sent }
    }
}

/// What is left of the patience of one question.
#[derive(Debug)]
pub struct Waiting {
    pauses: Vec<Duration>,
    total: Duration,
    /// When the first pause began: all pauses of the question lie within `total` from then on.
    begun: OnceLock<Instant>,
    /// Whether anything can be torn there.
    torn: bool,
    /// Whether answers come from a service, over a network.
    sent: bool,
}

impl Waiting {
    /// Waits before try number `again` (0 is the first repetition) of an object that looks torn. `false`, at once,
    /// where nothing is left to wait, or nothing can be torn.
    pub async fn pause(&self, again: usize) -> bool {
        match self.pauses.get(again) {
            Some(pause) if self.torn => self.wait(*pause).await,
            _ => false,
        }
    }

    /// Waits before try number `again` (0 is the first repetition) of an object that looks broken, whatever the store
    /// promises of its writers. `false`, at once, where it was asked for often enough, or nothing lies in between.
    pub async fn doubt(&self, again: usize) -> bool {
        match DOUBTED.get(again) {
            Some(pause) if self.sent => {
                // Part of the question's time, but no part that may run out: it is the number of answers that counts.
                self.begun.get_or_init(Instant::now);
                tokio::time::sleep(*pause).await;
                true
            }
            _ => false,
        }
    }

    /// Waits once, for as long as the longest pause, for an object that is named and not there: it may follow.
    pub async fn pause_for_more(&self) -> bool {
        match self.pauses.iter().max() {
            Some(pause) => self.wait(*pause).await,
            None => false,
        }
    }

    async fn wait(&self, pause: Duration) -> bool {
        let left = self.total.saturating_sub(self.begun.get_or_init(Instant::now).elapsed());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(left.min(pause)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    #[tokio::test(start_paused = true)]
    async fn all_pauses_of_a_question_take_a_second_in_all() {
        let memory = Memory::new(Duration::ZERO);
        memory.set_in_place();
        let waiting = Patience::default().for_question(&memory.store());
        let begun = Instant::now();
        let one = async {
            let mut again = 0;
            while waiting.pause(again).await {
                again += 1;
            }
            again
        };
        assert_eq!(one.await, 5);
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        assert!(!waiting.pause(0).await && !waiting.pause_for_more().await);
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_put_as_a_whole_is_not_waited_for() {
        let waiting = Patience::default().for_question(&Memory::new(Duration::ZERO).store());
        assert!(!waiting.pause(0).await && waiting.pause_for_more().await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_service_sent_is_doubted_twice_and_what_a_disk_gave_never() {
        let waiting = Patience::default().for_question(&Memory::new(Duration::ZERO).store());
        let begun = Instant::now();
        assert!(waiting.doubt(0).await && waiting.doubt(1).await && !waiting.doubt(2).await);
        assert!(begun.elapsed() < Duration::from_millis(100));
        let directory = tempfile::tempdir().unwrap();
        let bucket = crate::store::root::bucket_of(directory.path()).unwrap();
        let disk = Store::of_directory(&bucket, crate::store::StoreSettings::default());
        assert!(!Patience::default().for_question(&disk).doubt(0).await);
    }

    #[test]
    fn the_near_future_is_young() {
        let patience = Patience::default();
        let now = SystemTime::now();
        assert!(patience.is_young(now + Duration::from_secs(5)) && patience.is_young(now));
        assert!(!patience.is_young(now - Duration::from_secs(60)) && !patience.is_young(SystemTime::UNIX_EPOCH));
    }
}
