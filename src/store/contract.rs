//! What every kind of store promises, as statements that are tested: a behaviour suite that any [`Store`] passes.
//!
//! [`Capabilities`](super::Capabilities) are claims. [`check`] holds each of them against what the store does: that what
//! is promised works, and that what is not promised is refused by name instead of done by halves. A store that is
//! written to is given its [`objects`] first; others must hold them already, below the folder [`FOLDER`].
//!
//! `cargo run --example contract URL` runs it on any store, `tests/contract.rs` on a directory tree.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::TryStreamExt;

use super::{Put, Store, StoreError, Urgency};
use crate::model::location::{ETag, Key};

/// The folder that everything lies in.
pub const FOLDER: &str = "h5mount-contract";
/// Objects of the folder that is listed in pages, and folders in it.
const MANY: usize = 23;
/// How many write the same new object at once.
const RACERS: usize = 8;
/// What is read in part.
const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What came of the suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Statements that hold.
    pub held: Vec<&'static str>,
    /// Statements about what this kind of store does not do, and does not claim.
    pub left_out: Vec<&'static str>,
    /// Statements that do not hold, and how that shows.
    pub broken: Vec<(&'static str, String)>,
}

/// Why a statement does not hold.
type Outcome = Result<(), String>;

/// Names as hostile as stores have them. `directories`: with those only that a directory tree can hold.
fn names(directories: bool) -> Vec<String> {
    let mut names: Vec<String> = [
        "a b",
        "%2F",
        "%41",
        "100%",
        "?#",
        "a#1",
        "a+b",
        "a&b=c",
        "ü",
        "日本語",
        ".leading",
        "quote\"'`",
        "a:b",
        "a;b",
        "a,b",
        "a@b",
        "(a)[b]{c}",
        "a!b$c*d",
        "~tilde",
        "<tag>",
        "a|b^c",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("long".repeat(60));
    if !directories {
        names.push("longer/".repeat(100) + "x");
    }
    names
}

/// Objects that the suite reads: keys with their bytes. `directories`: for a directory tree.
pub fn objects(directories: bool) -> Vec<(String, Vec<u8>)> {
    let mut objects: Vec<(String, Vec<u8>)> = vec![
        ("digits".into(), DIGITS.to_vec()),
        ("empty".into(), Vec::new()),
        ("folder/below".into(), b"below".to_vec()),
        ("folder/deep/er".into(), b"deeper".to_vec()),
        ("folder-beside".into(), b"beside".to_vec()),
        ("large".into(), (0..1_000_003_u32).map(|number| (number % 251) as u8).collect()),
    ];
    objects.extend(names(directories).into_iter().map(|name| (format!("names/{name}"), name.into_bytes())));
    for number in 0..MANY {
        objects.push((format!("many/object{number:02}"), vec![0; number]));
        objects.push((format!("many/nested{number:02}/x"), Vec::new()));
    }
    if !directories {
        objects.push(("both".into(), b"object".to_vec()));
        objects.push(("both/below".into(), b"folder".to_vec()));
    }
    for (key, _) in &mut objects {
        *key = format!("{FOLDER}/{key}");
    }
    objects
}

fn key(name: &str) -> Key {
    Key::new(format!("{FOLDER}/{name}"))
}

/// Whether it holds what a directory tree can hold: a web server shows one.
fn is_tree(store: &Store) -> bool {
    let can = store.capabilities();
    can.directories || !can.listing
}

/// An error as what it shows.
fn said<T>(what: &str, done: Result<T, StoreError>) -> Result<T, String> {
    done.map_err(|error| format!("{what}: {error}"))
}

fn holds(condition: bool, what: impl Into<String>) -> Outcome {
    if condition { Ok(()) } else { Err(what.into()) }
}

/// That a request failed in just this way.
fn fails<T: std::fmt::Debug>(
    what: &str,
    done: Result<T, StoreError>,
    as_it_should: fn(&StoreError) -> bool,
) -> Outcome {
    match done {
        Err(error) if as_it_should(&error) => Ok(()),
        Err(error) => Err(format!("{what}: {error}")),
        Ok(done) => Err(format!("{what}: done all the same: {done:?}")),
    }
}

/// Writes what the suite reads, eight at a time.
///
/// # Errors
/// The first object that could not be written.
pub async fn fill(store: &Store) -> Result<(), StoreError> {
    use futures::{StreamExt, stream};
    let puts = objects(is_tree(store)).into_iter().map(|(key, bytes)| async move {
        store.put(&Key::new(key), Bytes::from(bytes), Put::Overwrite).await.map(|_| ())
    });
    stream::iter(puts).buffer_unordered(8).try_collect().await
}

/// Holds `store` against its promises. It must hold the [`objects`]; `writes`: whether to write as well.
pub async fn check(store: &Store, writes: bool) -> Report {
    let can = store.capabilities();
    let mut report = Report::default();
    let mut note = |statement: &'static str, outcome: Option<Outcome>| match outcome {
        None => report.left_out.push(statement),
        Some(Ok(())) => report.held.push(statement),
        Some(Err(reason)) => report.broken.push((statement, reason)),
    };
    macro_rules! state {
        ($statement:literal, if $promised:expr => $outcome:expr) => {
            note($statement, if $promised { Some($outcome.await) } else { None })
        };
        ($statement:literal, $outcome:expr) => {
            note($statement, Some($outcome.await))
        };
    }
    state!("an object is read whole", whole(store));
    state!("an object's head says what its bytes are of", head(store));
    state!("an empty object is an object", empty(store));
    state!("a part of an object is exactly that part", if can.ranges => ranges(store));
    state!("a range past the end is refused as such", if can.ranges => past_the_end(store));
    state!("more than was allowed is refused before it is read", too_large(store));
    state!("only what is not there is not found", absent(store));
    state!("a read is bound to an entity tag", if can.conditional_get => bound(store));
    state!("what is held already is not sent again", if can.conditional_get => held(store));
    state!("every name is a name", every_name(store));
    state!("pages of a folder hold every name once", if can.listing => pages(store));
    state!("a listing knows of objects what their heads say", if can.listing => listed_heads(store));
    state!("a folder that is not there is not found", if can.listing => no_folder(store));
    state!("whether a folder holds anything is known", if can.listing => holds_any(store));
    state!("everything below a prefix is listed, and nothing else", if can.listing => below(store));
    state!("a folder beside an object of its name hides neither", if can.listing && !can.directories => beside(store));
    state!("a listing that is not promised is refused by name", if !can.listing => unlisted(store));
    state!("what is written is read", if writes => written(store));
    state!("a version that was replaced is not read as the new one", if writes && can.conditional_get => replaced(store));
    state!("an object is made only where there is none", if writes && can.conditional_put => made_once(store));
    state!("of many that make an object one succeeds", if writes && can.conditional_put => raced(store));
    state!("an object is replaced only where it is the one that was read", if writes && can.conditional_put => replaced_once(store));
    state!("a condition that is not promised is refused", if !can.conditional_put => unconditional(store));
    state!("what is deleted is not there", if writes => deleted(store));
    report
}

