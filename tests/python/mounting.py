"""Mounts a store with the program under test and takes the mount away again, whatever happened in between."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
START = 30.0  # seconds until a mount must answer; a debug build on a busy machine takes one or two
STOP = 15.0  # seconds until a daemon told to stop must be gone


def binary():
    """The program: `$H5MOUNT`, else the newest build of this repository."""
    if os.environ.get("H5MOUNT"):
        return os.environ["H5MOUNT"]
    built = [REPOSITORY / "target" / profile / "h5mount" for profile in ("debug", "release")]
    built = [path for path in built if path.exists()]
    if not built:
        raise FileNotFoundError("h5mount is not built; run cargo build, or set H5MOUNT")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def is_mounted(path):
    """Whether something is mounted at `path`, read from the kernel's table so that a dead mount cannot block us."""
    path = os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        return any(line.split()[4].encode().decode("unicode_escape") == path for line in table)


def unmount(path):
    """Takes away whatever is mounted at `path`, by force where nothing else helps."""
    for command in (["fusermount3", "-u", path], ["umount", path], ["umount", "-l", path]):
        if not is_mounted(path):
            return
        subprocess.run(command, capture_output=True, timeout=STOP, check=False)


class Mount:
    """A running daemon and its mount point."""

    def __init__(self, source, *options, folder=None, environment=None):
        self.source = str(source)
        self.options = [str(option) for option in options]
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="h5mount-test-"))
        self.point = self.folder / "mnt"
        self.log_path = self.folder / "daemon.log"
        self.environment = {**os.environ, "RUST_LOG": os.environ.get("RUST_LOG", "info"), **(environment or {})}
        self.process = None

    def start(self):
        """Starts the daemon in the foreground and waits until the mount answers."""
        self.point.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [binary(), "mount", *self.options, self.source, str(self.point)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
        deadline = time.monotonic() + START
        while not is_mounted(str(self.point)):
            if self.process.poll() is not None:
                raise RuntimeError("h5mount ended with %d:\n%s" % (self.process.returncode, self.log()))
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("h5mount does not answer after %g s:\n%s" % (START, self.log()))
            time.sleep(0.02)
        os.listdir(self.point)
        return self

    def stop(self):
        """SIGTERM, then force; returns the exit code (negative: killed)."""
        if self.process is None:
            return None
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            return self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            return None
        finally:
            unmount(str(self.point))
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(STOP)

    def log(self):
        """What the daemon wrote."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def memory(self, field="VmRSS"):
        """Bytes of memory the daemon holds (`VmHWM`: held at most)."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise ValueError("no %s" % field)

    def __truediv__(self, name):
        return self.point / name


@contextlib.contextmanager
def mounted(source, *options, **settings):
    """A mount for the length of a `with`."""
    mount = Mount(source, *options, **settings)
    try:
        yield mount.start()
    finally:
        mount.stop()
