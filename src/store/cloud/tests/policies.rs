//! Buckets that deny LIST: what a refusal means in them.

use super::*;

/// A server that refuses what is not there, what `closed` names, and lists.
async fn secretive(s3: &S3, closed: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    let there = s3.clone();
    faulty(s3, move |request, _| {
        let path = request.path();
        let absent = there.answer(request).status == 404;
        (request.is_list() || absent || closed(&path)).then(|| Reply::error(403, "AccessDenied"))
    })
    .await
}

async fn trusting(server: &Server) -> Store {
    let access = Access { missing_as_403: true, ..access(server) };
    Store::open_with(&Bucket::new("s3://bucket"), settings(access)).await.unwrap()
}

const META: &str = "db/R/d/D/.dataset.json";
const CHUNK: &str = "db/R/d/D/0_0";

fn world() -> S3 {
    S3::of(&[(META, b"{}"), (CHUNK, b"x"), ("db/R/.group.json", b"{}")])
}

#[tokio::test]
async fn a_refusal_is_never_absence_by_itself() {
    let server = secretive(&world(), |_| false).await;
    let store = store(&server).await;
    store.get(&Key::new(META)).await.unwrap();
    for key in ["db/R/d/D/1_0", "db/R/d/D/2_0"] {
        let error = store.get(&Key::new(key)).await.unwrap_err();
        assert!(matches!(error, StoreError::Forbidden { denial: Denial::Rights, .. }), "{error}");
        // Nothing is known yet of listings.
        assert!(!error.to_string().contains("--missing-as-403"), "{error}");
    }
    assert!(matches!(store.list("db", None).await, Err(StoreError::Forbidden { .. })));
    let error = store.get(&Key::new("db/R/d/D/1_0")).await.unwrap_err();
    assert!(error.to_string().contains("--missing-as-403"), "{error}");
}

#[tokio::test]
async fn with_evidence_a_refusal_is_absence_and_the_evidence_is_shared() {
    let server = secretive(&world(), |_| false).await;
    let store = trusting(&server).await;
    let missing: Vec<Key> = (1..65).map(|number| Key::new(format!("db/R/d/D/{number}_0"))).collect();
    // Nothing was granted yet.
    assert!(matches!(store.get(&missing[0]).await, Err(StoreError::Forbidden { .. })));
    store.get(&Key::new(META)).await.unwrap();
    let before = server.log().len();
    let asked = futures::future::join_all(missing.iter().map(|key| store.get(key))).await;
    assert!(asked.into_iter().all(|asked| asked.unwrap_err().is_not_found()));
    // One name that nobody gave, and one object that is known, for all of them within a second.
    let asked = server.log().len() - before;
    assert!((66..=70).contains(&asked), "{asked}");
    // One HEAD: asked again as a GET, for its reason.
    assert!(store.head(&Key::new("db/R/d/D/99_0")).await.unwrap_err().is_not_found());
    // What lies deeper in the folder of the dataset belongs to it.
    assert!(store.get(&Key::new("db/R/d/D/p1/0_0")).await.unwrap_err().is_not_found());
    // What is known of the file says nothing of another dataset: its folder may be closed.
    store.get(&Key::new("db/R/.group.json")).await.unwrap();
    for key in ["db/R/d/E/0_0", "db/R/d/E/.dataset.json", "db/S/d/E/0_0"] {
        let error = store.get(&Key::new(key)).await.unwrap_err();
        assert!(matches!(error, StoreError::Forbidden { .. }), "{error}");
    }
    // Beside the root group that is granted, though.
    assert!(store.get(&Key::new("db/R/.info.json")).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_closed_prefix_is_no_absence() {
    // What nobody made answers 404: then a refusal is a refusal.
    let server = faulty(&world(), |request, _| {
        (request.path() == "/bucket/db/R/d/D/0_0").then(|| Reply::error(403, "AccessDenied"))
    })
    .await;
    let store = trusting(&server).await;
    store.get(&Key::new(META)).await.unwrap();
    assert!(matches!(store.get(&Key::new(CHUNK)).await, Err(StoreError::Forbidden { .. })));
    // The right to read ends: what was granted is refused, and nothing is absent.
    let open = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&open);
    let server = secretive(&world(), move |_| !now.load(Ordering::Relaxed)).await;
    let store = trusting(&server).await;
    store.get(&Key::new(META)).await.unwrap();
    open.store(false, Ordering::Relaxed);
    assert!(matches!(store.get(&Key::new(CHUNK)).await, Err(StoreError::Forbidden { .. })));
    assert!(matches!(store.get(&Key::new("db/R/d/D/7_7")).await, Err(StoreError::Forbidden { .. })));
}

#[tokio::test]
async fn other_refusals_are_never_absence() {
    let kms = "<Error><Code>AccessDenied</Code><Message>not authorized to perform: kms:Decrypt</Message></Error>";
    let reasons = [
        Reply::error(400, "ExpiredToken"),
        Reply::error(403, "InvalidObjectState"),
        Reply::error(403, "RequestTimeTooSkewed"),
        Reply::error(403, "InvalidAccessKeyId"),
        Reply::error(400, "KMS.DisabledException"),
        Reply::new(403, kms),
    ];
    for reason in reasons {
        let there = world();
        let server = faulty(&world(), move |request, _| match request.path().as_str() {
            "/bucket/db/R/d/D/0_0" => Some(reason.clone()),
            _ => (there.answer(request).status == 404).then(|| Reply::error(403, "AccessDenied")),
        })
        .await;
        let store = trusting(&server).await;
        store.get(&Key::new(META)).await.unwrap();
        let error = store.get(&Key::new(CHUNK)).await.unwrap_err();
        assert!(matches!(error, StoreError::Forbidden { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_refused_with_another_code_than_absence_is_not_absent() {
    // Azure: what is not there lacks a permission, and one blob is closed by the network's rules.
    let refusal = |code: &str| {
        let body = format!("<Error><Code>{code}</Code><Message>told</Message></Error>");
        Reply::new(403, body).with("x-ms-request-id", "1")
    };
    let there = S3::of(&[(META, b"{}"), (CHUNK, b"x")]);
    let server = Server::start(move |request, _| {
        let path = request.path().replacen("/account/", "/", 1);
        let answer = there.answer(&Request { target: path.clone(), ..request.clone() });
        match path.as_str() {
            "/bucket/db/R/d/D/0_0" => refusal("AuthorizationFailure"),
            _ if answer.status == 404 => refusal("AuthorizationPermissionMismatch"),
            _ => answer.with("x-ms-request-id", "1"),
        }
    })
    .await;
    let azure = Reach { credentials: Credentials::Anonymous, ..at(&server.url) };
    let access = Access { missing_as_403: true, azure, ..Access::default() };
    let store = Store::open_with(&Bucket::new("az://account/bucket"), settings(access)).await.unwrap();
    store.get(&Key::new(META)).await.unwrap();
    assert!(store.get(&Key::new("db/R/d/D/9_9")).await.unwrap_err().is_not_found());
    let error = store.get(&Key::new(CHUNK)).await.unwrap_err();
    assert!(matches!(error, StoreError::Forbidden { denial: Denial::Rights, .. }), "{error}");
}