async fn whole(store: &Store) -> Outcome {
    for (key, bytes) in objects(is_tree(store)).iter().filter(|(key, _)| !key.contains("/names/")) {
        let object = said(key, store.get(&Key::new(key)).await)?;
        holds(object.bytes == *bytes, format!("{key}: other bytes than were stored"))?;
        holds(object.meta.size == bytes.len() as u64, format!("{key}: size {}", object.meta.size))?;
    }
    Ok(())
}

async fn head(store: &Store) -> Outcome {
    let object = said("get", store.get(&key("digits")).await)?;
    let head = said("head", store.head(&key("digits")).await)?;
    holds(object.meta == head, format!("{head:?}, but with its bytes {:?}", object.meta))?;
    holds(!store.capabilities().conditional_get || head.etag.is_some(), "no entity tag")
}

async fn empty(store: &Store) -> Outcome {
    let object = said("get", store.get(&key("empty")).await)?;
    holds(object.bytes.is_empty() && object.meta.size == 0, format!("{:?}", object.meta))?;
    holds(said("head", store.head(&key("empty")).await)?.size == 0, "head names a size")?;
    let part = said("0..0", store.get_range(&key("empty"), 0..0, None).await)?;
    holds(part.bytes.is_empty(), "bytes in an empty range")?;
    fails("0..1", store.get_range(&key("empty"), 0..1, None).await, |error| matches!(error, StoreError::Range { .. }))
}

async fn ranges(store: &Store) -> Outcome {
    let whole = DIGITS.len() as u64;
    for range in [0..1, 0..whole, 5..9, whole - 1..whole, 3..3] {
        let part = said("part", store.get_range(&key("digits"), range.clone(), None).await)?;
        let wanted = &DIGITS[range.start as usize..range.end as usize];
        holds(part.bytes == wanted, format!("{range:?}: {:?}", part.bytes))?;
        holds(part.meta.size == whole, format!("{range:?}: size of the whole {}", part.meta.size))?;
    }
    let part = said("large", store.get_range(&key("large"), 999_990..1_000_003, None).await)?;
    holds(part.bytes.iter().zip(999_990_u32..).all(|(byte, number)| u32::from(*byte) == number % 251), "other bytes")
}

