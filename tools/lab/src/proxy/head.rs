//! Heads of HTTP/1.1 messages as bytes: enough to find where a body begins and how long it is, and to change a field.

/// Heads longer than this are refused: no client or server of the tests writes such.
pub const LONGEST: usize = 64 << 10;

/// How the body of a message is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length.
    Length(u64),
    /// In chunks.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// The head of a request or of an answer, without the empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its first line.
    pub line: String,
    /// Its fields as they came.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// Reads a head; what is not ASCII is replaced.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or("").to_owned();
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Self { line, fields: lines.filter_map(field).collect() }
    }

    /// The bytes that [`Head::parse`] reads, with the empty line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// A field's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets a field that is there, or adds it.
    pub fn set(&mut self, name: &str, value: String) {
        match self.fields.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some(field) => field.1 = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// The words of the first line: method, target and version, or version, status and reason.
    pub fn word(&self, at: usize) -> &str {
        self.line.split(' ').nth(at).unwrap_or("")
    }

    /// An answer's status; 0 where it has none.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    /// How a request's body is bounded: it has none where nothing is said.
    pub fn request_framing(&self) -> Framing {
        self.framing(Framing::Length(0))
    }

    /// How an answer's body is bounded, given the method that it answers.
    pub fn answer_framing(&self, method: &str) -> Framing {
        match self.status() {
            _ if method == "HEAD" => Framing::Length(0),
            100..=199 | 204 | 304 => Framing::Length(0),
            _ => self.framing(Framing::Close),
        }
    }

    fn framing(&self, unsaid: Framing) -> Framing {
        if self.get("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
            return Framing::Chunked;
        }
        self.get("content-length").and_then(|value| value.parse().ok()).map_or(unsaid, Framing::Length)
    }

    /// Whether the connection ends after this message.
    pub fn closes(&self) -> bool {
        let said = self.get("connection").map(str::to_ascii_lowercase);
        said.as_deref() == Some("close") || (self.line.starts_with("HTTP/1.0") && said.as_deref() != Some("keep-alive"))
    }
}

/// Where a head that begins here ends, its empty line included.
pub fn end_of(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_changed_and_written() {
        let text = b"GET /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(end_of(text), Some(text.len()));
        let mut head = Head::parse(text);
        assert_eq!((head.word(0), head.word(1), head.request_framing()), ("GET", "/a?b", Framing::Length(5)));
        assert_eq!(head.to_bytes(), text);
        head.set("content-length", "7".to_owned());
        head.remove("HOST");
        assert_eq!(head.to_bytes(), b"GET /a?b HTTP/1.1\r\nContent-Length: 7\r\n\r\n");
    }

    #[test]
    fn bodies_are_bounded_as_http_says() {
        let answer = |text: &str| Head::parse(text.as_bytes());
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 9").answer_framing("GET"), Framing::Length(9));
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 9").answer_framing("HEAD"), Framing::Length(0));
        assert_eq!(answer("HTTP/1.1 304 No\r\nContent-Length: 9").answer_framing("GET"), Framing::Length(0));
        assert_eq!(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked").answer_framing("GET"), Framing::Chunked);
        let old = answer("HTTP/1.0 200 OK");
        assert_eq!((old.answer_framing("GET"), old.closes()), (Framing::Close, true));
        assert!(answer("HTTP/1.1 200 OK\r\nConnection: close").closes() && !answer("HTTP/1.1 200 OK").closes());
    }
}
