//! The rooms of the house import one way only, and the pure ones stay pure. This test reads the source.
//!
//! The table here is the one drawn in `docs/architecture.md`. Test modules may import what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom. A room may always import from itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    // Commands read the rooms they report on; only `mount` builds a file system, and only through `service`.
    (
        "cli",
        &[
            "advice",
            "config",
            "demo",
            "doctor",
            "service",
            "telemetry",
            "namespace",
            "source",
            "store",
            "fetch",
            "layout",
            "fs",
            "model",
        ],
    ),
    // A store written for trying things: keys and chunk bytes, by the rooms that know them.
    ("demo", &["source", "codec", "model"]),
    // Looks at the machine and at a store, and mounts nothing.
    ("doctor", &["config", "source", "store", "model"]),
    ("config", &["namespace", "source", "fs", "fetch", "cache", "layout", "store", "model", "telemetry"]),
    ("service", &["config", "telemetry", "fs", "namespace", "source", "fetch", "cache", "layout", "store", "model"]),
    ("telemetry", &[]),
    ("fs", &["namespace", "writeback", "model"]),
    ("namespace", &["source", "layout", "fetch", "store", "model"]),
    // Of the layout only the way back, from bytes to a hierarchy.
    ("source", &["layout::scan", "store", "format", "model"]),
    ("fetch", &["cache", "store", "codec", "model"]),
    ("layout", &["format", "model"]),
    ("advice", &["model"]),
    ("cache", &["model"]),
    ("store", &["model"]),
    ("codec", &["model"]),
    ("format", &["model"]),
    ("model", &[]),
];

/// Rooms, or parts of one, that take bytes, values and times and give values: no runtime, no store, no files, no clock.
const PURE: &[&str] = &[
    "model",
    "advice",
    "format",
    "codec",
    "layout",
    "source/hsds",
    "source/hdf5",
    "store/retry.rs",
    "store/pace.rs",
    "store/queue.rs",
    "store/cloud/xml.rs",
    "cache/disk/record.rs",
    "cache/disk/oldest.rs",
];

/// The parts of a source that do talk to the store: everything else in it is the schema.
const IMPURE_PARTS: &[&str] = &[
    "source/hsds/mod.rs",
    "source/hsds/tree.rs",
    "source/hsds/documents.rs",
    "source/hsds/loader.rs",
    "source/hsds/reading.rs",
    "source/hsds/asides.rs",
    "source/hsds/freshness.rs",
    "source/hsds/held.rs",
    "source/hdf5/mod.rs",
    "source/hdf5/load.rs",
    "source/hdf5/survey.rs",
    "source/hdf5/kept.rs",
];

/// What a pure room must not mention.
const IMPURE: &[&str] = &[
    "tokio::",
    "object_store::",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "crate::store",
    "crate::cache",
    "crate::fetch",
];

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file, by its path below `src`, without its tests and comments.
fn sources() -> BTreeMap<String, String> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = source_root();
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let is_test = |name: &str| name.split('/').any(|part| part == "tests.rs" || part == "tests");
    paths
        .iter()
        .map(|path| (name(path), without_tests(&fs::read_to_string(path).unwrap())))
        .filter(|(name, _)| !is_test(name))
        .collect()
}

/// The text without line comments and without what stands under `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // Formatted code: the item ends at a line of its own indent that closes it, or is one line.
            let indent = line.len() - line.trim_start().len();
            for line in lines.by_ref() {
                let own = line.len() - line.trim_start().len() == indent;
                if own && (line.trim_end().ends_with(';') || line.trim() == "}") {
                    break;
                }
            }
            continue;
        }
        let code = line.split("//").next().unwrap_or("");
        kept.push_str(code);
        kept.push('\n');
    }
    kept
}

/// The room a file belongs to.
fn room(name: &str) -> &str {
    name.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Every `crate::a::b` path of a text, as `a::b` (two segments), the branches of `use crate::{…}` included.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in text.split("crate::").skip(1) {
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if let Some(group) = part.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && !c.is_whitespace() => {
                        found.insert(word(&group[at..]));
                        start = false;
                    }
                    _ => {}
                }
            }
            continue;
        }
        let first = word(part);
        let second = part[first.len()..].strip_prefix("::").map(word).unwrap_or_default();
        found.insert(if second.is_empty() { first } else { format!("{first}::{second}") });
    }
    found
}

#[test]
fn imports_go_one_way() {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let room = room(&name);
        if room == "lib" {
            continue;
        }
        let Some(allowed) = table.get(room) else {
            faults.push(format!("{name}: the room `{room}` is not in the table"));
            continue;
        };
        let text = if room == "main" { text.replace("h5mount::", "crate::") } else { text };
        for import in imports(&text) {
            let other = import.split("::").next().unwrap_or("");
            let fine = other == room || allowed.contains(&other) || allowed.contains(&import.as_str());
            if !fine {
                faults.push(format!("{name}: `{room}` must not import `{import}`"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_rooms_stay_pure() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let pure =
            PURE.iter().any(|room| name.starts_with(room)) && !IMPURE_PARTS.iter().any(|part| name.starts_with(part));
        if !pure {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{name}:{}: a pure room mentions {word}", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_one_file_knows_error_numbers_and_only_one_room_knows_fuser() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        if text.contains("fuser::") && room(&name) != "fs" {
            faults.push(format!("{name}: fuser is known in fs only"));
        }
        if text.contains("Errno::E") && name != "fs/errno.rs" && !name.starts_with("fs/session.rs") {
            faults.push(format!("{name}: error numbers are chosen in fs/errno.rs"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_source_finds_what_it_should() {
    let text = "use crate::store::{Store, StoreError};\nlet x = crate::fetch::Plain::Absent;\nuse crate::{model, layout::scan};\n";
    let found: Vec<_> = imports(text).into_iter().collect();
    assert_eq!(found, ["fetch::Plain", "layout", "model", "store"]);
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use crate::fs;\n}\nfn b() {} // crate::cli\n#[cfg(test)]\nmod more;\n";
    assert_eq!(without_tests(text), "fn a() {}\nfn b() {} \n");
}
