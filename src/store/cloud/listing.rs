//! Pages of keys, read from the service's XML.
//!
//! `object_store` fails a whole page for one key that its paths cannot hold (an empty segment, `..`, a control
//! character), and stores have such keys. So [`wire`](super::wire) reads every page here and hands `object_store` an
//! [empty one](Page::emptied).

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::xml::{Step, walk};
use crate::model::location::ETag;
use crate::store::Meta;

/// One page as the service gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys, with what is known of their objects.
    pub objects: Vec<(String, Meta)>,
    /// Beginnings that keys have in common, each with its `/`.
    pub folders: Vec<String>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

/// Element names of a kind of service.
struct Names {
    root: &'static str,
    object: &'static str,
    key: &'static str,
    size: &'static str,
    etag: &'static str,
    modified: &'static str,
    folder: &'static str,
    prefix: &'static str,
    next: &'static str,
    empty: &'static [u8],
}

/// S3, and GCS in its XML interface.
const S3: Names = Names {
    root: "ListBucketResult",
    object: "Contents",
    key: "Key",
    size: "Size",
    etag: "ETag",
    modified: "LastModified",
    folder: "CommonPrefixes",
    prefix: "Prefix",
    next: "NextContinuationToken",
    empty: b"<ListBucketResult></ListBucketResult>",
};
/// Azure.
const AZURE: Names = Names {
    root: "EnumerationResults",
    object: "Blob",
    key: "Name",
    size: "Content-Length",
    etag: "Etag",
    modified: "Last-Modified",
    folder: "BlobPrefix",
    prefix: "Name",
    next: "NextMarker",
    empty: b"<EnumerationResults><Blobs></Blobs></EnumerationResults>",
};

/// Says in a page of S3 that there are more.
const TRUNCATED: &str = "IsTruncated";

impl Page {
    /// The page in `document`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(document: &[u8]) -> Result<Page, String> {
        let mut page = Page::default();
        let mut names = None::<&Names>;
        let (mut fault, mut entry, mut truncated) = (None::<String>, Entry::default(), false);
        walk(document, |step| {
            let (path, text) = match step {
                Step::Open([root]) => {
                    names = [&S3, &AZURE].into_iter().find(|names| names.root == root);
                    return;
                }
                Step::Open(_) => return,
                Step::Close(path, text) => (path, text),
            };
            let (Some(names), Some(name)) = (names, path.last()) else { return };
            let within = |outer: &str| path[..path.len() - 1].iter().any(|part| part == outer);
            let name = name.as_str();
            if within(names.object) {
                match name {
                    _ if name == names.key => entry.key = Some(text.to_owned()),
                    _ if name == names.size => entry.size = text.trim().parse().ok(),
                    _ if name == names.etag => entry.etag = Some(text.trim().to_owned()).filter(|tag| !tag.is_empty()),
                    _ if name == names.modified => entry.modified = time(text.trim()),
                    _ => {}
                }
            } else if name == names.object {
                match std::mem::take(&mut entry).finish() {
                    Ok(object) => page.objects.push(object),
                    Err(reason) => fault = Some(reason),
                }
            } else if name == names.prefix && within(names.folder) {
                page.folders.push(text.to_owned());
            } else if name == names.next && path.len() == 2 {
                page.next = Some(text.to_owned()).filter(|token| !token.is_empty());
            } else if name == TRUNCATED && path.len() == 2 {
                truncated = text.trim() == "true";
            }
        })?;
        match (names, fault) {
            (None, _) => Err("not a list of keys".to_owned()),
            (Some(_), Some(fault)) => Err(fault),
            (Some(_), None) if truncated && page.next.is_none() => {
                Err("a page that is not the last, with nothing to ask for the next by: the service does not know version 2 \
                     of listings"
                    .to_owned())
            }
            (Some(_), None) => Ok(page),
        }
    }

    /// The same kind of document without anything in it.
    pub fn emptied(document: &[u8]) -> &'static [u8] {
        let mut root = None;
        let _ = walk(document, |step| {
            if let Step::Open([name]) = step {
                root = Some(name.clone());
            }
        });
        if root.as_deref() == Some(AZURE.root) { AZURE.empty } else { S3.empty }
    }
}

