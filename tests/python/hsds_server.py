"""A real HSDS server, started from its pip package on a fresh bucket on disk or in an S3, reached over a Unix socket.

Neighbours: `collect.py` asks it for everything it knows of a domain; `test_live_hsds.py` compares that with the mount.
Data nodes of this server would otherwise listen on all interfaces, on fixed ports; with a socket folder they do not
listen on the network at all, and two servers can run side by side.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

import mounting
from servers.s3 import BARE, KEYS

READY = 60.0  # seconds until a server must answer; it takes 6 to 8
STOP = 20.0  # seconds until its processes must be gone
BUCKET = "hsdstest"
USER = {"HS_USERNAME": "admin", "HS_PASSWORD": "admin", "HS_BUCKET": BUCKET}


class Server:
    """One server with its bucket: a folder of `store`, or where `gateway`, the URL of an S3, has it."""

    def __init__(self, environment, store, gateway=None):
        self.bin = mounting.REPOSITORY / (".venv-" + environment) / "bin"
        self.store = pathlib.Path(store)
        self.sockets = tempfile.mkdtemp(prefix="hsds-")  # the path of a Unix socket has 107 bytes at most
        self.endpoint = "http+unix://%s%%2Fsn_1.sock" % urllib.parse.quote(self.sockets, safe="")
        self.environment = {**os.environ, **USER, "HS_ENDPOINT": self.endpoint, "METADATA_MEM_CACHE_EXPIRE": "3",
                            "CHUNK_MEM_CACHE_EXPIRE": "3", "PATH": "%s:%s" % (self.bin, os.environ["PATH"])}
        if gateway:
            # Without a root folder the server takes this for its store; a machine's own settings must not decide.
            self.environment.update({**BARE, **KEYS, "AWS_S3_GATEWAY": gateway})
        self.place = [] if gateway else ["--root_dir", self.store]
        self.process = None
        self.log = None

    def start(self):
        """Starts the server and waits until it says that it is ready; then makes the home folders."""
        if self.place:
            (self.store / BUCKET).mkdir(parents=True, exist_ok=True)
        self.log = open(os.path.join(self.sockets, "server.log"), "wb")
        self.process = subprocess.Popen(
            [self.bin / "hsds", *self.place, "--bucket_name", BUCKET, "--socket_dir", self.sockets,
             "--hs_username", "admin", "--hs_password", "admin", "--count", "2",
             "--logfile", os.path.join(self.sockets, "hs.log")],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment, cwd=self.sockets)
        deadline = time.monotonic() + READY
        while "READY" not in self.ask("about"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("HSDS does not start: %s" % self.tail())
            time.sleep(0.3)
        for folder in ("home", "home/admin"):
            if not (self.store / BUCKET / folder / ".domain.json").exists():
                self.run("hstouch", "/%s/" % folder)
        return self

    def ask(self, what):
        """One request of the collector."""
        done = self.python("collect.py", what, timeout=30)
        return done.stdout

    def python(self, script, *arguments, timeout=120):
        """Runs a script of this folder under the server's own interpreter."""
        return subprocess.run([self.bin / "python", pathlib.Path(__file__).with_name(script), *map(str, arguments)],
                              env=self.environment, capture_output=True, text=True, timeout=timeout, check=False)

    def run(self, program, *arguments, timeout=180):
        """Runs one of the client's programs; raises with what it said where it fails."""
        done = subprocess.run([self.bin / program, *map(str, arguments)], env=self.environment, capture_output=True,
                              text=True, timeout=timeout, check=False)
        if done.returncode:
            raise RuntimeError("%s: %s%s" % (program, done.stdout[-2000:], done.stderr[-2000:]))
        return done.stdout

    def tail(self):
        """The end of its logs."""
        texts = [path.read_text(errors="replace")[-3000:] for path in pathlib.Path(self.sockets).glob("*.log")]
        return "\n".join(texts)

    def stop(self):
        """Ends the nodes first (the parent alone would leave them behind), then the parent, each by its id."""
        if self.process is not None:
            nodes = children(self.process.pid)
            for node in nodes:
                tell(node, signal.SIGTERM)
            deadline = time.monotonic() + STOP
            time.sleep(0.5)
            tell(self.process.pid, signal.SIGTERM)
            while self.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            for number in [*nodes, self.process.pid]:
                tell(number, signal.SIGKILL)
            self.process.wait(STOP)
            self.log.close()
        shutil.rmtree(self.sockets, ignore_errors=True)


def children(parent):
    """Processes started by a process, and by these."""
    with open("/proc/%d/task/%d/children" % (parent, parent), encoding="ascii") as source:
        found = [int(number) for number in source.read().split()]
    for child in list(found):
        with contextlib.suppress(OSError):
            found += children(child)
    return found


def tell(process, what):
    """A signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, what)


@contextlib.contextmanager
def running(environment, store, gateway=None):
    """A server for the length of a `with`."""
    server = Server(environment, store, gateway)
    try:
        yield server.start()
    finally:
        server.stop()
