"""A web server over a folder: ranges, entity tags and If-Match as a good one has them, or without some of that.

    plain       files are sent whole whatever is asked, without entity tags: the simplest server there is
    untagged    ranges, and nothing but Last-Modified to know a version by
    careless    ranges and entity tags, but If-Match is not looked at
    good        all of it
"""

import email.utils
import http.server
import os
import pathlib
import re
import threading
import urllib.parse

STYLES = ("good", "untagged", "careless", "plain")


class Server(http.server.ThreadingHTTPServer):
    """Serves `folder`; `redirects` maps paths to URLs that are answered with 302."""

    daemon_threads = True

    def __init__(self, folder, style="good", redirects=None):
        assert style in STYLES
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.style, self.redirects = pathlib.Path(folder), style, redirects or {}
        self.requests = []  # method, path and range of each request

    @property
    def url(self):
        """Where it answers."""
        return "http://127.0.0.1:%d" % self.server_address[1]

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

    def answer(self, status, body=b"", headers=None):
        """Sends an answer; a HEAD has its length and no bytes."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and body:
            self.wfile.write(body)

    def handle_request(self):
        """GET and HEAD."""
        self.server.requests.append((self.command, self.path, self.headers.get("Range")))
        style = self.server.style
        page = {"Content-Type": "text/html"}
        if self.path in self.server.redirects:
            return self.answer(302, headers={"Location": self.server.redirects[self.path]})
        path = urllib.parse.unquote(self.path.partition("?")[0])
        file = self.server.folder / path.lstrip("/")
        inside = ".." not in path.split("/")
        if inside and file.is_dir() and not path.endswith("/"):
            return self.answer(301, headers={"Location": self.path + "/"})
        if inside and file.is_dir():
            return self.answer(200, b"<html><body>index</body></html>", page)
        if not inside or path.endswith("/") or not file.is_file():
            return self.answer(404, b"<html><body>not found</body></html>", page)
        with open(file, "rb") as opened:
            data = opened.read()
            state = os.fstat(opened.fileno())
        headers = {"Last-Modified": email.utils.formatdate(state.st_mtime, usegmt=True),
                   "Content-Type": "application/octet-stream"}
        tag = '"%x-%x-%x"' % (state.st_ino, len(data), state.st_mtime_ns)
        if style in ("good", "careless"):
            headers["ETag"] = tag
        if style == "good" and self.headers.get("If-Match", tag) not in (tag, "*"):
            return self.answer(412, b"<html><body>precondition failed</body></html>", page)
        if style == "good" and self.headers.get("If-None-Match") == tag:
            return self.answer(304, headers={"ETag": tag})
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if style == "plain" or asked is None:
            return self.answer(200, data, headers)
        start, end = int(asked[1]), min(int(asked[2]) + 1, len(data)) if asked[2] else len(data)
        if start >= len(data) or start >= end:
            return self.answer(416, headers={"Content-Range": "bytes */%d" % len(data)})
        headers["Content-Range"] = "bytes %d-%d/%d" % (start, end - 1, len(data))
        return self.answer(206, data[start:end], headers)

    do_GET = do_HEAD = handle_request
