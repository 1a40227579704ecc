"""Azurite, Microsoft's own emulator of Azure's blobs, from `.node` of this repository (`scripts/setup test`)."""

import base64
import email.utils
import hashlib
import hmac
import http.client
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / ".node/node_modules/azurite/dist/src/blob/main.js"
# Azurite's only account, the same on every machine in the world.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START = 60.0  # seconds until it must answer: Node reads some thousand files first
STOP = 10.0


def is_installed():
    """Whether it is there and Node to run it."""
    return SCRIPT.exists() and shutil.which("node") is not None


class Azurite:
    """A running one, with everything in `folder`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    @property
    def url(self):
        """The account's endpoint."""
        return "http://127.0.0.1:%d/%s" % (self.port, ACCOUNT)

    @property
    def environment(self):
        """Variables that let a program in."""
        return {"AZURE_STORAGE_ACCOUNT_KEY": KEY}

    def __enter__(self):
        """Starts it and waits until it answers."""
        with open(self.folder / "azurite.log", "ab") as log:
            self.process = subprocess.Popen(
                ["node", SCRIPT, "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", self.folder,
                 "--silent", "--disableTelemetry", "--skipApiVersionCheck"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        deadline = time.monotonic() + START
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("azurite does not answer: " + (self.folder / "azurite.log").read_text()[-2000:])
            time.sleep(0.05)

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP)

    def request(self, method, path, query=(), headers=None, body=b""):
        """A signed request (Shared Key, as Microsoft documents it); status and body of the answer."""
        stamp = email.utils.formatdate(usegmt=True)
        headers = {"x-ms-date": stamp, "x-ms-version": "2021-08-06", **(headers or {})}
        canonical = "".join("%s:%s\n" % (name, headers[name]) for name in sorted(headers) if name.startswith("x-ms-"))
        resource = "/%s/%s%s" % (ACCOUNT, ACCOUNT, urllib.parse.quote(path))
        resource += "".join("\n%s:%s" % pair for pair in sorted(query))
        length = str(len(body)) if body else ""
        text = "\n".join([method, "", "", length, "", headers.get("Content-Type", ""), "", "", "", "", "", ""])
        text += "\n" + canonical + resource
        digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = "SharedKey %s:%s" % (ACCOUNT, base64.b64encode(digest).decode())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            target = "/" + ACCOUNT + urllib.parse.quote(path)
            if query:
                target += "?" + urllib.parse.urlencode(query)
            connection.request(method, target, body=body or None, headers={**headers, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def make(self, container, public=False):
        """A new container; `public`: blobs and lists are for everybody."""
        headers = {"x-ms-blob-public-access": "container"} if public else {}
        status, body = self.request("PUT", "/" + container, [("restype", "container")], headers)
        assert status == 201, (status, body)

    def put(self, container, key, data):
        """One blob."""
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        status, body = self.request("PUT", "/%s/%s" % (container, key), headers=headers, body=data)
        assert status == 201, (key, status, body)

    def load(self, container, folder):
        """Every file of a folder as a blob."""
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file():
                self.put(container, str(path.relative_to(folder)), path.read_bytes())
