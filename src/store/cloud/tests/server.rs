//! A small HTTP server that says what a test wants it to say, and a small S3 to say the rest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path with its query, as sent.
    pub target: String,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn path(&self) -> String {
        decoded(self.target.split('?').next().unwrap())
    }

    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(decoded))
    }

    pub fn is_list(&self) -> bool {
        self.query("list-type").is_some()
    }
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => (bytes.push(byte), rest = &tail[2..]),
            (byte, _) => (bytes.push(*byte), rest = tail),
        };
    }
    String::from_utf8(bytes).unwrap()
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Of the body, only so much is sent, and the connection closed.
    pub cut: Option<usize>,
    /// After the part that is sent, nothing comes and nothing is closed.
    pub hang: bool,
    /// Before a byte of the answer.
    pub stall: Duration,
    /// Of the body, so many bytes are sent at a time, and so long after each other.
    pub drip: Option<(usize, Duration)>,
    /// How its length is told.
    pub length: Length,
}

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// By a header.
    Stated,
    /// By chunks, of which the last is empty.
    Chunks,
    /// By the end of the connection.
    Unsaid,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            hang: false,
            stall: Duration::ZERO,
            drip: None,
            length: Length::Stated,
        }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// An error document as S3 sends it.
    pub fn error(status: u16, code: &str) -> Reply {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told</Message></Error>");
        Reply::new(status, body).with("x-amz-request-id", "1")
    }

    pub fn cut(self, after: usize) -> Reply {
        Reply { cut: Some(after), ..self }
    }

    pub fn hang(self, after: usize) -> Reply {
        Reply { cut: Some(after), hang: true, ..self }
    }

    pub fn drip(self, bytes: usize, apart: Duration) -> Reply {
        Reply { drip: Some((bytes, apart)), ..self }
    }

    pub fn told_by(self, length: Length) -> Reply {
        Reply { length, ..self }
    }

    pub fn stall(self, stall: Duration) -> Reply {
        Reply { stall, ..self }
    }
}

/// A server on a port of its own, until it is dropped.
pub struct Server {
    pub url: String,
    log: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    gauge: Arc<Gauge>,
    task: tokio::task::JoinHandle<()>,
}

/// Requests that came and are not answered yet.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

type Handler = Arc<dyn Fn(&Request, usize) -> Reply + Send + Sync>;

impl Server {
    /// `answer` is given each request and its number, from 0.
    pub async fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::<Mutex<Vec<Request>>>::default();
        let (answer, kept): (Handler, _) = (Arc::new(answer), Arc::clone(&log));
        let connections = Arc::<AtomicUsize>::default();
        let gauge = Arc::<Gauge>::default();
        let (counted, gauged) = (Arc::clone(&connections), Arc::clone(&gauge));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&kept), Arc::clone(&gauged)));
            }
        });
        Server { url, log, connections, gauge, task }
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests waited for their answers at a time, at most.
    pub fn most_at_a_time(&self) -> usize {
        self.gauge.most.load(Ordering::SeqCst)
    }

    /// What was asked so far.
    pub fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, answer: Handler, log: Arc<Mutex<Vec<Request>>>, gauge: Arc<Gauge>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        let reply = answer(&request, number);
        gauge.most.fetch_max(gauge.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(reply.stall).await;
        gauge.now.fetch_sub(1, Ordering::SeqCst);
        let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
        let said = reply.headers.iter().any(|(name, _)| *name == "content-length");
        match reply.length {
            Length::Stated if said => {}
            Length::Stated => head += &format!("content-length: {}\r\n", reply.body.len()),
            Length::Chunks => head += "transfer-encoding: chunked\r\n",
            Length::Unsaid => head += "connection: close\r\n",
        }
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let whole = match reply.length {
            Length::Chunks => chunked(&reply.body),
            Length::Stated | Length::Unsaid => reply.body.clone(),
        };
        let body = if request.method == "HEAD" { &[] } else { &whole[..reply.cut.unwrap_or(whole.len())] };
        let sent = match reply.drip {
            None => stream.write_all(&[head.as_bytes(), body].concat()).await,
            Some((bytes, apart)) => {
                let mut sent = stream.write_all(head.as_bytes()).await;
                for piece in body.chunks(bytes) {
                    tokio::time::sleep(apart).await;
                    sent = sent.and(stream.write_all(piece).await);
                }
                sent
            }
        };
        if reply.hang {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        if sent.is_err() || reply.cut.is_some() || reply.length == Length::Unsaid {
            return;
        }
    }
}

