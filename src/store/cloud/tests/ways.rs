//! Where a bucket is asked for: endpoints, names, proxies, certificates.

use super::*;
use crate::store::access::Proxies;

#[tokio::test]
async fn where_a_bucket_is_asked_for_follows_from_its_name_and_the_endpoint() {
    let log = |request: &Request| request.header("host").to_owned();
    let server = sound(&S3::of(&[("a", b"x")])).await;
    let host = server.url.trim_start_matches("http://").to_owned();
    let store = store(&server).await;
    store.get(&Key::new("a")).await.unwrap();
    assert_eq!((log(&server.log()[0]), server.log()[0].path()), (host, "/bucket/a".to_owned()));
    for (name, reason) in [("s3://a b", "not the name"), ("ftp://x", "not a kind")] {
        let error = Store::open(&Bucket::new(name)).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    let access = Access { s3: at("localhost:9000"), ..Access::default() };
    let error = Store::open_with(&Bucket::new("s3://b"), settings(access)).await.unwrap_err();
    assert!(error.to_string().contains("https://host"), "{error}");
}

#[tokio::test]
async fn whoever_asks_pays_where_that_is_wanted() {
    let server = sound(&S3::of(&[("a", b"x")])).await;
    let access = Access { request_payer: true, ..access(&server) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings(access)).await.unwrap();
    store.get(&Key::new("a")).await.unwrap();
    store.head(&Key::new("a")).await.unwrap();
    store.list("", None).await.unwrap();
    assert!(server.log().iter().all(|request| request.header("x-amz-request-payer") == "requester"));
}

#[tokio::test]
async fn a_proxy_is_asked_unless_the_host_is_exempt() {
    let s3 = S3::of(&[("a", b"x")]);
    let proxied = s3.clone();
    // To a proxy the whole URL is sent.
    let proxy = Server::start(move |request, _| {
        let mut request = request.clone();
        request.target = request.target.replacen("http://store.example", "", 1);
        proxied.answer(&request)
    })
    .await;
    let through = |exempt: &str| {
        let proxies = Proxies { http: Some(proxy.url.clone()), exempt: Some(exempt.to_owned()), ..Proxies::default() };
        let access = Access { s3: at("http://store.example"), proxies, ..access(&proxy) };
        StoreSettings { cloud_deadline: Duration::from_secs(2), ..settings(access) }
    };
    let bucket = Bucket::new("s3://bucket");
    let store = Store::open_with(&bucket, through("other.example")).await.unwrap();
    assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    assert_eq!(proxy.log()[0].target, "http://store.example/bucket/a");
    let store = Store::open_with(&bucket, through("other.example,.example")).await.unwrap();
    let error = store.get(&Key::new("a")).await.unwrap_err();
    assert!(!error.is_not_found() && error.is_transient(), "{error}");
    assert_eq!(proxy.log().len(), 1);
}

#[tokio::test]
async fn a_bundle_of_certificates_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for (path, reason) in [(directory.path().join("none.pem"), "cannot be read"), (empty, "holds no PEM")] {
        let named = Access { ca_bundle: Some(path.clone()), ..Access::default() };
        let error = Store::open_with(&Bucket::new("s3://bucket"), settings(named)).await.unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains(reason), "{error}");
    }
}