async fn past_the_end(store: &Store) -> Outcome {
    let whole = DIGITS.len() as u64;
    for range in [whole - 2..whole + 1, whole..whole + 1, whole + 5..whole + 9] {
        let done = store.get_range(&key("digits"), range.clone(), None).await;
        let (start, end) = (range.start, range.end);
        match done {
            Err(StoreError::Range { start: from, end: to, .. }) if (from, to) == (start, end) => {}
            done => return Err(format!("{range:?}: {done:?}")),
        }
    }
    Ok(())
}

async fn too_large(store: &Store) -> Outcome {
    let done = store.get_if(&key("digits"), None, DIGITS.len() as u64 - 1).await;
    fails("get", done, |error| matches!(error, StoreError::TooLarge { .. }))?;
    said("just as large", store.get_if(&key("digits"), None, DIGITS.len() as u64).await).map(|_| ())
}

async fn absent(store: &Store) -> Outcome {
    // In a directory tree something is there, though no object; it must not pass for nothing.
    let directory: fn(&StoreError) -> bool = |error| matches!(error, StoreError::NoObject { .. });
    for name in ["nothing", "no/thing", "digits/below", "folder", "Digits", "digit", "digitss"] {
        let is_directory = name == "folder" && store.capabilities().directories;
        let absent = if is_directory { directory } else { StoreError::is_not_found };
        fails(&format!("get {name}"), store.get(&key(name)).await, absent)?;
        fails(&format!("head {name}"), store.head(&key(name)).await, absent)?;
        fails(&format!("part of {name}"), store.get_range(&key(name), 0..1, None).await, absent)?;
    }
    Ok(())
}

async fn bound(store: &Store) -> Outcome {
    let tag = said("head", store.head(&key("digits")).await)?.etag.ok_or("no entity tag")?;
    let part = said("hit", store.get_range(&key("digits"), 1..3, Some(&tag)).await)?;
    holds(&part.bytes[..] == b"12" && part.meta.etag.as_ref() == Some(&tag), "another object")?;
    said("whole hit", store.get_if(&key("digits"), Some(&tag), 1 << 20).await)?;
    let other = ETag::new("\"00000000000000000000000000000000\"");
    let changed: fn(&StoreError) -> bool = |error| matches!(error, StoreError::Changed { .. });
    fails("miss", store.get_range(&key("digits"), 1..3, Some(&other)).await, changed)?;
    fails("whole miss", store.get_if(&key("digits"), Some(&other), 1 << 20).await, changed)
}

async fn held(store: &Store) -> Outcome {
    let whole = said("get", store.get(&key("digits")).await)?;
    // A weak tag is not what bytes are held by.
    let Some(tag) = whole.meta.etag.filter(ETag::is_strong) else { return Ok(()) };
    let other = ETag::new("\"00000000000000000000000000000000\"");
    let asked = store.at(Urgency::Demand);
    for range in [None, Some(2..7)] {
        let wanted = &DIGITS[range.clone().map_or(0..DIGITS.len(), |range| range.start as usize..range.end as usize)];
        let same = said("held", asked.get_unless(&key("digits"), range.clone(), &tag, 1 << 20).await)?;
        holds(same.is_none(), format!("{range:?}: sent again"))?;
        let sent = said("not held", asked.get_unless(&key("digits"), range.clone(), &other, 1 << 20).await)?;
        holds(sent.is_some_and(|object| object.bytes == wanted), format!("{range:?}: other bytes, or none"))?;
    }
    fails("nothing", asked.get_unless(&key("nothing"), None, &tag, 1 << 20).await, StoreError::is_not_found)
}

async fn every_name(store: &Store) -> Outcome {
    let can = store.capabilities();
    let names = names(is_tree(store));
    for name in &names {
        let object = said(&format!("get {name:?}"), store.get(&key(&format!("names/{name}"))).await)?;
        holds(object.bytes == name.as_bytes(), format!("{name:?}: another object"))?;
        let head = said(&format!("head {name:?}"), store.head(&key(&format!("names/{name}"))).await)?;
        holds(head.size == name.len() as u64, format!("{name:?}: size {}", head.size))?;
    }
    if can.listing {
        let (folders, objects) = level(store, &format!("{FOLDER}/names")).await?;
        let listed: BTreeSet<&str> = objects.iter().chain(&folders).map(String::as_str).collect();
        let wanted: BTreeSet<&str> = names.iter().map(|name| name.split('/').next().unwrap_or(name)).collect();
        holds(listed == wanted, format!("listed {:?}", listed.symmetric_difference(&wanted).collect::<Vec<_>>()))?;
    }
    Ok(())
}