/// In two chunks and the end.
fn chunked(body: &[u8]) -> Vec<u8> {
    let (one, other) = body.split_at(body.len() / 2);
    let mut sent = Vec::new();
    for piece in [one, other].into_iter().filter(|piece| !piece.is_empty()) {
        sent.extend(format!("{:x}\r\n", piece.len()).bytes());
        sent.extend(piece);
        sent.extend(b"\r\n");
    }
    sent.extend(b"0\r\n\r\n");
    sent
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text: &String| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, target, headers, body })
}

/// The bucket `/bucket/` of an S3 with these objects.
#[derive(Clone, Default)]
pub struct S3(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl S3 {
    pub fn of(objects: &[(&str, &[u8])]) -> S3 {
        let objects = objects.iter().map(|(key, bytes)| ((*key).to_owned(), bytes.to_vec())).collect();
        S3(Arc::new(Mutex::new(objects)))
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.0.lock().unwrap().insert(key.to_owned(), bytes.to_vec());
    }

    pub fn answer(&self, request: &Request) -> Reply {
        let path = request.path();
        let Some(key) = path.strip_prefix("/bucket").map(|path| path.trim_start_matches('/')) else {
            return Reply::error(404, "NoSuchBucket");
        };
        match request.method.as_str() {
            _ if request.is_list() => self.page(request),
            "HEAD" if key.is_empty() => Reply::new(200, ""),
            "PUT" => self.write(key, request),
            "DELETE" => {
                self.0.lock().unwrap().remove(key);
                Reply::new(204, "")
            }
            _ => self.read(key, request),
        }
    }

    fn write(&self, key: &str, request: &Request) -> Reply {
        let mut objects = self.0.lock().unwrap();
        let there = objects.get(key).map(|bytes| etag(bytes));
        let unmet = request.header("if-none-match") == "*" && there.is_some();
        let other = !request.header("if-match").is_empty() && there.as_deref() != Some(request.header("if-match"));
        if unmet || other {
            return Reply::error(412, "PreconditionFailed");
        }
        objects.insert(key.to_owned(), request.body.clone());
        Reply::new(200, "").with("etag", etag(&request.body))
    }

    fn read(&self, key: &str, request: &Request) -> Reply {
        let objects = self.0.lock().unwrap();
        let Some(bytes) = objects.get(key) else { return Reply::error(404, "NoSuchKey") };
        let tag = etag(bytes);
        if !request.header("if-match").is_empty() && request.header("if-match") != tag {
            return Reply::error(412, "PreconditionFailed");
        }
        let reply = match request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-')) {
            None => Reply::new(200, bytes.clone()),
            Some((first, last)) => {
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                if first >= bytes.len() {
                    return Reply::error(416, "InvalidRange");
                }
                let last = last.min(bytes.len() - 1);
                let range = format!("bytes {first}-{last}/{}", bytes.len());
                Reply::new(206, &bytes[first..=last]).with("content-range", range)
            }
        };
        reply.with("etag", tag).with("last-modified", "Sat, 03 Feb 2024 04:05:06 GMT").with("x-amz-request-id", "1")
    }

    fn page(&self, request: &Request) -> Reply {
        let prefix = request.query("prefix").unwrap_or_default();
        let after = request.query("continuation-token").unwrap_or_default();
        let most: usize = request.query("max-keys").map_or(1000, |number| number.parse().unwrap());
        let objects = self.0.lock().unwrap();
        let mut names = Vec::<(String, Option<usize>)>::new();
        for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let rest = &key[prefix.len()..];
            let folder = request.query("delimiter").and_then(|_| rest.find('/')).map(|at| &rest[..=at]);
            let name = format!("{prefix}{}", folder.unwrap_or(rest));
            if name.as_str() > after.as_str() && names.last().is_none_or(|(last, _)| *last != name) {
                names.push((name, folder.is_none().then_some(bytes.len())));
            }
        }
        let more = names.len() > most;
        names.truncate(most);
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>");
        if more {
            xml += &format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&names.last().unwrap().0));
        }
        for (name, size) in names {
            let name = escaped(&name);
            xml += &match size {
                None => format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
                Some(size) => format!(
                    "<Contents><Key>{name}</Key><LastModified>2024-02-03T04:05:06.000Z</LastModified>\
                     <ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>"
                ),
            };
        }
        Reply::new(200, xml + "</ListBucketResult>").with("content-type", "application/xml")
    }
}

fn escaped(text: &str) -> String {
    let plain = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        c if c.is_control() => format!("&#{};", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(plain).collect()
}

/// Of bytes, as good as MD5 for a test.
pub fn etag(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(bytes.len() as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("\"{sum:x}\"")
}
