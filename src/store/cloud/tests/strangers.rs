//! Somebody who is not the service that was named: what asking again cannot mend is told at once.

use std::io::{Read, Write};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("nobodys-certificate.pem");
const KEY: &[u8] = include_bytes!("nobodys-key.pem");

/// A server that speaks TLS, with a certificate that no authority signed, and answers everything with one page; its host
/// and port. Whoever speaks something else is told `otherwise`, or the connection is closed. It ends with the test.
fn tls(otherwise: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut first = [0];
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            if socket.peek(&mut first).is_err() {
                continue;
            }
            // What a record of TLS begins with where a handshake does.
            if first[0] != 22 {
                let _ = socket.read(&mut [0; 4096]);
                let _ = socket.write_all(otherwise);
                continue;
            }
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    host
}

/// What a GET of a bucket of the service at `url` is told, and after how long.
async fn told(url: &str, ca_bundle: Option<std::path::PathBuf>) -> (StoreError, Duration) {
    let credentials = Credentials::Anonymous;
    let access = Access { s3: Reach { credentials, ..at(url) }, ca_bundle, ..Access::default() };
    // As the program has it: a minute for those who are known.
    let settings = StoreSettings { access, ..StoreSettings::default() };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    let began = Instant::now();
    let error = store.get(&Key::new("a")).await.unwrap_err();
    assert!(!error.is_not_found(), "{error}");
    (error, began.elapsed())
}

/// Sooner than anybody is given up who may come back.
const AT_ONCE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn who_speaks_tls_and_is_asked_in_plain_http_is_told_of_it() {
    let alert = &[21, 3, 3, 0, 2, 2, 10];
    let words = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\nTLS!";
    for otherwise in [&b""[..], alert, words] {
        let (error, took) = told(&format!("http://{}", tls(otherwise)), None).await;
        assert!(matches!(&error, StoreError::Unreachable { reason, .. } if reason.contains("https://")), "{error}");
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[tokio::test]
async fn who_speaks_plain_http_and_is_asked_in_tls_is_told_of_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut asked = 0;
        while let Ok((mut socket, _)) = listener.accept().await {
            asked += 1;
            assert!(asked == 1, "asked again");
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let (error, took) = told(&url, None).await;
    assert!(matches!(&error, StoreError::Unreachable { reason, .. } if reason.contains("http://")), "{error}");
    assert!(took < AT_ONCE && !server.is_finished(), "{took:?}");
    server.abort();
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_refused_at_once_and_trusted_once_it_is_named() {
    let host = tls(b"");
    let (error, took) = told(&format!("https://{host}"), None).await;
    assert!(matches!(&error, StoreError::Unreachable { reason, .. } if reason.contains("--ca-bundle")), "{error}");
    assert!(took < AT_ONCE, "{took:?}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("authority.pem");
    std::fs::write(&path, CERTIFICATE).unwrap();
    let (error, _) = told(&format!("https://{host}"), Some(path)).await;
    // It is heard then, and is no S3.
    assert!(matches!(&error, StoreError::Garbled { .. }), "{error}");
}

#[tokio::test]
async fn a_web_page_in_place_of_a_service_that_nobody_has_met_is_told_at_once() {
    let page = |status| Reply::new(status, "<html>welcome</html>").with("content-type", "text/html");
    for status in [200, 302, 403, 404] {
        let server = Server::start(move |_, _| page(status).with("location", "http://portal/")).await;
        let (error, _) = told(&server.url, None).await;
        assert!(matches!(&error, StoreError::Garbled { .. }), "{error}");
        assert_eq!(server.log().len(), 1, "{status}");
    }
    // Of one that is known it is a proxy that has trouble for a moment.
    let server = faulty(&S3::of(&[("a", b"x")]), move |_, number| (number == 1).then(|| page(200))).await;
    let settings = StoreSettings { access: access(&server), ..StoreSettings::default() };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    for _ in 0..2 {
        assert_eq!(&store.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    }
    assert_eq!((server.log().len(), store.counters().retries), (3, 1));
    // Nor does a reader of linked data wait to be told of a name that somebody has just typed.
    let server = faulty(&S3::of(&[("a", b"x")]), move |_, number| (number == 0).then(|| page(200))).await;
    let home = Store::open_with(&Bucket::new("s3://home"), super::settings(access(&server))).await.unwrap();
    let linked = crate::store::Stores::new(Arc::new(home)).get(&Bucket::new("s3://bucket")).await.unwrap();
    assert_eq!(&linked.get(&Key::new("a")).await.unwrap().bytes[..], b"x");
    assert_eq!(server.log().len(), 2);
}

#[tokio::test]
async fn linked_stores_share_their_connections() {
    let server = sound(&S3::of(&[("a", b"x")])).await;
    let settings = settings(access(&server));
    let home = Arc::new(Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap());
    home.get(&Key::new("a")).await.unwrap();
    let stores = crate::store::Stores::new(Arc::clone(&home));
    for name in ["s3://one", "s3://two", "s3://three"] {
        let linked = stores.get(&Bucket::new(name)).await.unwrap();
        assert!(linked.get(&Key::new("a")).await.is_err(), "there is one bucket only");
    }
    // One after the other, they all went over the first one's.
    assert_eq!((server.log().len(), server.connections()), (4, 1));
}

#[tokio::test]
async fn linked_buckets_ask_for_credentials_once() {
    let s3 = S3::of(&[("a", b"x")]);
    let keys = r#"{"AccessKeyId": "AK", "SecretAccessKey": "s"}"#;
    let server = faulty(&s3, move |request, _| (request.path() == "/keys").then(|| Reply::new(200, keys))).await;
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/keys", server.url)),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
    let access = Access { variables, ..access(&server) };
    let home = Store::open_with(&Bucket::new("s3://bucket"), settings(access)).await.unwrap();
    home.get(&Key::new("a")).await.unwrap();
    let stores = crate::store::Stores::new(Arc::new(home));
    for name in ["s3://one", "s3://two"] {
        let linked = stores.get(&Bucket::new(name)).await.unwrap();
        assert!(linked.get(&Key::new("a")).await.is_err(), "there is one bucket only");
        assert_eq!(linked.who().await.unwrap().unwrap().who, "access key AK");
    }
    let asked = |path: &str| server.log().iter().filter(|request| request.path() == path).count();
    assert_eq!((asked("/keys"), asked("/one/a"), asked("/two/a")), (1, 1, 1));
}