/// Folders and objects of a folder, over all pages.
async fn level(store: &Store, folder: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut folders, mut objects, mut after, mut through) = (Vec::new(), Vec::new(), None::<String>, String::new());
    loop {
        let page = said("list", store.list(folder, after.as_deref()).await)?;
        // In the order of keys, in which a folder has its `/`.
        let mut listed: Vec<String> = page.folders.iter().map(|name| format!("{name}/")).collect();
        listed.extend(page.objects.iter().map(|(name, _)| name.clone()));
        holds(page.folders.is_sorted(), "folders out of order")?;
        holds(page.objects.is_sorted_by(|(one, _), (other, _)| one < other), "objects out of order")?;
        let directories = store.capabilities().directories;
        if let Some(early) = listed.iter().find(|name| !directories && **name <= through) {
            return Err(format!("{early:?} comes after {through:?}"));
        }
        if let Some(upto) = page.through {
            holds(listed.iter().all(|name| *name <= upto || directories), format!("more than through {upto:?}"))?;
            through = upto;
        }
        folders.extend(page.folders);
        objects.extend(page.objects.into_iter().map(|(name, _)| name));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((folders, objects)),
        }
    }
}

async fn pages(store: &Store) -> Outcome {
    let (folders, objects) = level(store, &format!("{FOLDER}/many")).await?;
    let wanted = |kind: &str| (0..MANY).map(|number| format!("{kind}{number:02}")).collect::<Vec<_>>();
    holds(folders == wanted("nested"), format!("folders {folders:?}"))?;
    holds(objects == wanted("object"), format!("objects {objects:?}"))
}

async fn listed_heads(store: &Store) -> Outcome {
    let page = said("list", store.list(FOLDER, None).await)?;
    holds(!page.objects.is_empty(), "nothing listed")?;
    for (name, meta) in page.objects {
        let head = said("head", store.head(&key(&name)).await)?;
        holds(head == meta, format!("{name}: listed {meta:?}, head {head:?}"))?;
    }
    Ok(())
}

async fn no_folder(store: &Store) -> Outcome {
    for folder in ["nothing", "digits", "folde", "folder/below"] {
        let done = store.list(&format!("{FOLDER}/{folder}"), None).await;
        fails(folder, done, StoreError::is_not_found)?;
    }
    Ok(())
}

async fn holds_any(store: &Store) -> Outcome {
    holds(said("folder", store.holds_any(&format!("{FOLDER}/folder")).await)?, "nothing in a folder that holds two")?;
    fails("nothing", store.holds_any(&format!("{FOLDER}/nothing")).await, StoreError::is_not_found)
}

async fn below(store: &Store) -> Outcome {
    let all = objects(is_tree(store));
    for prefix in ["", "folder/", "folder", "many/object1", "nothing/", "digits"] {
        let prefix = format!("{FOLDER}/{prefix}");
        let listed = said(&prefix, store.list_below(&prefix).try_collect::<Vec<_>>().await)?;
        let count = listed.len();
        let listed: BTreeSet<String> = listed.into_iter().map(|(key, _)| key.to_string()).collect();
        let wanted: BTreeSet<String> =
            all.iter().map(|(key, _)| key.clone()).filter(|key| key.starts_with(&prefix)).collect();
        holds(listed == wanted, format!("{prefix}: {:?}", listed.symmetric_difference(&wanted).collect::<Vec<_>>()))?;
        holds(count == wanted.len(), format!("{prefix}: {count} for {}", wanted.len()))?;
    }
    Ok(())
}

async fn beside(store: &Store) -> Outcome {
    holds(said("object", store.get(&key("both")).await)?.bytes == "object", "another object")?;
    holds(said("below", store.get(&key("both/below")).await)?.bytes == "folder", "another object")?;
    let (folders, objects) = level(store, FOLDER).await?;
    holds(folders.iter().any(|name| name == "both"), "the folder is not listed")?;
    holds(objects.iter().any(|name| name == "both"), "the object is not listed")
}

async fn unlisted(store: &Store) -> Outcome {
    let unsupported: fn(&StoreError) -> bool = |error| matches!(error, StoreError::Unsupported { .. });
    fails("list", store.list(FOLDER, None).await, unsupported)?;
    fails("below", store.list_below(FOLDER).try_collect::<Vec<_>>().await, unsupported)
}

