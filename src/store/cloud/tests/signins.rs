//! Who asks, where that is known from a service that gives tokens, and what happens when a token is refused. The services
//! of the clouds stand in one server each: it gives tokens, and takes the last one only.

use std::sync::atomic::AtomicUsize;

use super::*;

/// A service that gives tokens and objects.
struct Signin {
    server: Server,
    /// The number of the token that is taken; each one that is given has the next.
    taken: Arc<AtomicUsize>,
}

impl Signin {
    /// `gives` makes the answer to a request for a token of the token's text; what it leaves alone is for an object, which
    /// `refuses` says no to.
    async fn start(
        gives: impl Fn(&Request, &str) -> Option<Reply> + Send + Sync + 'static,
        object: Reply,
        refusal: Reply,
    ) -> Signin {
        let (given, taken) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(1)));
        let wanted = Arc::clone(&taken);
        let server = Server::start(move |request, _| {
            if let Some(reply) = gives(request, &format!("token{}", given.load(Ordering::SeqCst) + 1)) {
                given.fetch_add(usize::from(reply.status == 200 && !reply.body.is_empty()), Ordering::SeqCst);
                return reply;
            }
            let bearer = format!("Bearer token{}", wanted.load(Ordering::SeqCst));
            if request.header("authorization") == bearer { object.clone() } else { refusal.clone() }
        })
        .await;
        Signin { server, taken }
    }

    fn asked(&self, part: &str) -> Vec<Request> {
        self.server.log().into_iter().filter(|request| request.target.contains(part)).collect()
    }
}

fn words(list: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A token that is taken is used again; one that is not is asked for anew once, for all who wait, and the request repeated.
async fn is_renewed_once(signin: &Signin, store: &Store, token: &str, object: &str) {
    let key = Key::new("a");
    for _ in 0..2 {
        assert_eq!(&store.get(&key).await.unwrap().bytes[..], b"x");
    }
    assert_eq!((signin.asked(token).len(), signin.asked(object).len()), (1, 2));
    signin.taken.store(2, Ordering::SeqCst);
    let all = futures::future::join_all((0..8).map(|_| store.get(&key))).await;
    assert!(all.into_iter().all(|read| read.unwrap().bytes == b"x"[..]));
    assert_eq!(signin.asked(token).len(), 2);
    // A service that takes no token at all is asked twice and believed.
    signin.taken.store(0, Ordering::SeqCst);
    let before = signin.asked(object).len();
    let error = store.get(&key).await.unwrap_err();
    assert!(matches!(error, StoreError::Forbidden { denial: Denial::Credentials | Denial::Expired, .. }), "{error}");
    assert_eq!((signin.asked(token).len(), signin.asked(object).len() - before), (3, 2));
}

/// A store of Azure whose tokens come at `path` of its own server.
async fn azure(path: &'static str, list: &[(&str, &str)]) -> (Signin, Store) {
    let refusal =
        "<Error><Code>InvalidAuthenticationInfo</Code><Message>Server failed to authenticate</Message></Error>";
    let object = Reply::new(200, "x").with("etag", "\"e\"").with("last-modified", "Sat, 03 Feb 2024 04:05:06 GMT");
    let gives = move |request: &Request, token: &str| {
        let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3600;
        let text = match path {
            "/identity" => format!(r#"{{"access_token": "{token}", "expires_on": "{until}"}}"#),
            _ => format!(r#"{{"access_token": "{token}", "expires_in": 3600, "token_type": "Bearer"}}"#),
        };
        (request.path() == path).then(|| Reply::new(200, text))
    };
    let named = |reply: Reply| reply.with("x-ms-request-id", "1");
    let signin = Signin::start(gives, named(object), named(Reply::new(401, refusal))).await;
    let mut variables = words(list);
    variables.insert("AZURE_AUTHORITY_HOST".to_owned(), signin.server.url.clone());
    if path == "/identity" {
        variables.insert("IDENTITY_ENDPOINT".to_owned(), format!("{}{path}", signin.server.url));
    }
    let access = Access { azure: at(&signin.server.url), variables, ..Access::default() };
    let store = Store::open_with(&Bucket::new("az://account/box"), settings(access)).await.unwrap();
    (signin, store)
}

#[tokio::test]
async fn a_service_principal_of_azure_signs_in_with_its_secret() {
    let list = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "id"), ("AZURE_CLIENT_SECRET", "a b&c")];
    let (signin, store) = azure("/t/oauth2/v2.0/token", &list).await;
    is_renewed_once(&signin, &store, "/oauth2/", "/account/box/a").await;
    let sent = String::from_utf8(signin.asked("/oauth2/")[0].body.clone()).unwrap();
    assert!(sent.contains("client_secret=a+b%26c") && sent.contains("grant_type=client_credentials"), "{sent}");
    let who = store.who().await.unwrap().unwrap();
    assert!(who.from.contains("service principal") && who.until.is_some(), "{who:?}");
}

#[tokio::test]
async fn a_workload_of_azure_shows_its_file_which_is_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proof");
    std::fs::write(&file, "proof1\n").unwrap();
    let path = file.to_str().unwrap();
    let list = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "id"), ("AZURE_FEDERATED_TOKEN_FILE", path)];
    let (signin, store) = azure("/t/oauth2/v2.0/token", &list).await;
    store.get(&Key::new("a")).await.unwrap();
    std::fs::write(&file, "proof2\n").unwrap();
    signin.taken.store(2, Ordering::SeqCst);
    store.get(&Key::new("a")).await.unwrap();
    let sent: Vec<String> =
        signin.asked("/oauth2/").into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect();
    assert!(sent[0].contains("client_assertion=proof1") && sent[1].ends_with("client_assertion=proof2"), "{sent:?}");
}

