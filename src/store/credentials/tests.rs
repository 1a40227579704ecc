use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::renewing::{Found, Search};
use super::*;
use crate::model::location::{Bucket, Key, Location};
use crate::store::{Credentials, Denial, StoreError};

/// A home directory and the variables that name it.
struct Home {
    directory: tempfile::TempDir,
    access: Access,
}

impl Home {
    /// An empty one, on a machine without a role.
    fn new() -> Home {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap().to_owned();
        let mut access = Access::default();
        access.variables.insert("HOME".to_owned(), home);
        access.variables.insert("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned());
        Home { directory, access }
    }

    fn with(mut self, name: &str, value: &str) -> Home {
        self.access.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn file(self, name: &str, text: &str) -> Home {
        write(self.directory.path(), name, text);
        self
    }

    fn asks(&self) -> (AwsCredentialProvider, Arc<dyn Renew>) {
        aws(&self.access, "us-west-2", &Line::new(&self.access).unwrap())
    }
}

fn write(home: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(home.join(".aws")).unwrap();
    std::fs::write(home.join(".aws").join(name), text).unwrap();
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::from(time).fmt(Format::DateTime).unwrap()
}

/// A server that answers each request line and headers with what `answer` says: status, body.
async fn server(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (answer, heard) = (Arc::new(answer), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, heard) = (Arc::clone(&answer), Arc::clone(&heard));
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read_exact(&mut byte).await.is_err() {
                        return;
                    }
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap();
                heard.lock().unwrap().push(request.lines().next().unwrap().to_owned());
                let (status, body) = answer(&request);
                let length = body.len();
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n");
                let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 600\r\n";
                stream.write_all(format!("{head}{ttl}\r\n{body}").as_bytes()).await.unwrap();
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn keys_in_the_environment_come_first_and_half_a_pair_is_said_so() {
    let home = Home::new()
        .with("AWS_ACCESS_KEY_ID", "AKENV")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("AWS_SESSION_TOKEN", "token")
        .file("credentials", "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s\n");
    let (provider, renew) = home.asks();
    let credential = provider.get_credential().await.unwrap();
    assert_eq!((credential.key_id.as_str(), credential.token.as_deref()), ("AKENV", Some("token")));
    let described = renew.describe().await.unwrap();
    assert!(described.who.contains("AKENV") && described.from.contains("environment"), "{described:?}");
    let half = Home::new().with("AWS_ACCESS_KEY_ID", "AKENV");
    let fault = half.asks().1.describe().await.unwrap_err().to_string();
    assert!(fault.contains("AWS_SECRET_ACCESS_KEY is not"), "{fault}");
}

#[tokio::test]
async fn profiles_are_read_from_the_home_that_was_named_and_a_named_one_is_asked_alone() {
    let mut home = Home::new()
        .file(
            "credentials",
            "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = s\n\
             [other]\naws_access_key_id = AKOTHER\naws_secret_access_key = s\naws_session_token = t\n",
        )
        .file("config", "[profile kept]\naws_access_key_id = AKKEPT\naws_secret_access_key = s\n");
    let key = async |home: &Home| home.asks().0.get_credential().await.map(|credential| credential.key_id.clone());
    assert_eq!(key(&home).await.unwrap(), "AKDEFAULT");
    home = home.with("AWS_PROFILE", "kept");
    assert_eq!(key(&home).await.unwrap(), "AKKEPT");
    // Named on the command line: neither the variable nor keys in the environment are meant.
    home = home.with("AWS_ACCESS_KEY_ID", "AKENV").with("AWS_SECRET_ACCESS_KEY", "s");
    home.access.s3.credentials = Credentials::Profile("other".to_owned());
    assert_eq!(key(&home).await.unwrap(), "AKOTHER");
    let described = home.asks().1.describe().await.unwrap();
    assert!(described.from.contains("profile `other`"), "{described:?}");
    home.access.s3.credentials = Credentials::Profile("missing".to_owned());
    let fault = home.asks().1.describe().await.unwrap_err().to_string();
    assert!(fault.contains("profile `missing`") && fault.contains("--no-sign-request"), "{fault}");
    // A file somewhere else.
    let elsewhere = home.directory.path().join("keys");
    std::fs::write(&elsewhere, "[missing]\naws_access_key_id = AKELSE\naws_secret_access_key = s\n").unwrap();
    let home = home.with("AWS_SHARED_CREDENTIALS_FILE", elsewhere.to_str().unwrap());
    assert_eq!(key(&home).await.unwrap(), "AKELSE");
}

#[tokio::test]
async fn a_file_that_was_written_anew_is_read_again_after_the_service_refused() {
    let text = |key: &str| format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
    let home = Home::new().file("credentials", &text("AKOLD"));
    let (provider, renew) = home.asks();
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKOLD");
    write(home.directory.path(), "credentials", &text("AKNEW"));
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKOLD");
    renew.expire(tokio::time::Instant::now());
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKNEW");
}

#[tokio::test]
async fn a_credential_process_is_run_and_its_failure_is_told_in_its_own_words() {
    let until = SystemTime::now() + Duration::from_secs(3600);
    let home = Home::new();
    let script = home.directory.path().join("process");
    let answer = format!(
        r#"{{"Version": 1, "AccessKeyId": "AKPROCESS", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "{}"}}"#,
        rfc3339(until)
    );
    std::fs::write(&script, format!("cat <<'END'\n{answer}\nEND\n")).unwrap();
    let home = home.file("config", &format!("[default]\ncredential_process = sh {}\n", script.display()));
    let (provider, renew) = home.asks();
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKPROCESS");
    let told = renew.describe().await.unwrap().until.unwrap();
    assert!(until.duration_since(told).unwrap() < Duration::from_secs(1));
    std::fs::write(&script, "echo not signed in to example >&2; exit 3").unwrap();
    renew.expire(tokio::time::Instant::now());
    let error = provider.get_credential().await.unwrap_err();
    let location = Location { bucket: Bucket::new("s3://bucket"), key: Key::new("key") };
    let error = Fault::within(&error).unwrap().clone().at(location);
    assert!(matches!(&error, StoreError::Forbidden { denial: Denial::Credentials, .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains("exit status: 3. Stderr: not signed in to example. Sign in again"), "{told}");
    // In words: neither as programs show values to programmers, nor with words that say nothing.
    assert!(!told.contains(['{', '"']) && !told.contains("an error occurred"), "{told}");
    // What has expired already is refused with its place.
    std::fs::write(&script, format!("echo '{}'", answer.replace(&rfc3339(until), "2020-01-01T00:00:00Z"))).unwrap();
    let fault = renew.describe().await.unwrap_err();
    assert!(
        matches!(&fault, Fault::Refused { denial: Denial::Expired, reason } if reason.contains("profile `default`"))
    );
}

#[tokio::test]
async fn a_cached_sign_in_that_has_ended_says_to_sign_in_again() {
    let home = Home::new().file(
        "config",
        "[default]\nsso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\n\
         sso_account_id = 123456789012\nsso_role_name = reader\n",
    );
    let fault = home.asks().1.describe().await.unwrap_err().to_string();
    assert!(fault.contains("aws sso login") && fault.contains("profile `default`"), "{fault}");
}

#[tokio::test]
async fn the_container_endpoint_is_asked_with_its_token() {
    let (url, _) = server(|request| {
        if !request.to_lowercase().contains("authorization: from-the-file") {
            return (401, String::new());
        }
        let until = rfc3339(SystemTime::now() + Duration::from_secs(3600));
        (200, format!(r#"{{"AccessKeyId":"AKECS","SecretAccessKey":"s","Token":"t","Expiration":"{until}"}}"#))
    })
    .await;
    let home = Home::new().file("token", "from-the-file\n");
    let token = home.directory.path().join(".aws/token");
    let home = home.with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{url}/creds"));
    let refused = home.asks().1.describe().await.unwrap_err();
    assert!(matches!(&refused, Fault::Refused { reason, .. } if reason.contains("401")), "{refused}");
    let home = home.with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap());
    let (provider, renew) = home.asks();
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKECS");
    assert!(renew.describe().await.unwrap().from.contains("container"));
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_unreachable_and_the_next_request_asks_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/creds", listener.local_addr().unwrap());
    drop(listener);
    let home = Home::new().with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    let (provider, _) = home.asks();
    let error = provider.get_credential().await.unwrap_err();
    assert!(matches!(Fault::within(&error), Some(Fault::Unreachable { .. })), "{error}");
    let address = url.trim_start_matches("http://").trim_end_matches("/creds").to_owned();
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let body = r#"{"AccessKeyId":"AKBACK","SecretAccessKey":"s"}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    });
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKBACK");
}

#[tokio::test]
async fn the_role_of_the_machine_is_asked_of_its_metadata_service_and_renewed() {
    let number = Arc::new(AtomicUsize::new(0));
    let (count, down) = (Arc::clone(&number), Arc::new(AtomicBool::new(false)));
    let is_down = Arc::clone(&down);
    let (url, asked) = server(move |request| {
        let until = rfc3339(SystemTime::now() + Duration::from_secs(6 * 3600));
        match request.lines().next().unwrap().split(' ').nth(1).unwrap() {
            _ if is_down.load(Ordering::SeqCst) => (500, String::new()),
            "/latest/api/token" => (200, "token".to_owned()),
            "/latest/meta-data/iam/security-credentials/" => (200, "reader".to_owned()),
            "/latest/meta-data/iam/security-credentials/reader" => {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let keys = format!(r#""AccessKeyId":"AKROLE{number}","SecretAccessKey":"s","Token":"t""#);
                (200, format!(r#"{{"Code":"Success","Type":"AWS-HMAC",{keys},"Expiration":"{until}"}}"#))
            }
            _ => (404, String::new()),
        }
    })
    .await;
    let mut home = Home::new().with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    home.access.variables.remove("AWS_EC2_METADATA_DISABLED");
    let (provider, renew) = home.asks();
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKROLE0");
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKROLE0");
    renew.expire(tokio::time::Instant::now());
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKROLE1");
    assert!(renew.describe().await.unwrap().from.contains("role of this machine"));
    // From a machine that has a role, no answer is an outage, and whoever waits may try again.
    down.store(true, Ordering::SeqCst);
    renew.expire(tokio::time::Instant::now());
    let fault = renew.describe().await.unwrap_err();
    assert!(matches!(fault, Fault::Unreachable { .. }), "{fault}");
    down.store(false, Ordering::SeqCst);
    assert_eq!(provider.get_credential().await.unwrap().key_id, "AKROLE2");
    assert!(asked.lock().unwrap().iter().any(|line| line.starts_with("PUT /latest/api/token")));
}

#[tokio::test]
async fn where_nothing_is_found_the_places_and_the_remedy_are_named_and_nobody_waits_for_seconds() {
    let mut home = Home::new();
    // An address that takes connections and never answers, as a firewall that drops packets seems to be.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    home.access.variables.remove("AWS_EC2_METADATA_DISABLED");
    let url = format!("http://{}", silent.local_addr().unwrap());
    let home = home.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    let begun = Instant::now();
    let error = home.asks().0.get_credential().await.unwrap_err();
    let took = begun.elapsed();
    let Some(Fault::Refused { denial: Denial::Credentials, reason }) = Fault::within(&error) else { panic!("{error}") };
    for part in ["AWS_ACCESS_KEY_ID", "profile `default`", ".aws/config", "role of this machine", "--no-sign-request"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// A search that counts and takes its time.
#[derive(Debug)]
struct Scripted {
    searches: AtomicUsize,
    takes: Duration,
    lives: Duration,
    fails: bool,
    /// As many searches as this has permits come to an end: all of them, unless a test says otherwise.
    ends: Semaphore,
    ended: AtomicUsize,
}

impl Scripted {
    fn renewing(takes: u64, lives: u64, fails: bool) -> (Arc<Scripted>, Arc<Renewing<AwsCredential>>) {
        let lives = Duration::from_secs(lives);
        let takes = Duration::from_millis(takes);
        let (searches, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ends = Semaphore::new(Semaphore::MAX_PERMITS);
        let search = Arc::new(Scripted { searches, takes, lives, fails, ends, ended });
        (Arc::clone(&search), Arc::new(Renewing::new(search)))
    }

    fn count(&self) -> usize {
        self.searches.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Search for Scripted {
    type Credential = AwsCredential;

    async fn find(&self) -> Result<Found<AwsCredential>, Fault> {
        let number = self.searches.fetch_add(1, Ordering::SeqCst);
        let until = SystemTime::now() + self.lives;
        tokio::time::sleep(self.takes).await;
        self.ends.acquire().await.unwrap().forget();
        self.ended.fetch_add(1, Ordering::SeqCst);
        if self.fails {
            return Err(Fault::refused("nothing"));
        }
        let credential = AwsCredential { key_id: number.to_string(), secret_key: String::new(), token: None };
        Ok(Found {
            credential: Arc::new(credential),
            who: String::new(),
            from: "a script".to_owned(),
            until: Some(until),
        })
    }
}

async fn keys(renewing: &Arc<Renewing<AwsCredential>>, requests: usize) -> Vec<String> {
    let requests = (0..requests).map(|_| renewing.get_credential());
    let got = futures::future::join_all(requests).await;
    got.into_iter().map(|got| got.map_or_else(|error| error.to_string(), |got| got.key_id.clone())).collect()
}

#[tokio::test]
async fn many_requests_make_one_search_and_a_failure_is_not_kept() {
    let (search, renewing) = Scripted::renewing(20, 3600, false);
    assert_eq!(keys(&renewing, 64).await, vec!["0"; 64]);
    // All of them are refused by the service: one search more.
    for _ in 0..64 {
        renewing.expire(tokio::time::Instant::now());
    }
    assert_eq!(keys(&renewing, 64).await, vec!["1"; 64]);
    assert_eq!(search.count(), 2);
    let (search, renewing) = Scripted::renewing(20, 3600, true);
    assert!(keys(&renewing, 64).await.iter().all(|error| error.contains("nothing")));
    assert_eq!(search.count(), 1);
    keys(&renewing, 1).await;
    assert_eq!(search.count(), 2);
}

#[tokio::test]
async fn a_search_that_began_before_the_refusal_is_not_believed() {
    let (search, renewing) = Scripted::renewing(0, 3600, false);
    assert_eq!(keys(&renewing, 1).await, ["0"]);
    // They are ageing: a search runs beside the second request, and does not end yet.
    search.ends.forget_permits(usize::MAX);
    renewing.age();
    assert_eq!(keys(&renewing, 1).await, ["0"]);
    until(|| search.count() == 2).await;
    renewing.expire(tokio::time::Instant::now());
    // Those who ask now wait for a search of their own, though the one from before ends first.
    let asking = tokio::spawn({
        let renewing = Arc::clone(&renewing);
        async move { keys(&renewing, 2).await }
    });
    until(|| search.count() == 3).await;
    search.ends.add_permits(1);
    until(|| search.ended.load(Ordering::SeqCst) == 2).await;
    search.ends.add_permits(1);
    assert_eq!(asking.await.unwrap(), ["2", "2"]);
    assert_eq!((keys(&renewing, 1).await, search.count()), (vec!["2".to_owned()], 3));
}

/// Lets others run until something is so.
async fn until(so: impl Fn() -> bool) {
    let waits = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waits).await.unwrap();
}

#[tokio::test]
async fn credentials_are_renewed_beside_the_requests_before_they_end() {
    let (search, renewing) = Scripted::renewing(0, 2, false);
    assert_eq!(keys(&renewing, 1).await, ["0"]);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    renewing.forget_pause();
    assert_eq!(keys(&renewing, 3).await, ["0", "0", "0"]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((keys(&renewing, 1).await, search.count()), (vec!["1".to_owned()], 2));
    // Past their end they are not handed out, and whoever asks waits.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!((keys(&renewing, 1).await, search.count()), (vec!["2".to_owned()], 3));
}

#[test]
fn what_is_shown_holds_no_secret() {
    let variables = BTreeMap::from([("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".to_owned(), "/x".to_owned())]);
    let mut with_token = variables.clone();
    with_token.insert("AWS_CONTAINER_AUTHORIZATION_TOKEN".to_owned(), "hidden-token".to_owned());
    let transport = Transport::new(&Line::new(&Access::default()).unwrap());
    let container = container::Container::named_by(&with_token, &transport).unwrap();
    assert!(!format!("{container:?}").contains("hidden-token"));
}

/// Breaks down once, and then finds.
#[derive(Debug, Default)]
struct Frail(AtomicBool);

#[async_trait::async_trait]
impl Search for Frail {
    type Credential = AwsCredential;

    async fn find(&self) -> Result<Found<AwsCredential>, Fault> {
        assert!(self.0.swap(true, Ordering::SeqCst), "what a search of somebody else's may do");
        let credential = AwsCredential { key_id: "k".to_owned(), secret_key: String::new(), token: None };
        Ok(Found { credential: Arc::new(credential), who: String::new(), from: "a script".to_owned(), until: None })
    }
}

#[tokio::test]
async fn a_search_that_breaks_down_is_made_again() {
    let renewing = Renewing::new(Arc::new(Frail::default()));
    assert!(renewing.get_credential().await.is_err());
    assert_eq!(renewing.get_credential().await.unwrap().key_id, "k");
}

#[tokio::test]
async fn what_newer_credentials_came_since_a_request_began_is_not_expired_by_it() {
    let (search, renewing) = Scripted::renewing(0, 3600, false);
    assert_eq!(keys(&renewing, 1).await, ["0"]);
    let asked = tokio::time::Instant::now();
    // Two buckets share them, and a request of each is refused: the second one hears of it when all is well again.
    assert!(renewing.expire(asked));
    assert_eq!(keys(&renewing, 1).await, ["1"]);
    assert!(renewing.expire(asked));
    assert_eq!((keys(&renewing, 1).await, search.count()), (vec!["1".to_owned()], 2));
}
