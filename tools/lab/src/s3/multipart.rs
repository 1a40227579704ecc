//! Uploads in parts: begin, put or copy a part, complete, abort.

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};

use super::answer::{self, Answer, escaped, texts_of};
use super::bucket::{Holdings, Object, Upload, md5_hex};
use super::objects::{Copied, broken_condition, copied, copy_result, kept_headers};
use super::request::Request;

/// Begins an upload.
pub fn begin(request: &Request, holdings: &mut Holdings) -> Answer {
    holdings.begun += 1;
    let id = format!("upload-{}", holdings.begun);
    let target = (request.bucket.clone(), request.key.clone());
    holdings.uploads.insert(id.clone(), Upload { target, headers: kept_headers(request), ..Upload::default() });
    let (bucket, key) = (escaped(&request.bucket), escaped(&request.key));
    answer::xml(format!(
        "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>\
         </InitiateMultipartUploadResult>"
    ))
}

/// Takes in one part.
pub fn part(request: &Request, body: Bytes, holdings: &mut Holdings) -> Answer {
    let Some(number) = request.query.get("partNumber").and_then(|text| text.parse::<u32>().ok()) else {
        return answer::refused("InvalidArgument");
    };
    let (data, is_copy) = match copied(request, holdings) {
        Copied::No => (body, false),
        Copied::Bytes(data) => (data, true),
        Copied::Missing => return answer::refused("NoSuchKey"),
    };
    let etag = md5_hex(&data);
    let Some(upload) = of(request, holdings) else { return answer::refused("NoSuchUpload") };
    upload.parts.insert(number, (data, etag.clone()));
    if is_copy {
        copy_result("CopyPartResult", &etag, std::time::SystemTime::now())
    } else {
        answer::empty(200, Some(&etag))
    }
}

/// Makes the object of the parts that the client names, under its conditions.
pub fn complete(request: &Request, body: &[u8], holdings: &mut Holdings) -> Answer {
    let document = String::from_utf8_lossy(body);
    let numbers: Vec<u32> = texts_of(&document, "PartNumber").iter().filter_map(|text| text.parse().ok()).collect();
    let Some(upload) = of(request, holdings) else { return answer::refused("NoSuchUpload") };
    let (mut data, mut sums) = (BytesMut::new(), Vec::new());
    for number in &numbers {
        let Some((part, _)) = upload.parts.get(number) else { return answer::refused("InvalidPart") };
        data.extend_from_slice(part);
        sums.extend_from_slice(&Md5::digest(part));
    }
    let mut object = Object::new(data.freeze(), upload.headers.clone());
    object.etag = format!("{}-{}", md5_hex(&sums), numbers.len());
    if let Some(code) = broken_condition(request, holdings.object(&request.bucket, &request.key)) {
        return answer::refused(code);
    }
    holdings.uploads.remove(id(request));
    let etag = object.etag.clone();
    let Some(bucket) = holdings.buckets.get_mut(&request.bucket) else { return answer::refused("NoSuchBucket") };
    bucket.objects.insert(request.key.clone(), object);
    let (bucket, key) = (escaped(&request.bucket), escaped(&request.key));
    answer::xml(format!(
        "<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag>\
         </CompleteMultipartUploadResult>"
    ))
}

/// Gives an upload up.
pub fn abort(request: &Request, holdings: &mut Holdings) -> Answer {
    match holdings.uploads.remove(id(request)) {
        Some(_) => answer::empty(204, None),
        None => answer::refused("NoSuchUpload"),
    }
}

fn id(request: &Request) -> &str {
    request.query.get("uploadId").map_or("", String::as_str)
}

/// The upload that a request names, where it is one to the same key.
fn of<'a>(request: &Request, holdings: &'a mut Holdings) -> Option<&'a mut Upload> {
    let upload = holdings.uploads.get_mut(id(request))?;
    (upload.target.0 == request.bucket && upload.target.1 == request.key).then_some(upload)
}
