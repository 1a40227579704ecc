//! A chunk of variable-length data: first the JSON of its type, then a NUL, a count and the stream.
#![no_main]

use bytes::Bytes;
use h5mount::model::hierarchy::Hierarchy;
use h5mount::source::hsds::document::Document;
use h5mount::source::hsds::id::Id;
use h5mount::source::hsds::{stream, types};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|&byte| byte == 0) else { return };
    let (json, rest) = bytes.split_at(end);
    let Some((&count, stream)) = rest[1..].split_first() else { return };
    let Ok(document) = Document::parse(&[b"{\"type\":", json, b"}"].concat()) else { return };
    let Some(Ok(datatype)) = document.get("type").map(types::datatype) else { return };
    let stream = Bytes::copy_from_slice(stream);
    let everything = |_: &Id| Some(Hierarchy::ROOT);
    if let Ok(elements) = stream::elements(&datatype, &stream, count.into(), &everything) {
        assert_eq!(elements.bytes.len() as u64, datatype.size() * u64::from(count));
        assert!(elements.places.windows(2).all(|pair| pair[0].at < pair[1].at));
    }
});