#[tokio::test]
async fn the_identity_that_a_service_of_azure_gives_is_asked_for_with_its_header() {
    let (signin, store) = azure("/identity", &[("IDENTITY_HEADER", "h")]).await;
    is_renewed_once(&signin, &store, "/identity", "/account/box/a").await;
    let asked = &signin.asked("/identity")[0];
    assert_eq!((asked.header("metadata"), asked.header("x-identity-header")), ("true", "h"));
    assert_eq!(asked.query("resource").as_deref(), Some("https://storage.azure.com/"));
}

#[tokio::test]
async fn who_gives_no_token_is_named_with_its_words() {
    let refusal = r#"{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."}"#;
    for (status, transient) in [(401, false), (503, true)] {
        let server = Server::start(move |_, _| Reply::new(status, refusal)).await;
        let mut variables = words(&[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "i"), ("AZURE_CLIENT_SECRET", "s")]);
        variables.insert("AZURE_AUTHORITY_HOST".to_owned(), server.url.clone());
        let access = Access { azure: at(&server.url), variables, ..Access::default() };
        let settings = StoreSettings { cloud_deadline: Duration::from_secs(1), ..settings(access) };
        let store = Store::open_with(&Bucket::new("az://account/box"), settings).await.unwrap();
        let error = store.get(&Key::new("a")).await.unwrap_err();
        assert!(error.to_string().contains("AADSTS7000215"), "{error}");
        assert_eq!((error.is_transient(), error.is_not_found()), (transient, false), "{error}");
        assert!(server.log().iter().all(|request| request.target.contains("/oauth2/")));
    }
}

