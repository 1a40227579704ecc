"""Who is measured: us, and what people use today. Each opens one store in its own way and reads what it is told.

All of them reach the store through the same proxy of `world`. A contender that this machine cannot run, or that fails,
says why in the table; nothing else stops for it.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import hsds_server
import mounting
from servers.s3 import BARE, KEYS

READY = 30.0  # seconds until a mount of somebody else's must answer


def job(kind, target, store, selections, check=False):
    """What a reader is told."""
    return {"kind": kind, "target": target, "dataset": store["dataset"], "selections": selections, "check": check}


class Contenders:
    """All of them, over one world and one folder of stores."""

    def __init__(self, world, stores):
        self.world, self.stores = world, stores
        self.homes = set()
        # What this build of the program can do: rows that need more say so.
        self.flags = subprocess.run([mounting.binary(), "mount", "--help"], capture_output=True, text=True, check=False).stdout
        self.commands = subprocess.run([mounting.binary(), "--help"], capture_output=True, text=True, check=False).stdout

    def has_command(self, name):
        """Whether this build of the program has a command."""
        return any(line.split()[:1] == [name] for line in self.commands.splitlines())

    def store(self, name):
        """A store that is served, with all that it links to."""
        store = self.stores.get(name)
        folder = pathlib.Path(store["folder"])
        self.world.bucket(name, folder / "store")
        if name in ("linked", "s2", "paged"):
            self.served(store["plain"].removesuffix(".h5"), "plain")
        return store

    def served(self, name, part):
        """Another form of a store, in a bucket of its own: `plain` or `zarr`."""
        folder = pathlib.Path(self.stores.get(name)["folder"]) / part
        if not folder.is_dir():
            raise LookupError("no %s of /%s" % (part, name))
        return self.world.bucket("%s-%s" % (name, part), folder)

    @contextlib.contextmanager
    def mount(self, name, *options):
        """Us: a fresh mount with nothing cached, the file's path, and the daemon."""
        store = self.store(name)
        flags = ["--endpoint", self.world.proxy.endpoint, "--no-sign-request", *options]
        folder = tempfile.mkdtemp(prefix="h5mount-bench-")
        try:
            with mounting.mounted("s3://" + name, *flags, folder=folder, environment={**BARE, "RUST_LOG": "warn"}) as mount:
                yield str(mount / store["file"]), mount
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def us(self, name, selections, *options, kind="h5py", processes=None, check=False, whole=False):
        """Our time for some selections; `processes`: a list of selections for each of several readers."""
        store = self.store(name)
        with self.mount(name, *options) as (path, mount):
            jobs = [job(kind, {"path": path}, store, part, check) for part in (processes or [selections])]
            return self.world.read(jobs, mount.process.pid, whole=whole)

    def local(self, name, selections, processes=None, kind="h5py"):
        """The plain file on this machine's disk; mostly in its page cache."""
        store = self.stores.get(name)
        path = pathlib.Path(self.stores.get(store.get("source", name))["folder"]) / "plain" / store["plain"]
        return self.world.read([job(kind, {"path": str(path)}, store, part) for part in (processes or [selections])])

    def bare(self, name, chosen=None, in_flight=64):
        """A client with nothing around it: the same objects, or ranges of one object."""
        store = self.store(name)
        if "ranges" in store:
            base = store["plain"].removesuffix(".h5")
            lines = ["%s\t%d\t%d" % (store["plain"], start, end) for start, end in store["ranges"]]
            bucket = base + "-plain"
        else:
            lines, bucket = store["keys"], name
        return self.world.bare(bucket, [lines[at] for at in chosen] if chosen is not None else lines, in_flight)

    def s3fs(self, name, selections, tuned=False):
        """h5py on a file object of fsspec, as it comes or with blocks and caches as large as its users set them."""
        store = self.store(name)
        base = store["plain"].removesuffix(".h5")
        target = {"endpoint": self.world.proxy.endpoint, "path": "%s/%s" % (self.served(base, "plain"), store["plain"])}
        if tuned:
            # Blocks of several chunks, as the advice for cloud-optimised files has it.
            target["options"] = {"cache_type": "blockcache", "block_size": 4 << 20, "cache_options": {"maxblocks": 64}}
            target["hdf5"] = {"rdcc_nbytes": 64 << 20}
        return self.world.read([job("s3fs", target, store, selections)])

    def zarr(self, name, selections, kind="zarr"):
        """zarr-python on its own copy."""
        store = self.store(name)
        target = {"endpoint": self.world.proxy.endpoint, "bucket": self.served(name, "zarr")}
        return self.world.read([job(kind, target, store, selections)])

    def tensorstore(self, name, selections):
        """tensorstore on the same copy."""
        return self.zarr(name, selections, "tensorstore")

    def rclone(self, name, selections, kind="h5py"):
        """rclone's mount of the plain file, caches as they come."""
        bucket = self.served(self.stores.get(name)["plain"].removesuffix(".h5"), "plain")
        source = ":s3,provider=Other,endpoint='%s',access_key_id=TESTKEY,secret_access_key=secret:%s" % (
            self.world.proxy.endpoint, bucket)
        return self.foreign(name, selections, kind, lambda point: ["rclone", "mount", source, point, "--read-only"])

    def s3fs_fuse(self, name, selections, kind="h5py"):
        """Debian's s3fs, a mount of the plain file."""
        bucket = self.served(self.stores.get(name)["plain"].removesuffix(".h5"), "plain")
        options = "url=%s,use_path_request_style,ro" % self.world.proxy.endpoint
        return self.foreign(name, selections, kind, lambda point: ["s3fs", bucket, point, "-f", "-o", options])

    def foreign(self, name, selections, kind, command):
        """A mount by somebody else's program."""
        store = self.stores.get(name)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="h5mount-bench-"))
        point = folder / "mnt"
        point.mkdir()
        environment = {**os.environ, **BARE, **KEYS, "AWSACCESSKEYID": "TESTKEY", "AWSSECRETACCESSKEY": "secret"}
        environment.pop("AWS_CA_BUNDLE", None)  # rclone refuses to start with one, though nothing here is encrypted
        line = command(str(point))
        if shutil.which(line[0]) is None:
            raise LookupError("%s is not installed" % line[0])
        daemon = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env=environment)
        try:
            deadline = time.monotonic() + READY
            while not mounting.is_mounted(str(point)):
                if daemon.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("%s does not mount" % line[0])
                time.sleep(0.05)
            return self.world.read([job(kind, {"path": str(point / store["plain"])}, store, selections)], daemon.pid)
        finally:
            mounting.unmount(str(point))
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait(10)
            shutil.rmtree(folder, ignore_errors=True)

    def hsds(self, name, selections):
        """HSDS 1.0.2 on the same store, asked through h5pyd."""
        store = self.store(name)
        hsds_server.BUCKET = name
        hsds_server.USER["HS_BUCKET"] = name
        with tempfile.TemporaryDirectory(prefix="h5mount-bench-") as folder:
            if name in self.homes:
                # The store has had its home folders made; the server looks for them where a store on disk would have them.
                for home in ("home", "home/admin"):
                    marker = pathlib.Path(folder) / name / home / ".domain.json"
                    marker.parent.mkdir(parents=True, exist_ok=True)
                    marker.touch()
            self.homes.add(name)
            with hsds_server.running("hsds10", folder, self.world.proxy.endpoint) as server:
                target = {"endpoint": server.endpoint, "domain": "/" + store["file"], "bucket": name}
                return self.world.read([job("hsds", target, store, selections)], python=str(server.bin / "python"),
                                       environment=server.environment)
