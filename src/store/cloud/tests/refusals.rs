//! What a service refuses, and why.

use super::*;

/// The error of a GET that is refused like this.
async fn refusal(reply: Reply) -> StoreError {
    let server = Server::start(move |_, _| reply.clone()).await;
    let settings = StoreSettings { cloud_deadline: Duration::from_secs(2), ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    store.get(&Key::new("a")).await.unwrap_err()
}

#[tokio::test]
async fn refusals_are_told_by_the_code_of_the_service() {
    let cases = [
        (403, "AccessDenied", Denial::Rights),
        (403, "AllAccessDisabled", Denial::Other),
        (400, "ExpiredToken", Denial::Expired),
        (403, "InvalidAccessKeyId", Denial::Credentials),
        (403, "SignatureDoesNotMatch", Denial::Credentials),
        (400, "InvalidToken", Denial::Credentials),
        (403, "RequestTimeTooSkewed", Denial::Clock),
        (403, "InvalidObjectState", Denial::Archived),
        (400, "KMS.DisabledException", Denial::Encryption),
        (403, "SomethingNew", Denial::Other),
        (401, "Unauthorized", Denial::Credentials),
    ];
    for (status, code, expected) in cases {
        let error = refusal(Reply::error(status, code)).await;
        assert!(matches!(&error, StoreError::Forbidden { denial, .. } if *denial == expected), "{code}: {error}");
        assert!(!error.is_not_found() && !error.is_transient());
    }
    let kms =
        "<Error><Code>AccessDenied</Code><Message>User: x is not authorized to perform: kms:Decrypt</Message></Error>";
    let error = refusal(Reply::new(403, kms)).await;
    assert!(matches!(error, StoreError::Forbidden { denial: Denial::Encryption, .. }), "{error}");
    let error = refusal(Reply::error(404, "NoSuchBucket")).await;
    assert!(matches!(&error, StoreError::Failed { reason, .. } if reason.contains("no such bucket")), "{error}");
    let error = refusal(Reply::new(404, "not here").with("content-type", "text/plain")).await;
    assert!(matches!(error, StoreError::Garbled { .. }), "{error}");
    let error = refusal(Reply::new(407, "")).await;
    assert!(matches!(&error, StoreError::Unreachable { reason, .. } if reason.contains("HTTPS_PROXY")), "{error}");
}

#[tokio::test]
async fn how_wrong_the_clock_is_is_said() {
    let reply = Reply::error(403, "RequestTimeTooSkewed").with("date", "Sat, 03 Feb 2024 04:05:06 GMT");
    let error = refusal(reply).await.to_string();
    assert!(error.contains("s ahead of the service's"), "{error}");
}

#[tokio::test]
async fn a_head_without_a_reason_is_asked_as_a_get() {
    // HEAD has no error document: S3 says 400 for an expired token and 404 for a bucket that is not there.
    for (code, status) in [("ExpiredToken", 400), ("AccessDenied", 403), ("NoSuchBucket", 404), ("NoSuchKey", 404)] {
        let server = Server::start(move |_, _| Reply::error(status, code)).await;
        let store = store(&server).await;
        let error = store.head(&Key::new("a")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(code) || text.contains("no such bucket") || error.is_not_found(), "{text}");
        assert_eq!(error.is_not_found(), code == "NoSuchKey", "{text}");
        let methods: Vec<_> = server.log().into_iter().map(|request| request.method).collect();
        // Credentials that have expired are looked for once more.
        let times = if code == "ExpiredToken" { 2 } else { 1 };
        assert_eq!(methods, ["HEAD", "GET"].repeat(times));
    }
}

#[tokio::test]
async fn a_404_of_whoever_stands_between_is_no_absence() {
    let s3 = S3::of(&[("a", b"x")]);
    let proxy = |method: &str| Reply::new(404, if method == "HEAD" { "" } else { "404 page not found" });
    let plain = |reply: Reply| reply.with("content-type", "text/plain");
    let server = faulty(&s3, move |request, number| (number > 0).then(|| plain(proxy(&request.method)))).await;
    let settings = StoreSettings { cloud_deadline: Duration::from_secs(2), ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    // The bucket is known to be there.
    store.get(&Key::new("a")).await.unwrap();
    let error = store.head(&Key::new("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Garbled { .. }), "{error}");
}

#[tokio::test]
async fn a_head_that_names_the_region_it_was_asked_in_is_not_sent_there_again() {
    let server = Server::start(|request, _| {
        let reply = if request.method == "HEAD" { Reply::new(400, "") } else { Reply::error(400, "ExpiredToken") };
        reply.with("x-amz-bucket-region", "us-east-1")
    })
    .await;
    let error = store(&server).await.head(&Key::new("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Forbidden { denial: Denial::Expired, .. }), "{error}");
}

/// A server whose buckets are in regions of their own.
async fn regional(home: &'static str, says: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Server {
    let s3 = S3::of(&[("a", b"x")]);
    faulty(&s3, move |request, _| {
        let asked = request.header("authorization").split('/').nth(2).unwrap_or("").to_owned();
        (asked != home).then(|| says(Reply::error(301, "PermanentRedirect")))
    })
    .await
}

#[tokio::test]
async fn a_bucket_in_another_region_is_found_once() {
    let server = regional("eu-north-1", |reply| reply.with("x-amz-bucket-region", "eu-north-1")).await;
    let store = store(&server).await;
    for _ in 0..3 {
        store.get(&Key::new("a")).await.unwrap();
    }
    assert_eq!(store.counters().sent, 4);
    assert_eq!(store.whereabouts().unwrap().region.as_deref(), Some("eu-north-1"));
    // Also where only the error document says it, or a HEAD.
    let malformed =
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-3</Region></Error>";
    let server = regional("eu-west-3", move |_| Reply::new(400, malformed)).await;
    let (one, two) = (store_of(&server).await, store_of(&server).await);
    one.get(&Key::new("a")).await.unwrap();
    assert_eq!(one.counters().sent, 2);
    assert!(two.head(&Key::new("a")).await.is_ok());
}

async fn store_of(server: &Server) -> Store {
    super::store(server).await
}

#[tokio::test]
async fn a_bucket_that_is_sent_to_and_fro_is_given_up() {
    let server = Server::start(|request, _| {
        let other = if request.header("authorization").contains("/us-east-1/") { "eu-west-1" } else { "us-east-1" };
        Reply::error(301, "PermanentRedirect").with("x-amz-bucket-region", other)
    })
    .await;
    let store = store(&server).await;
    let error = store.get(&Key::new("a")).await.unwrap_err();
    assert!(error.to_string().contains("the bucket is in us-east-1"), "{error}");
    assert_eq!(store.counters().sent, 2);
}

#[tokio::test]
async fn a_redirect_that_names_no_region_asks_the_bucket() {
    let s3 = S3::of(&[("a", b"x")]);
    let server = faulty(&s3, |request, _| {
        let lost = request.header("authorization").contains("/us-east-1/");
        match request.method.as_str() {
            "HEAD" => Some(Reply::new(200, "").with("x-amz-bucket-region", "ap-south-1")),
            _ => lost.then(|| Reply::error(301, "PermanentRedirect")),
        }
    })
    .await;
    let store = store(&server).await;
    store.get(&Key::new("a")).await.unwrap();
    assert_eq!(store.counters().sent, 3);
}

#[derive(Debug, Default)]
struct Renewed(std::sync::atomic::AtomicUsize);

#[async_trait::async_trait]
impl Renew for Renewed {
    fn expire(&self, _: Instant) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
    async fn describe(&self) -> Result<Described, crate::store::credentials::Fault> {
        Ok(Described { who: "AK".to_owned(), from: "a test".to_owned(), until: None })
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_token_has_expired_is_repeated_once_with_a_new_one() {
    let renewed = Arc::new(Renewed::default());
    let cloud = Cloud::of(Arc::new(object_store::memory::InMemory::new()), Duration::from_secs(60));
    let cloud = cloud.renewing(renewed.clone());
    let key = Key::new("a");
    let expired = || Failure {
        error: StoreError::Forbidden {
            location: cloud.location(&key),
            denial: Denial::Expired,
            code: None,
            reason: "old".to_owned(),
        },
        then: attempts::Then::Renew,
        unsaid: false,
        gained: false,
    };
    let ask = || {
        cloud.ask(&key, None, |_, _| {
            let seen = renewed.0.load(Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if seen == 0 { Err(expired()) } else { Ok(()) }
            }
            .boxed()
        })
    };
    let done = futures::future::join_all((0..64).map(|_| ask())).await;
    assert!(done.into_iter().all(|done| done.is_ok()));
    // That it is looked for once is for whoever has it to see to: each says that its own is refused.
    assert_eq!(renewed.0.load(Ordering::Relaxed), 64);
    let always = cloud.ask(&key, None, |_, _| async move { Err::<(), _>(expired()) }.boxed()).await;
    assert!(matches!(always, Err(StoreError::Forbidden { denial: Denial::Expired, .. })));
}
