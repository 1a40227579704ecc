//! HDF5 files and indexes, broken in every way that a disk, a writer or an enemy might, taken the whole way: read, judged,
//! laid out anew, chunks decoded. Nothing panics, takes long or much memory, and what is wrong is told with its place.
//!
//! A case depends on the seed and its number alone. A few are tried with all other tests; `scripts/mutate --hdf5` tries as
//! many as are wanted, of those there are in `H5MOUNT_CORPUS` too.

mod mutation;
mod samples;
mod way;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mutation::broken;
use peak_alloc::PeakAlloc;
use way::Totals;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Cases where nobody says how many: some seconds of a debug build.
const CASES: u64 = 3000;
/// Bytes of memory, beside as many as the file has.
const MOST: usize = 64 << 20;
/// What a case may take; and when it is taken to have no end, on a machine that does many other things.
const LONG: Duration = Duration::from_secs(1);
const ENDLESS: Duration = Duration::from_secs(120);
/// A case that took long is timed anew: something else may have been in its way.
const TIMED: usize = 3;
/// Cases after which progress is told.
const TOLD: u64 = 20_000;
/// Bad cases after which it ends.
const BAD: usize = 20;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |number| number.parse().expect(name))
}

/// What one case took.
struct Took {
    time: Duration,
    memory: usize,
    ended: Result<Totals, String>,
}

fn take(bytes: &[u8], index: Option<&[u8]>) -> Took {
    MEMORY.reset_peak_usage();
    let (before, begun) = (MEMORY.current_usage(), Instant::now());
    let ended = catch_unwind(AssertUnwindSafe(|| way::take(bytes, index)));
    let time = begun.elapsed();
    let memory = MEMORY.peak_usage().saturating_sub(before);
    let ended = ended.map_err(|panic| match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "without words".to_owned(), |words| words.to_string()),
    });
    Took { time, memory, ended }
}

#[test]
fn broken_files_are_errors_with_a_place_and_cost_little() {
    let seed = number("H5MOUNT_SEED", 1);
    let first = number("H5MOUNT_FIRST", 0);
    let asked = std::env::var("H5MOUNT_MUTATIONS").is_ok();
    let cases = number("H5MOUNT_MUTATIONS", CASES);
    let samples = samples::all();
    let last = Arc::new(Mutex::new(String::new()));
    let words = Arc::clone(&last);
    // Told once, with the case.
    std::panic::set_hook(Box::new(move |panic| *words.lock().unwrap() = panic.to_string()));
    let (now, began) = (Arc::new(AtomicU64::new(first)), Instant::now());
    watch(Arc::clone(&now));
    let (mut totals, mut bad, mut slowest, mut largest) = (Totals::default(), Vec::new(), (LONG / 1000, 0), (0, 0));
    for case in first..first + cases {
        now.store(case, Ordering::Relaxed);
        let broken = broken(&samples, seed, case);
        let mut took = take(&broken.bytes, broken.index.as_deref());
        for _ in 0..TIMED {
            if took.time >= LONG {
                let again = take(&broken.bytes, broken.index.as_deref());
                took.time = took.time.min(again.time);
            }
        }
        slowest = slowest.max((took.time, case));
        largest = largest.max((took.memory, case));
        let mut wrong = Vec::new();
        match took.ended {
            Ok(ended) => totals.add(&ended),
            Err(words) => wrong.push(format!("{words}: {}", last.lock().unwrap())),
        }
        // Times are held where they are asked for: with all other tests, there is much beside this.
        if asked && took.time >= LONG {
            wrong.push(format!("{:?}", took.time));
        }
        let given = broken.bytes.len() + broken.index.as_ref().map_or(0, Vec::len);
        if took.memory > MOST + given {
            wrong.push(format!("{} bytes of memory for {given}", took.memory));
        }
        if !wrong.is_empty() {
            let folder = std::env::temp_dir().join("h5mount-broken");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{seed}-{case}.h5")), &broken.bytes).unwrap();
            bad.push(format!("case {case}, of {}: {} ({})", broken.of, wrong.join("; "), broken.how));
            println!("{}", bad.last().unwrap());
            if bad.len() >= BAD {
                break;
            }
        }
        let done = case + 1 - first;
        if done.is_multiple_of(TOLD) {
            println!("{done} cases after {:.0} s, {} bad: {totals}", began.elapsed().as_secs_f64(), bad.len());
        }
    }
    let _ = std::panic::take_hook();
    println!(
        "{cases} broken files (seed {seed}) of {} samples in {:.0} s: {totals}; slowest {:?} (case {}), most memory {} KiB (case {})",
        samples.len(),
        began.elapsed().as_secs_f64(),
        slowest.0,
        slowest.1,
        largest.0 >> 10,
        largest.1
    );
    assert!(
        bad.is_empty(),
        "{} bad cases, files in h5mount-broken of the temporary folder\n{}",
        bad.len(),
        bad.join("\n")
    );
    assert!(totals.refused > 0 && totals.shown > totals.refused / 10 && totals.decoded > 0, "{totals}");
}

/// Ends the process where a case has no end.
fn watch(now: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        let (mut case, mut since) = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(ENDLESS / 60);
            let current = now.load(Ordering::Relaxed);
            if current != case {
                (case, since) = (current, Instant::now());
            } else if since.elapsed() > ENDLESS {
                println!("case {case} has no end");
                std::process::exit(1);
            }
        }
    });
}
