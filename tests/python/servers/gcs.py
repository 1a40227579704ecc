"""A small strict Google Cloud Storage: the XML interface, as far as a reader and a careful writer need it.

Strict: what the real service refuses is refused here. A request without its bearer token where one is wanted, a
generation that is not a number, a page token that this server never gave, a range behind the end, an unknown
precondition or query: each has the code and the status that Google documents. Objects live in memory.

    gcs.py [--token TOKEN] [--folder FOLDER] BUCKET...      prints its port, serves until killed
"""

import argparse
import base64
import email.utils
import hashlib
import http.server
import pathlib
import re
import secrets
import threading
import time
import urllib.parse
import xml.sax.saxutils

NAMESPACE = "http://doc.s3.amazonaws.com/2006-03-01"
QUERIES = {"list-type", "delimiter", "prefix", "continuation-token", "max-keys", "start-after", "generation"}
LONGEST_KEY = 1024  # bytes of UTF-8, as Google has it
MOST_KEYS = 1000  # in one page


class Refusal(Exception):
    """A request that is answered with an error document."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Stored:
    """One generation of an object."""

    def __init__(self, data, generation):
        self.data, self.generation = data, generation
        self.modified = int(time.time())
        self.etag = '"%s"' % hashlib.md5(data).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """The service with its buckets."""

    daemon_threads = True

    def __init__(self, buckets, token=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.buckets = {name: {} for name in buckets}
        self.token = token
        self.lock = threading.Lock()
        self.generations = int(time.time() * 1e6)
        self.pages = {}  # page tokens that were given, and where they go on
        self.requests = []  # method and path of each request

    @property
    def url(self):
        """Where it answers."""
        return "http://127.0.0.1:%d" % self.server_address[1]

    def store(self, bucket, key, data):
        """Puts an object without a request."""
        with self.lock:
            self.generations += 1
            self.buckets[bucket][key] = Stored(data, self.generations)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one write

    def log_message(self, *_):
        """Quiet."""

    def answer(self, status, body=b"", headers=()):
        """Sends an answer; a HEAD has its length and no bytes."""
        self.send_response(status)
        headers = dict(headers)
        headers.setdefault("Content-Length", str(len(body)))
        # The real service numbers each answer; one without a number is somebody else's.
        headers.setdefault("x-guploader-uploadid", "answer-%d" % len(self.server.requests))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and body:
            self.wfile.write(body)

    def handle_request(self):
        """Answers, or refuses with a document."""
        self.server.requests.append((self.command, self.path))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            self.respond(body)
        except Refusal as refusal:
            words = xml.sax.saxutils.escape(refusal.message)
            document = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>"
            self.answer(refusal.status, (document % (refusal.code, words)).encode(),
                        {"Content-Type": "application/xml; charset=UTF-8"})

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = handle_request

    def respond(self, body):
        """What the service does with a request."""
        if self.server.token is not None and self.headers.get("Authorization") != "Bearer " + self.server.token:
            if self.headers.get("Authorization"):
                raise Refusal(401, "AuthenticationRequired", "Authentication required.")
            raise Refusal(403, "AccessDenied", "Anonymous caller does not have storage.objects.get access.")
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict"))
        unknown = set(query) - QUERIES
        if unknown:
            raise Refusal(400, "InvalidArgument", "Invalid argument: %s" % ", ".join(sorted(unknown)))
        bucket, _, key = path.lstrip("/").partition("/")
        bucket, key = urllib.parse.unquote(bucket), urllib.parse.unquote(key, errors="strict")
        with self.server.lock:
            if bucket not in self.server.buckets:
                raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist.")
            objects = self.server.buckets[bucket]
            if not key:
                if self.command != "GET":
                    raise Refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
                return self.list(bucket, objects, query)
            if len(key.encode()) > LONGEST_KEY:
                raise Refusal(400, "KeyTooLongError", "Your key is too long.")
            if self.command in ("GET", "HEAD"):
                return self.read(objects.get(key), query)
            if self.command == "PUT":
                return self.write(objects, key, body)
            if self.command == "DELETE":
                if objects.pop(key, None) is None:
                    raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
                return self.answer(204)
        raise Refusal(400, "InvalidArgument", "Not served here.")

    def read(self, stored, query):
        """GET and HEAD."""
        if stored is None or query.get("generation", str(stored.generation)) != str(stored.generation):
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        self.check_generation(stored)
        wanted = self.headers.get("If-Match")
        if wanted is not None and wanted != "*" and stored.etag not in re.split(r"\s*,\s*", wanted):
            raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
        headers = {"ETag": stored.etag, "Last-Modified": email.utils.formatdate(stored.modified, usegmt=True),
                   "x-goog-generation": str(stored.generation), "Content-Type": "application/octet-stream",
                   "x-goog-hash": "md5=" + base64.b64encode(hashlib.md5(stored.data).digest()).decode(),
                   "Accept-Ranges": "bytes"}
        unwanted = self.headers.get("If-None-Match")
        if unwanted is not None and (unwanted == "*" or stored.etag in re.split(r"\s*,\s*", unwanted)):
            return self.answer(304, headers={**headers, "Content-Length": "0"})
        whole = len(stored.data)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None or asked.groups() == ("", ""):
            return self.answer(200, stored.data, {**headers, "Content-Length": str(whole)})
        if asked[1]:
            start, end = int(asked[1]), min(int(asked[2]) + 1, whole) if asked[2] else whole
        else:
            start, end = max(whole - int(asked[2]), 0), whole
        if start >= whole or start >= end:
            raise Refusal(416, "InvalidRange", "The requested range cannot be satisfied.")
        headers["Content-Range"] = "bytes %d-%d/%d" % (start, end - 1, whole)
        return self.answer(206, stored.data[start:end], headers)

    def check_generation(self, stored):
        """`x-goog-if-generation-match`: a number, 0 for no object."""
        for name in self.headers:
            if name.lower().startswith("x-goog-if-") and name.lower() != "x-goog-if-generation-match":
                raise Refusal(400, "InvalidArgument", "Invalid argument: %s" % name)
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is None:
            return
        if not wanted.isdecimal():
            raise Refusal(400, "InvalidArgument", "Invalid argument: x-goog-if-generation-match")
        if int(wanted) != (stored.generation if stored else 0):
            raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")

    def write(self, objects, key, body):
        """PUT."""
        if self.headers.get("Content-Length") is None:
            raise Refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if self.headers.get("If-Match") or self.headers.get("If-None-Match"):
            raise Refusal(400, "InvalidArgument", "Writing is conditional on generations, not on entity tags.")
        self.check_generation(objects.get(key))
        self.server.generations += 1
        stored = objects[key] = Stored(body, self.server.generations)
        return self.answer(200, headers={"ETag": stored.etag, "x-goog-generation": str(stored.generation)})

    def list(self, bucket, objects, query):
        """A page of keys, in the order of their UTF-8."""
        if query.get("list-type") != "2":
            raise Refusal(400, "InvalidArgument", "Only the second version of listing is served here.")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        try:
            most = min(int(query.get("max-keys", MOST_KEYS)), MOST_KEYS)
        except ValueError:
            raise Refusal(400, "InvalidArgument", "Invalid argument: max-keys") from None
        after, token = query.get("start-after", ""), query.get("continuation-token")
        if token is not None:
            if self.server.pages.get(token, (None,))[0] != (bucket, prefix, delimiter):
                raise Refusal(400, "InvalidArgument", "Invalid argument: continuation-token")
            after = self.server.pages[token][1]
        contents, folders, last, more = [], [], after, False
        for key in sorted(objects, key=str.encode):
            if not key.startswith(prefix) or key.encode() <= after.encode():
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            folder = key[: cut + len(delimiter)] if cut >= 0 else None
            # A folder that an earlier page ended with, or that this page has.
            if folder is not None and (after.startswith(folder) or (folders and folders[-1] == folder)):
                last = max(last, key, key=str.encode)
                continue
            if len(contents) + len(folders) == most:
                more = True
                break
            last = key
            if folder is None:
                contents.append((key, objects[key]))
            else:
                folders.append(folder)
        escape = xml.sax.saxutils.escape
        parts = ["<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='%s'>" % NAMESPACE,
                 "<Name>%s</Name><Prefix>%s</Prefix>" % (escape(bucket), escape(prefix)),
                 "<IsTruncated>%s</IsTruncated>" % str(more).lower()]
        if more:
            token = secrets.token_urlsafe(12)
            self.server.pages[token] = ((bucket, prefix, delimiter), last)
            parts.append("<NextContinuationToken>%s</NextContinuationToken>" % token)
        for key, stored in contents:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.modified))
            parts.append("<Contents><Key>%s</Key><Generation>%d</Generation><LastModified>%s</LastModified>"
                         "<ETag>%s</ETag><Size>%d</Size></Contents>"
                         % (escape(key), stored.generation, stamp, escape(stored.etag), len(stored.data)))
        parts += ["<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % escape(folder) for folder in folders]
        parts.append("</ListBucketResult>")
        self.answer(200, "".join(parts).encode(), {"Content-Type": "application/xml; charset=UTF-8"})


def load(server, bucket, folder):
    """Every file of a folder as an object."""
    folder = pathlib.Path(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            server.store(bucket, str(path.relative_to(folder)), path.read_bytes())


def main():
    """The command."""
    parser = argparse.ArgumentParser(description="A small strict Google Cloud Storage.")
    parser.add_argument("--token")
    parser.add_argument("--folder", type=pathlib.Path, help="what the first bucket holds")
    parser.add_argument("buckets", nargs="+")
    options = parser.parse_args()
    server = Server(options.buckets, options.token)
    if options.folder:
        load(server, options.buckets[0], options.folder)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
