"""What stands around the measured programs: the S3 in memory, the proxy before it, readers in processes of their own.

`contenders` mounts and opens through it; each measurement is one `Sample`.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

from servers.proxy import Proxy
from servers.s3 import S3

DELAY = 20  # milliseconds before each request: a store in the same region
LONGEST = 900  # seconds for one measurement; what takes longer has failed
HERE = pathlib.Path(__file__).parent
CLOCK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Sample:
    """One measurement of one contender."""

    seconds: float
    bytes: int
    open: float = 0.0
    first: float = 0.0
    requests: int = 0
    fetched: int = 0
    chain: int = 0
    peak: int = 0
    cpu: float | None = None
    rss: int | None = None
    checksum: int | None = None

    @property
    def rate(self):
        """Megabytes a second."""
        return self.bytes / self.seconds / 1e6 if self.seconds else 0.0

    def to_json(self):
        """As the results keep it."""
        record = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        record["MB/s"] = self.rate
        if self.bytes:
            record["fetched / needed"] = self.fetched / self.bytes
        if self.cpu is not None and self.bytes:
            record["CPU s per GB"] = self.cpu / self.bytes * 1e9
        return record


class Process:
    """A daemon's use of the machine, by its id."""

    def __init__(self, number):
        self.number = number

    def cpu(self):
        """Seconds of processor time so far."""
        text = pathlib.Path("/proc/%d/stat" % self.number).read_text()
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK

    def peak(self):
        """Most bytes of memory that it has held."""
        for line in pathlib.Path("/proc/%d/status" % self.number).read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0


class World:
    """The servers, for the length of a run."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.loaded = set()
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.server = self.stack.enter_context(S3())
        self.proxy = self.stack.enter_context(Proxy(self.server.port, delay_ms=DELAY))
        return self

    def __exit__(self, *_):
        self.stack.close()

    def bucket(self, name, folder):
        """Serves a folder as a bucket, from then on."""
        if name not in self.loaded:
            self.server.bucket(name, public=True, folder=str(folder))
            self.loaded.add(name)
        return name

    def weather(self, **settings):
        """What the proxy does from now on, beside its delay."""
        self.proxy.settings(delay_ms=DELAY, **settings)

    def bare(self, bucket, lines, in_flight=64):
        """What a client with nothing around it takes."""
        self.proxy.reset()
        done = subprocess.run([self.binaries / "bareclient", self.proxy.endpoint, bucket, "--in-flight", str(in_flight)],
                              input="\n".join(lines), capture_output=True, text=True, timeout=LONGEST, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        told = json.loads(done.stdout)
        return self.counted(Sample(told["seconds"], told["bytes"]))

    def counted(self, sample):
        """With what passed through the proxy since its ledger was reset."""
        stats = self.proxy.stats()
        sample.requests, sample.fetched = stats["requests"], stats["bytes_down"]
        sample.chain, sample.peak = stats["chain"], stats["peak_in_flight"]
        return sample

    def read(self, jobs, process=None, python=sys.executable, environment=None, whole=False):
        """Readers that begin together; `whole` counts from before they open. `process`: the daemon that serves them."""
        readers = []
        daemon = Process(process) if process else None
        try:
            self.proxy.reset()
            for job in jobs:
                reader = subprocess.Popen([python, HERE / "reader.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
                readers.append(reader)
                reader.stdin.write(json.dumps(job) + "\n")
                reader.stdin.flush()
            for reader in readers:
                if reader.stdout.readline().strip() != "ready":
                    raise RuntimeError(reader.communicate()[1].strip().splitlines()[-1:])
            if not whole:
                self.proxy.reset()
            before = daemon.cpu() if daemon else 0
            for reader in readers:
                reader.stdin.write("\n")
                reader.stdin.flush()
            told = []
            for reader in readers:
                out, errors = reader.communicate(timeout=LONGEST)
                if reader.returncode:
                    raise RuntimeError(errors.strip().splitlines()[-1:])
                told.append(json.loads(out))
        finally:
            for reader in readers:
                if reader.poll() is None:
                    reader.kill()
                    reader.wait()
        seconds = max(one["ended"] for one in told) - min(one["begun"] for one in told)
        sample = Sample(seconds, sum(one["bytes"] for one in told), open=max(one["open"] for one in told),
                        first=told[0]["first"] or 0.0, checksum=told[0]["checksum"])
        if whole:
            sample.seconds += sample.open
        if daemon:
            sample.cpu, sample.rss = daemon.cpu() - before, daemon.peak()
        return self.counted(sample)
