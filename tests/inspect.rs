//! The commands that look into a store without mounting it, on the demo store.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn h5mount(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_h5mount")).args(arguments).output().unwrap()
}

/// Runs with `--json`; the exit code and the document.
fn json(arguments: &[&str]) -> (i32, Value) {
    let output = h5mount(&[arguments, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{errors}"));
    (output.status.code().unwrap(), document)
}

struct Demo {
    _directory: tempfile::TempDir,
    store: PathBuf,
}

impl Demo {
    fn new() -> Demo {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let (code, told) = json(&["demo", "--no-mount", "--store", store.to_str().unwrap()]);
        assert_eq!((code, &told["mountpoint"]), (0, &Value::Null));
        Demo { store: std::fs::canonicalize(store).unwrap(), _directory: directory }
    }

    fn path(&self, inside: &str) -> String {
        self.store.join(inside).to_str().unwrap().to_owned()
    }
}

/// A chunk of `/temperature`, by its name.
fn chunk_of_temperature(demo: &Demo, chunk: &str) -> PathBuf {
    let (_, told) = json(&["explain", &demo.path("home/demo/weather.nc"), "/temperature"]);
    let chunks = told["chunks"].as_array().unwrap();
    let objects = chunks.iter().filter_map(|chunk| chunk["object"].as_str());
    let object = objects.clone().find(|object| object.ends_with(chunk)).unwrap();
    Path::new(object.strip_prefix("file://").unwrap()).to_owned()
}

#[test]
fn ls_shows_folders_and_what_is_in_a_file() {
    let demo = Demo::new();
    let (code, told) = json(&["ls", "-r", &demo.path("")]);
    let entries = told["entries"].as_array().unwrap();
    let listed: Vec<(&str, &str)> =
        entries.iter().map(|entry| (entry["path"].as_str().unwrap(), entry["kind"].as_str().unwrap())).collect();
    assert_eq!(code, 0);
    assert_eq!(
        listed,
        [
            ("home", "folder"),
            ("home/demo", "folder"),
            ("home/demo/README.txt", "plain"),
            ("home/demo/stations.h5", "file"),
            ("home/demo/weather.nc", "file"),
        ]
    );

    let (_, told) = json(&["ls", "-r", &demo.path("home/demo/weather.nc")]);
    assert_eq!(told["problems"], serde_json::json!([]));
    let objects = told["objects"].as_array().unwrap();
    let temperature = objects.iter().find(|object| object["path"] == "/temperature").unwrap();
    assert_eq!(temperature["shape"], serde_json::json!([48, 46, 90]));
    assert_eq!(temperature["max_shape"], serde_json::json!([null, 46, 90]));
    assert_eq!(temperature["chunk"], serde_json::json!([12, 23, 45]));
    assert_eq!(temperature["filters"], serde_json::json!(["shuffle", "gzip-4"]));
    let scales = &temperature["attributes"][0];
    assert_eq!(
        (&scales["name"], &scales["value"]),
        (&"DIMENSION_LIST".into(), &serde_json::json!([["/time"], ["/lat"], ["/lon"]]))
    );

    let output = h5mount(&["ls", "-l", &demo.path("home/demo/stations.h5")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("/latest  link  -> /network/readings\n"), "{text}");
    assert!(text.contains("/grid  link  -> /temperature in file weather.nc\n"), "{text}");
}

#[test]
fn info_counts_what_is_stored() {
    let demo = Demo::new();
    let (code, told) = json(&["info", &demo.path("home/demo/weather.nc")]);
    assert_eq!((code, &told["unreadable"]), (0, &serde_json::json!([])));
    let totals = &told["totals"];
    // 3 coordinates and stations, and 16 chunks of each grid; half of one grid was never written.
    assert_eq!(totals["chunks"], 4 + 3 * 16);
    assert_eq!(totals["stored_chunks"], 4 + 2 * 16 + 8);
    assert_eq!(totals["logical_bytes"], 48 * 46 * 90 * (4 + 2 + 1) + 48 * 8 + 46 * 4 + 90 * 4);
    let listed: u64 = walk(&demo.store.join("db"))
        .iter()
        .filter(|path| path.to_str().unwrap().contains("/5ea70e12-"))
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert_eq!(totals["stored_bytes"], listed);
    let (_, all) = json(&["info", &demo.path("")]);
    assert_eq!((&all["totals"]["files"], &all["totals"]["plain_files"]), (&2.into(), &1.into()));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn check_passes_a_sound_store_and_names_every_fault() {
    let demo = Demo::new();
    let (code, told) = json(&["check", &demo.path("")]);
    assert_eq!((code, &told["faults"], &told["notes"]), (0, &serde_json::json!([]), &serde_json::json!([])));
    assert_eq!((&told["files"], &told["chunks"]), (&2.into(), &(4 + 2 * 16 + 8 + 2).into()));

    let broken = chunk_of_temperature(&demo, "1_0_1");
    let mut bytes = std::fs::read(&broken).unwrap();
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    std::fs::write(&broken, &bytes).unwrap();
    // Written long ago: nothing to wait for.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&broken).unwrap().set_modified(old).unwrap();
    std::fs::write(broken.with_file_name("99_0_0"), "left over").unwrap();

    let (code, told) = json(&["check", &demo.path("home/demo")]);
    assert_eq!(code, 1);
    let faults = told["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let key = broken.strip_prefix(&demo.store).unwrap().to_str().unwrap();
    let fault = &faults[0];
    assert_eq!((&fault["key"], &fault["path"]), (&key.into(), &"/temperature".into()));
    assert_eq!((&fault["cause"], &fault["chunk"]), (&"undecodable".into(), &5.into()));
    assert!(fault["reason"].as_str().unwrap().contains(&format!("zlib stream ends at byte {middle}")), "{fault}");
    assert!(told["notes"][0].as_str().unwrap().contains("99_0_0"), "{told}");

    let output = h5mount(&["check", &demo.path("home/demo/weather.nc")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains(key));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "progress is for terminals");
}

#[test]
fn check_says_where_a_file_ends_that_is_cut_off() {
    let demo = Demo::new();
    let sample =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5/good/HDFGroup__h5serv/test/test_files/sample.h5");
    let whole = std::fs::read(sample).unwrap();
    let (end, cut) = (whole.len(), whole.len() - 100);
    std::fs::write(demo.store.join("home/demo/whole.h5"), &whole).unwrap();
    std::fs::write(demo.store.join("home/demo/other.nc"), "CDF\x01 and so on").unwrap();
    assert_eq!(json(&["check", &demo.path("home/demo")]).0, 0);
    std::fs::write(demo.store.join("home/demo/cut.h5"), &whole[..cut]).unwrap();
    let (code, told) = json(&["check", &demo.path("home/demo")]);
    let [fault] = told["faults"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((code, &fault["file"], &fault["cause"]), (1, &"home/demo/cut.h5".into(), &"damaged".into()));
    let reason = format!("it is cut off: it ends at byte {cut} and should end at byte {end}");
    assert_eq!(fault["reason"], reason);
    assert!(told["notes"].as_array().unwrap().iter().all(|note| !note.as_str().unwrap().contains("cut.h5")), "{told}");
}

#[test]
fn what_lies_in_an_hdf5_file_is_stored_and_needs_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/hdf5/good/Apollo3zehn__PureHDF/tests/PureHDF.Tests/TestFiles/lzf.h5");
    std::fs::create_dir(folder.path().join("below")).unwrap();
    std::fs::copy(sample, folder.path().join("below/gzip.h5")).unwrap();
    let (file, top) = (folder.path().join("below/gzip.h5"), folder.path().to_str().unwrap().to_owned());
    let (code, told) = json(&["explain", file.to_str().unwrap(), "/lzf"]);
    let states: Vec<&str> = told["chunks"].as_array().unwrap().iter().filter_map(|at| at["state"].as_str()).collect();
    assert!(code == 0 && !states.is_empty() && states.iter().all(|state| *state == "stored"), "{told}");
    // A folder of files needs no store around it, wherever in it they lie.
    let (code, told) = json(&["ls", "-r", &top]);
    assert_eq!((code, &told["entries"][1]["path"]), (0, &"below/gzip.h5".into()), "{told}");
    let (code, told) = json(&["index", &top]);
    assert_eq!((code, &told["written"]), (0, &0.into()), "{told}");
    let demo = Demo::new();
    let indexes = folder.path().join("indexes");
    let file = demo.path("home/demo/weather.nc");
    let (code, told) = json(&["index", "--index-dir", indexes.to_str().unwrap(), &file]);
    let (place, reason) = (&told["indexes"][0]["place"], &told["indexes"][0]["reason"]);
    match place.as_str() {
        Some(place) => assert!(code == 0 && Path::new(place).is_file() && Path::new(place).starts_with(&indexes)),
        None => assert!(code == 1 && reason.is_string(), "{told}"),
    }
}

#[test]
fn explain_names_the_chunks_of_a_read() {
    let demo = Demo::new();
    let file = demo.path("home/demo/weather.nc");
    let (code, told) = json(&["explain", &file, "/precipitation[12::24, 22:24, -1]"]);
    assert_eq!((code, &told["selected"], &told["chunk_count"]), (0, &4.into(), &4.into()));
    let chunks = told["chunks"].as_array().unwrap();
    let told: Vec<(String, &str, u64)> = chunks
        .iter()
        .map(|chunk| {
            (chunk["chunk"].to_string(), chunk["state"].as_str().unwrap(), chunk["elements"].as_u64().unwrap())
        })
        .collect();
    let expected =
        [("[1,0,1]", "stored", 1), ("[1,1,1]", "stored", 1), ("[3,0,1]", "absent", 1), ("[3,1,1]", "absent", 1)];
    assert_eq!(told, expected.map(|(chunk, state, elements)| (chunk.to_owned(), state, elements)));
    let object = Path::new(chunks[0]["object"].as_str().unwrap().strip_prefix("file://").unwrap());
    assert_eq!(chunks[0]["length"], object.metadata().unwrap().len());

    for (selection, code) in [("/temperature[0, 0, 0, 0]", 2), ("/temperature[x]", 2), ("/nothing[0]", 3)] {
        let output = h5mount(&["explain", &file, selection]);
        assert_eq!(output.status.code(), Some(code), "{selection}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    let linked = json(&["explain", &demo.path("home/demo/stations.h5"), "/latest[1:3]"]).1;
    assert_eq!((&linked["dataset"], &linked["selected"]), (&"/network/readings".into(), &2.into()));
}
