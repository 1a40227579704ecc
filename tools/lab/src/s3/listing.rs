//! ListObjects and ListObjectsV2: prefix, delimiter, paging.
//!
//! Continuation tokens are opaque on purpose: a client that takes one for a key, or makes one, finds nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Bound;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::{self, Answer, escaped};
use super::bucket::Object;
use super::request::Request;
use crate::clock;

/// S3 never gives more keys in one page.
const MOST: usize = 1000;

/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'*');

/// One page of a listing.
#[derive(Debug, Default)]
pub struct Page<'a> {
    /// Objects.
    pub objects: Vec<(&'a str, &'a Object)>,
    /// Prefixes up to a delimiter.
    pub prefixes: Vec<String>,
    /// The last key or prefix, where there is more after it.
    pub more_after: Option<String>,
}

/// Lists what begins with a prefix and comes after a key.
pub fn page<'a>(
    objects: &'a BTreeMap<String, Object>,
    prefix: &str,
    delimiter: &str,
    after: &str,
    most: usize,
) -> Page<'a> {
    let mut page = Page::default();
    let mut last = String::new();
    let mut from = Bound::Included(prefix.to_owned());
    if after >= prefix {
        from = past(after, !delimiter.is_empty() && after.ends_with(delimiter));
    }
    while let Some((key, object)) = objects.range::<String, _>((from.clone(), Bound::Unbounded)).next() {
        if !key.starts_with(prefix) {
            break;
        }
        if page.objects.len() + page.prefixes.len() == most {
            page.more_after = Some(last);
            break;
        }
        let common = (!delimiter.is_empty()).then(|| key[prefix.len()..].find(delimiter)).flatten();
        match common {
            Some(at) => {
                last = key[..prefix.len() + at + delimiter.len()].to_owned();
                from = past(&last, true);
                page.prefixes.push(last.clone());
            }
            None => {
                last = key.clone();
                from = past(&last, false);
                page.objects.push((key, object));
            }
        }
    }
    page
}

/// Where to go on after a key, or after everything that begins with a prefix.
fn past(last: &str, is_prefix: bool) -> Bound<String> {
    if !is_prefix {
        return Bound::Excluded(last.to_owned());
    }
    // The largest character there is sorts after every key with this prefix.
    Bound::Excluded(format!("{last}{}", char::MAX))
}

/// Answers a listing.
pub fn answer(request: &Request, objects: &BTreeMap<String, Object>, page_size: usize) -> Answer {
    let text = |name: &str| request.query.get(name).map_or("", String::as_str);
    let second = text("list-type") == "2";
    let after = match (second, text("continuation-token"), text("start-after"), text("marker")) {
        (true, "", start, _) => start.to_owned(),
        (true, token, ..) => match from_token(token) {
            Some(key) => key,
            None => return answer::refused("InvalidArgument"),
        },
        (false, .., marker) => marker.to_owned(),
    };
    let most = text("max-keys").parse().unwrap_or(MOST).min(MOST).min(page_size.max(1));
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let page = page(objects, prefix, delimiter, &after, most);

    let shown = |key: &str| match text("encoding-type") {
        "url" => utf8_percent_encode(key, PLAIN).to_string(),
        _ => escaped(key),
    };
    let mut body = String::from("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    // Writing to a String does not fail.
    let mut element = |name: &str, value: &str| {
        let _ = write!(body, "<{name}>{value}</{name}>");
    };
    element("Name", &request.bucket);
    element("Prefix", &shown(prefix));
    element("MaxKeys", &most.to_string());
    element("IsTruncated", if page.more_after.is_some() { "true" } else { "false" });
    if !delimiter.is_empty() {
        element("Delimiter", &shown(delimiter));
    }
    if !text("encoding-type").is_empty() {
        element("EncodingType", "url");
    }
    if second {
        element("KeyCount", &(page.objects.len() + page.prefixes.len()).to_string());
    }
    match &page.more_after {
        Some(last) if second => element("NextContinuationToken", &token(last)),
        Some(last) => element("NextMarker", &shown(last)),
        None => {}
    }
    for (key, object) in &page.objects {
        let fields = format!(
            "<Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size><StorageClass>{}</StorageClass>",
            shown(key),
            clock::iso(object.modified),
            object.etag,
            object.len(),
            escaped(&object.storage_class)
        );
        element("Contents", &fields);
    }
    for prefix in &page.prefixes {
        element("CommonPrefixes", &format!("<Prefix>{}</Prefix>", shown(prefix)));
    }
    body.push_str("</ListBucketResult>");
    answer::xml(body)
}

/// A token that leads to what comes after a key.
fn token(key: &str) -> String {
    key.bytes().fold("~".to_owned(), |mut token, byte| {
        let _ = write!(token, "{:02x}", byte ^ 0x5a);
        token
    })
}

fn from_token(token: &str) -> Option<String> {
    let digits = token.strip_prefix('~').filter(|digits| digits.is_ascii() && digits.len() % 2 == 0)?;
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok().map(|byte| byte ^ 0x5a))
        .collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(keys: &[&str]) -> BTreeMap<String, Object> {
        keys.iter().map(|key| ((*key).to_owned(), Object::new(bytes::Bytes::new(), Vec::new()))).collect()
    }

    #[test]
    fn pages_put_together_are_the_whole_listing() {
        let objects = objects(&["a", "b/1", "b/2", "b0", "c/x/1", "c/y", "d"]);
        for most in 1..9 {
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let page = page(&objects, "", "/", &after, most);
                found.extend(page.objects.iter().map(|(key, _)| (*key).to_owned()));
                found.extend(page.prefixes);
                match page.more_after {
                    Some(last) => after = from_token(&token(&last)).unwrap(),
                    None => break,
                }
            }
            found.sort();
            assert_eq!(found, ["a", "b/", "b0", "c/", "d"], "{most} a page");
        }
    }

    #[test]
    fn a_listing_may_begin_inside_a_prefix() {
        let objects = objects(&["a", "b/1", "b/2", "c"]);
        let page = page(&objects, "", "", "b/1", 9);
        assert_eq!(page.objects.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["b/2", "c"]);
    }

    #[test]
    fn a_made_up_token_is_refused() {
        for made_up in ["b/1", "~zz", "~é", "~0"] {
            assert_eq!(from_token(made_up), None, "{made_up}");
        }
    }
}
