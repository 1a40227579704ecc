//! Files of other projects, balanced: sound ones, and the same with bytes turned.

use super::super::tests::samples;
use super::*;
use crate::format::{FormatError, Kind};
use crate::layout::scan::{Scan, Scanned};

/// What a file holds, its account, and what is wrong with what only writers read.
type Judged = (Scanned, Ledger, Vec<(u64, FormatError)>);

fn judged(bytes: &[u8]) -> Result<Judged, FormatError> {
    let (mut scan, mut faults) = (Scan::noting(), Vec::new());
    assert_eq!(scan.step(&bytes)?, []);
    assert_eq!(scan.step_aside(&bytes, &mut faults), []);
    let structures = scan.take_register().unwrap().structures();
    let scanned = scan.finish()?;
    let ledger = balance(&structures, &scanned.placements, &scanned.addresses, 0..bytes.len() as u64);
    Ok((scanned, ledger, faults))
}

#[test]
fn nothing_overlaps_in_sound_files_and_hardly_a_byte_has_no_name() {
    let (mut files, mut unnamed, mut all) = (0, 0, 0);
    for (name, bytes, _) in samples().into_iter().filter(|(_, _, counts)| counts.is_some()) {
        let Ok((scanned, ledger, faults)) = judged(&bytes) else { continue };
        assert_eq!((&ledger.overlaps[..], ledger.overlapping), (&[][..], 0), "{name}");
        assert_eq!(faults, [], "{name}");
        if scanned.faults.iter().any(|fault| fault.error.kind == Kind::Unsupported) {
            continue;
        }
        files += 1;
        let bytes = bytes.len() as u64;
        assert!(ledger.unnamed.iter().all(|range| range.start < range.end && range.end <= bytes), "{name}");
        (unnamed, all) = (unnamed + ledger.unnamed_bytes(), all + bytes);
    }
    println!("{files} files, {unnamed} of {all} bytes have no name");
    // Heaps of elements, free space, and user blocks: a part of the files, not most of them.
    assert!(files >= 40 && unnamed < all / 2, "{files} files, {unnamed} of {all} bytes");
}

#[test]
fn whatever_bytes_are_turned_a_file_is_judged() {
    // A generator of numbers that are the same in each run.
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut read, mut refused, mut overlapping) = (0, 0, 0u64);
    // Large ones take their time, and their metadata are hit seldom.
    for (_, bytes, _) in samples().into_iter().filter(|(_, bytes, _)| (1..20_000).contains(&bytes.len())) {
        for _ in 0..20 {
            let mut turned = bytes.clone();
            for _ in 0..1 + next(4) {
                let at = next(turned.len());
                turned[at] ^= 1 << next(8);
            }
            match judged(&turned) {
                Ok((_, ledger, _)) => (read, overlapping) = (read + 1, overlapping + u64::from(ledger.overlapping > 0)),
                Err(_) => refused += 1,
            }
        }
    }
    println!("{read} read, {overlapping} of them with overlaps, {refused} refused");
    assert!(read > 100 && refused > 0 && overlapping > 0);
}

fn structure(start: u64, len: u64, room: u64) -> Structure {
    Structure { name: "node", start, len, room, owner: 0 }
}

fn unnamed(structures: &[Structure], end: u64) -> Ledger {
    balance(structures, &[], &Addresses::none(), 8..end)
}

#[test]
fn room_is_named_though_only_what_is_read_can_overlap() {
    let ledger = unnamed(&[structure(8, 10, 30), structure(20, 10, 10), structure(50, 10, 10)], 100);
    assert_eq!((ledger.overlapping, &ledger.unnamed[..]), (0, &[38..50, 60..100][..]));
    assert_eq!((ledger.metadata, ledger.unnamed_bytes()), (30, 52));
}

#[test]
fn whatever_shares_a_byte_is_told() {
    let all = [structure(8, 92, 92), structure(20, 10, 10), structure(99, 10, 10)];
    let ledger = unnamed(&all, 100);
    let told: Vec<_> = ledger.overlaps.iter().map(|(a, b)| (a.range.start, b.range.start)).collect();
    assert_eq!((told, ledger.overlapping, ledger.unnamed), (vec![(8, 20), (8, 99)], 2, Vec::new()));
}