/// A service of Google's, and its metadata service and sign-in on the same server.
async fn google() -> Signin {
    let gives = |request: &Request, token: &str| match request.path().as_str() {
        "/computeMetadata/v1/" => Some(Reply::new(200, "").with("metadata-flavor", "Google")),
        path if path.ends_with("/default/token") && request.header("metadata-flavor") != "Google" => {
            Some(Reply::new(403, "who asks?"))
        }
        path if path.ends_with("/token") => {
            Some(Reply::new(200, format!(r#"{{"access_token": "{token}", "expires_in": 3599}}"#)))
        }
        _ => None,
    };
    let object = Reply::new(200, "x").with("etag", "\"e\"").with("x-goog-hash", "md5=x");
    let object = object.with("last-modified", "Sat, 03 Feb 2024 04:05:06 GMT").with("x-goog-generation", "1");
    let refusal = "<Error><Code>AuthenticationRequired</Code><Message>Authentication required.</Message></Error>";
    Signin::start(gives, object, Reply::new(401, refusal).with("x-guploader-uploadid", "1")).await
}

async fn google_store(signin: &Signin, list: &[(&str, &str)]) -> Store {
    let access = Access { google: at(&signin.server.url), variables: words(list), ..Access::default() };
    Store::open_with(&Bucket::new("gs://bucket"), settings(access)).await.unwrap()
}

#[tokio::test]
async fn the_service_account_of_a_machine_of_google_is_asked_of_its_metadata_service() {
    let signin = google().await;
    let host = signin.server.url.trim_start_matches("http://");
    let store = google_store(&signin, &[("GCE_METADATA_HOST", host)]).await;
    is_renewed_once(&signin, &store, "/default/token", "/bucket/a").await;
    let who = store.who().await.unwrap().unwrap();
    assert!(who.from.contains("this machine") && who.until.is_some(), "{who:?}");
}

#[tokio::test]
async fn who_signed_in_with_gcloud_is_given_tokens_for_it() {
    let (signin, directory) = (google().await, tempfile::tempdir().unwrap());
    let file = directory.path().join("application_default_credentials.json");
    let text = serde_json::json!({"type": "authorized_user", "client_id": "id", "client_secret": "secret",
        "refresh_token": "refresh", "token_uri": format!("{}/token", signin.server.url)});
    std::fs::write(&file, text.to_string()).unwrap();
    let store = google_store(&signin, &[("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())]).await;
    is_renewed_once(&signin, &store, "/token", "/bucket/a").await;
    assert!(String::from_utf8_lossy(&signin.asked("/token")[0].body).contains("refresh_token=refresh"));
    std::fs::write(&file, r#"{"type": "external_account"}"#).unwrap();
    let list = [("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())];
    let access = Access { variables: words(&list), ..Access::default() };
    let error = Store::open_with(&Bucket::new("gs://bucket"), settings(access)).await.unwrap_err();
    assert!(error.to_string().contains("external_account"), "{error}");
}

#[tokio::test]
async fn a_service_account_of_google_signs_its_tokens_itself_and_anew_when_they_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("account.json");
    let write = |number: &str| {
        let key = serde_json::json!({"type": "service_account", "private_key": include_str!("nobodys-key.pem"),
            "private_key_id": number, "client_email": "reader@example.org"});
        std::fs::write(&file, key.to_string()).unwrap();
    };
    write("first");
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    let server = Server::start(move |request, number| {
        let bearer = request.header("authorization").trim_start_matches("Bearer ").to_owned();
        seen.lock().unwrap().push(bearer);
        match number {
            1 => Reply::new(401, "<Error><Code>InvalidToken</Code></Error>").with("x-guploader-uploadid", "1"),
            _ => Reply::new(200, "x").with("etag", "\"e\"").with("x-goog-hash", "md5=x"),
        }
        .with("last-modified", "Sat, 03 Feb 2024 04:05:06 GMT")
    })
    .await;
    for variable in ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"] {
        write("first");
        let variables = words(&[(variable, file.to_str().unwrap())]);
        let access = Access { google: at(&server.url), variables, ..Access::default() };
        let store = Store::open_with(&Bucket::new("gs://bucket"), settings(access)).await.unwrap();
        store.get(&Key::new("a")).await.unwrap();
        write("second");
        store.get(&Key::new("a")).await.unwrap();
    }
    let kinds = kinds.lock().unwrap();
    // Header, claims and signature; the header names the key, which was another one in the file by then.
    assert!(kinds.iter().all(|bearer| bearer.split('.').count() == 3), "{kinds:?}");
    let header = |number: usize| kinds[number].split('.').next().unwrap().to_owned();
    assert!(kinds.len() == 5 && header(0) == header(1) && header(2) != header(1), "{kinds:?}");
}

/// Set in a process that a test runs itself in again: where SSO and STS answer, and where sign-ins are kept, Amazon's
/// library takes from the process, and variables of this one are everybody's.
const AGAIN: &str = "H5MOUNT_TEST_AGAIN";

/// Whether this is such a process; then its object was read, by whoever its variables name.
async fn is_again() -> bool {
    let Ok(url) = std::env::var(AGAIN) else { return false };
    let access = Access { s3: at(&url), variables: std::env::vars().collect(), ..Access::default() };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings(access)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    }
    let who = store.who().await.unwrap().unwrap();
    assert!(who.who == "access key AK2" && who.until.is_some(), "{who:?}");
    true
}

/// Runs the test called `name` again, with these variables alone, against a service that gives keys AK1, AK2 … with
/// `gives`, and calls the first one expired. What it was asked for keys.
async fn again(
    name: &str,
    variables: &[(&str, &str)],
    endpoint: &str,
    gives: impl Fn(&Request, &str) -> Option<Reply> + Send + Sync + 'static,
) -> Vec<Request> {
    let (s3, given) = (S3::of(&[("a", b"x")]), AtomicUsize::new(0));
    let server = faulty(&s3, move |request, _| {
        if request.path().starts_with("/bucket") {
            let signed = request.header("authorization").contains("Credential=AK2/");
            return (!signed).then(|| Reply::error(400, "ExpiredToken"));
        }
        gives(request, &format!("AK{}", given.fetch_add(1, Ordering::SeqCst) + 1))
    })
    .await;
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("store::cloud::tests::signins::{name}")]).env_clear();
    again.envs(variables.iter().copied()).env("AWS_EC2_METADATA_DISABLED", "true");
    again.env(AGAIN, &server.url).env(endpoint, &server.url).kill_on_drop(true);
    let done = tokio::time::timeout(Duration::from_secs(60), again.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    server.log().into_iter().filter(|request| !request.path().starts_with("/bucket")).collect()
}

#[tokio::test]
async fn who_signed_in_with_sso_is_given_keys_for_the_token_that_is_kept() {
    const NAME: &str = "who_signed_in_with_sso_is_given_keys_for_the_token_that_is_kept";
    /// Name of the file of a token: SHA-1 of the URL where one signs in.
    const FILE: &str = "e8be5486177c5b5392bd9aa76563515b29358e6e.json";
    if is_again().await {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    let url = "https://example.awsapps.com/start";
    let profile = format!(
        "[profile work]\nsso_start_url = {url}\nsso_region = us-east-1\nsso_account_id = 123456789012\n\
         sso_role_name = reader\n"
    );
    std::fs::write(home.path().join(".aws/config"), profile).unwrap();
    let token = r#"{"accessToken": "signed-in", "expiresAt": "2099-01-01T00:00:00Z", "region": "us-east-1"}"#;
    std::fs::write(cache.join(FILE), token).unwrap();
    let gives = |request: &Request, key: &str| {
        let signed_in = request.header("x-amz-sso_bearer_token") == "signed-in";
        let keys = format!(r#""accessKeyId": "{key}", "secretAccessKey": "s", "sessionToken": "t""#);
        let text = format!(r#"{{"roleCredentials": {{{keys}, "expiration": 4070908800000}}}}"#);
        Some(if signed_in { Reply::new(200, text) } else { Reply::new(401, "") })
    };
    let variables = [("HOME", home.path().to_str().unwrap()), ("AWS_PROFILE", "work")];
    let asked = again(NAME, &variables, "AWS_ENDPOINT_URL_SSO", gives).await;
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].path(), "/federation/credentials");
    assert_eq!(asked[0].query("role_name").as_deref(), Some("reader"));
}

#[tokio::test]
async fn a_web_identity_is_taken_to_sts_for_a_role() {
    const NAME: &str = "a_web_identity_is_taken_to_sts_for_a_role";
    if is_again().await {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "proof-of-the-pod").unwrap();
    let gives = |request: &Request, key: &str| {
        let sent = String::from_utf8_lossy(&request.body).into_owned();
        let proven = sent.contains("Action=AssumeRoleWithWebIdentity") && sent.contains("proof-of-the-pod");
        let keys = format!(
            "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        );
        let text = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult>{keys}</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        Some(if proven { Reply::new(200, text).with("content-type", "text/xml") } else { Reply::new(403, "") })
    };
    let variables = [
        ("HOME", home.path().to_str().unwrap()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader"),
    ];
    let asked = again(NAME, &variables, "AWS_ENDPOINT_URL_STS", gives).await;
    assert_eq!(asked.len(), 2);
    assert!(String::from_utf8_lossy(&asked[0].body).contains("role%2Freader"));
}
