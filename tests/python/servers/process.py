"""A server in a process of its own: started, waited for, ended by its id, whatever happened in between."""

import http.client
import json
import pathlib
import selectors
import subprocess
import tempfile
import time

import mounting

START = 30.0  # seconds until a server must say where it listens; a busy machine takes one or two
STOP = 10.0  # seconds until it must be gone
ASK = 60.0  # seconds for a request of the test's own; loading a large folder takes some


def lab_binary(name):
    """A program of `tools/lab`: built beside the program under test."""
    built = [mounting.REPOSITORY / "target" / profile / name for profile in ("debug", "release")]
    built = [path for path in built if path.exists()]
    if not built:
        raise FileNotFoundError("%s is not built; run cargo build -p h5mount-lab" % name)
    return str(max(built, key=lambda path: path.stat().st_mtime))


class Server:
    """A process that prints its address as its first line, and answers JSON below `/__`."""

    def __init__(self, *command, folder=None):
        self.command = [str(part) for part in command]
        self.folder = folder
        self.process = None
        self.address = None
        self.log = None

    def __enter__(self):
        self.log = tempfile.NamedTemporaryFile(prefix="server-", suffix=".log")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
                                        cwd=self.folder)
        try:
            self.address = self.first_line()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def first_line(self):
        """The first line of its output, for which it has `START` seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(START)
        line = self.process.stdout.readline().decode().strip() if ready else ""
        if not line:
            raise RuntimeError("%s does not start: %s" % (self.command[0], self.said()))
        return line

    def said(self):
        """What it wrote to its log."""
        return pathlib.Path(self.log.name).read_text(errors="replace")[-3000:]

    def stop(self):
        """Ends it by its id."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP)
        self.process.stdout.close()
        self.log.close()
        self.process = None

    @property
    def port(self):
        """Its port."""
        return int(self.address.rsplit(":", 1)[1])

    def connection(self):
        """A connection for the test's own requests."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ASK)

    def control(self, method, path, value=None):
        """One request to a path of its own; the answer's text."""
        connection = self.connection()
        try:
            connection.request(method, path, None if value is None else json.dumps(value).encode())
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError("%s %s: %d %s" % (method, path, answer.status, text))
        return text

    def stats(self):
        """Sums of what it was asked."""
        return json.loads(self.control("GET", "/__stats"))

    def requests(self):
        """Every request, in the order of arrival."""
        return [json.loads(line) for line in self.control("GET", "/__log").splitlines()]

    def reset(self):
        """Forgets what it was asked."""
        self.control("POST", "/__reset")

    def settings(self, **settings):
        """Sets these, and the rest to what it is by default."""
        self.control("PUT", "/__settings", settings)

    def quiet(self, seconds=0.3, limit=20.0):
        """Waits until no request has come for a while: what runs ahead in the background has ended."""
        deadline = time.monotonic() + limit
        before = -1
        while time.monotonic() < deadline:
            now = self.stats()["requests"]
            if now == before:
                return
            before = now
            time.sleep(seconds)
        raise RuntimeError("requests go on for %g s" % limit)