#[derive(Default)]
struct Entry {
    key: Option<String>,
    size: Option<u64>,
    etag: Option<String>,
    modified: Option<SystemTime>,
}

impl Entry {
    fn finish(self) -> Result<(String, Meta), String> {
        let key = self.key.ok_or("an object without its key")?;
        let size = self.size.ok_or_else(|| format!("no size of {key}"))?;
        let modified = self.modified.ok_or_else(|| format!("no time of {key}"))?;
        // Azure leaves out in listings the quotes that it sends in headers.
        let quoted = |tag: String| if tag.ends_with('"') { tag } else { format!("\"{tag}\"") };
        Ok((key, Meta { size, etag: self.etag.map(quoted).map(ETag::new), modified }))
    }
}

/// A time in whole seconds, as the header `Last-Modified` has it: some services list milliseconds, and then one object
/// would have two times.
fn time(text: &str) -> Option<SystemTime> {
    let time = DateTime::from_str(text, Format::DateTimeWithOffset)
        .or_else(|_| DateTime::from_str(text, Format::HttpDate))
        .ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.secs()).ok()?))
}

/// Whether `object_store` can ask for this key just as it is.
pub fn speakable(key: &str) -> bool {
    object_store::path::Path::parse(key).is_ok_and(|path| path.as_ref() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_s3_is_read_with_odd_keys_and_their_references() {
        let page = Page::parse(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
              <Name>b</Name><Prefix>f/</Prefix><NextContinuationToken>t&amp;1</NextContinuationToken>\
              <Contents><Key>f/ a&amp;&lt;&#x1; </Key><LastModified>2024-02-03T04:05:06.789Z</LastModified>\
              <ETag>&quot;e&quot;</ETag><Size>7</Size><Owner><ID>x</ID></Owner></Contents>\
              <Contents><Key>f//b</Key><LastModified>2024-02-03T04:05:06Z</LastModified><ETag>\"g\"</ETag><Size>0</Size></Contents>\
              <CommonPrefixes><Prefix>f/d/</Prefix></CommonPrefixes></ListBucketResult>",
        )
        .unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_706_933_106);
        let meta = |size, etag| Meta { size, etag: Some(ETag::new(etag)), modified };
        assert_eq!(page.objects[0], ("f/ a&<\u{1} ".to_owned(), meta(7, "\"e\"")));
        assert_eq!(page.objects[1], ("f//b".to_owned(), meta(0, "\"g\"")));
        assert_eq!((page.folders, page.next), (vec!["f/d/".to_owned()], Some("t&1".to_owned())));
    }

    #[test]
    fn a_page_of_azure_is_read() {
        let document = "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\"><Prefix>f/</Prefix>\
            <Blobs><Blob><Name>f/a</Name><Properties><Last-Modified>Sat, 03 Feb 2024 04:05:06 GMT</Last-Modified>\
            <Etag>0x8D</Etag><Content-Length>3</Content-Length></Properties></Blob>\
            <BlobPrefix><Name>f/d/</Name></BlobPrefix></Blobs><NextMarker/></EnumerationResults>";
        let page = Page::parse(document.as_bytes()).unwrap();
        assert_eq!(page.objects[0].0, "f/a");
        assert_eq!(page.objects[0].1.etag, Some(ETag::new("\"0x8D\"")));
        assert_eq!((page.folders, page.next), (vec!["f/d/".to_owned()], None));
        assert_eq!(Page::emptied(document.as_bytes()), AZURE.empty);
        assert_eq!(Page::emptied(b"<ListBucketResult/>"), S3.empty);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for document in ["", "<html><body>sign in</body></html>", "<ListBucketResult><Contents><Key>a</Key>", "{}"] {
            assert!(Page::parse(document.as_bytes()).is_err(), "{document}");
        }
        let no_size = "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>";
        assert!(Page::parse(no_size.as_bytes()).unwrap_err().contains("no size of a"));
    }

    #[test]
    fn keys_that_cannot_be_asked_for_are_known() {
        for key in ["a b", "%2F", "?#", "ü/ñ", ".leading", "a/b.c", "back\\slash"] {
            assert!(speakable(key), "{key}");
        }
        for key in ["a//b", "/a", "a/", "./a", "a/../b", "line\nbreak", "\u{7f}"] {
            assert!(!speakable(key), "{key}");
        }
    }
}