async fn written(store: &Store) -> Outcome {
    for bytes in [&b"first"[..], b"the second", b""] {
        let meta = said("put", store.put(&key("written"), Bytes::from_static(bytes), Put::Overwrite).await)?;
        let object = said("get", store.get(&key("written")).await)?;
        holds(object.bytes == bytes, "other bytes than were written")?;
        let same = meta.size == object.meta.size && meta.etag == object.meta.etag;
        holds(same, format!("written as {meta:?}, read as {:?}", object.meta))?;
    }
    Ok(())
}

async fn replaced(store: &Store) -> Outcome {
    let old = said("put", store.put(&key("replaced"), Bytes::from_static(b"old"), Put::Overwrite).await)?;
    let new = said("put", store.put(&key("replaced"), Bytes::from_static(b"new"), Put::Overwrite).await)?;
    holds(old.etag != new.etag, "one entity tag for two versions")?;
    let done = store.get_range(&key("replaced"), 0..1, old.etag.as_ref()).await;
    fails("old", done, |error| matches!(error, StoreError::Changed { .. }))?;
    let part = said("new", store.get_range(&key("replaced"), 0..1, new.etag.as_ref()).await)?;
    holds(&part.bytes[..] == b"n", "other bytes")
}

async fn made_once(store: &Store) -> Outcome {
    said("delete", store.delete(&key("made")).await)?;
    said("first", store.put(&key("made"), Bytes::from_static(b"first"), Put::IfAbsent).await)?;
    let again = store.put(&key("made"), Bytes::from_static(b"second"), Put::IfAbsent).await;
    fails("second", again, |error| matches!(error, StoreError::Exists { .. }))?;
    holds(said("get", store.get(&key("made")).await)?.bytes == "first", "overwritten all the same")
}

async fn raced(store: &Store) -> Outcome {
    said("delete", store.delete(&key("raced")).await)?;
    let name = key("raced");
    let racers = (0..RACERS).map(|racer| store.put(&name, Bytes::from(racer.to_string()), Put::IfAbsent));
    let done = futures::future::join_all(racers).await;
    let winners: Vec<usize> = (0..RACERS).filter(|racer| done[*racer].is_ok()).collect();
    let others = done.iter().filter_map(|done| done.as_ref().err());
    if let Some(error) = others.into_iter().find(|error| !matches!(error, StoreError::Exists { .. })) {
        return Err(error.to_string());
    }
    let [winner] = winners[..] else { return Err(format!("{} succeeded", winners.len())) };
    let object = said("get", store.get(&key("raced")).await)?;
    holds(object.bytes == winner.to_string(), "another one's bytes than the winner's")
}

async fn replaced_once(store: &Store) -> Outcome {
    let name = key("bound");
    let put = |text: &'static str, put| store.put(&name, Bytes::from_static(text.as_bytes()), put);
    let changed: fn(&StoreError) -> bool = |error| matches!(error, StoreError::Changed { .. });
    let first = said("first", put("first", Put::Overwrite).await)?.etag.ok_or("no entity tag")?;
    let second = said("second", put("second", Put::IfMatch(first.clone())).await)?.etag.ok_or("no entity tag")?;
    fails("on the first again", put("third", Put::IfMatch(first)).await, changed)?;
    holds(said("get", store.get(&key("bound")).await)?.bytes == "second", "replaced all the same")?;
    said("delete", store.delete(&key("bound")).await)?;
    fails("on what is gone", put("fourth", Put::IfMatch(second)).await, changed)?;
    fails("get", store.get(&key("bound")).await, StoreError::is_not_found)
}

async fn unconditional(store: &Store) -> Outcome {
    let unsupported: fn(&StoreError) -> bool = |error| matches!(error, StoreError::Unsupported { .. });
    let tag = ETag::new("\"00000000000000000000000000000000\"");
    for put in [Put::IfAbsent, Put::IfMatch(tag)] {
        fails("put", store.put(&key("unconditional"), Bytes::from_static(b"x"), put).await, unsupported)?;
        fails("get", store.get(&key("unconditional")).await, StoreError::is_not_found)?;
    }
    Ok(())
}

async fn deleted(store: &Store) -> Outcome {
    said("put", store.put(&key("deleted"), Bytes::from_static(b"x"), Put::Overwrite).await)?;
    said("delete", store.delete(&key("deleted")).await)?;
    fails("get", store.get(&key("deleted")).await, StoreError::is_not_found)?;
    said("delete again", store.delete(&key("deleted")).await)
}
