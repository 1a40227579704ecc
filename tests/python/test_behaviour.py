"""How the mount behaves as a file system: read-only, locks, holes, attributes, versions, start and end, bad input."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import stat
import subprocess
import sys
import termios
import time

import chunkcodecs as codecs
import h5py
import mounting
import numpy
import pytest
import writer

HOSTILE = ["a b.h5", "per%2Fcent.h5", "what?#.h5", "日本 😀.h5", ".hidden.h5", "quote'\".h5", "new\nline.h5", "back\\slash.h5",
           "x" * 200 + ".h5", "plain name"]


def small(bucket, key, values=None, **options):
    """A domain with one dataset in four chunks; returns the dataset's domain and id."""
    domain = writer.Domain(bucket, key, seed=options.pop("seed", None))
    number = domain.dataset("x", writer.I32, (40,), (10,), **options)
    values = numpy.arange(40, dtype="<i4") if values is None else values
    for i in range(4):
        domain.chunk(number, (i,), values[10 * i:10 * i + 10].tobytes())
    domain.write()
    return domain, number


@pytest.fixture
def bucket(tmp_path):
    """An empty bucket."""
    return writer.Bucket(tmp_path / "bucket")


@pytest.fixture
def mount(bucket, tmp_path):
    """A bucket with one small domain, mounted; changes are seen at once."""
    small(bucket, "folder/file.h5")
    with mounting.mounted(bucket.folder, "--metadata-ttl", "0", folder=tmp_path / "run") as running:
        yield running


def error_of(call, *arguments):
    """The errno a call fails with."""
    with pytest.raises(OSError) as raised:
        call(*arguments)
    return raised.value.errno


def test_writing_is_refused_as_on_a_read_only_file_system(mount):
    """EROFS for whatever changes something; HDF5's own attempts fail cleanly."""
    file, folder = mount / "folder/file.h5", mount / "folder"
    attempts = [(os.open, file, os.O_RDWR), (os.open, file, os.O_WRONLY | os.O_TRUNC),
                (os.open, folder / "new.h5", os.O_CREAT | os.O_WRONLY), (os.mkdir, folder / "new"),
                (os.unlink, file), (os.rename, file, folder / "other.h5"), (os.rmdir, folder),
                (os.symlink, "x", folder / "link"), (os.chmod, file, 0o777), (os.truncate, file, 0),
                (os.utime, file, (1, 1)), (os.link, file, folder / "hard"), (os.setxattr, file, "user.x", b"1")]
    seen = {call.__name__: error_of(call, *arguments) for call, *arguments in attempts}
    assert seen == dict.fromkeys(seen, errno.EROFS)
    for mode in ("r+", "a", "w"):
        with pytest.raises(OSError):
            h5py.File(file, mode)
    assert os.statvfs(file).f_flag & os.ST_RDONLY


def test_what_programs_ask_of_any_file_fills_no_log(mount):
    """Whether it is a terminal, whether it is ready, that it be on disk: answered as on a local disk, without a word."""
    before = mount.log()
    with open(mount / "folder/file.h5", "rb") as file:
        assert not os.isatty(file.fileno())
        assert error_of(fcntl.ioctl, file, termios.TCGETS, bytes(64)) == errno.ENOTTY
        poll = select.poll()
        poll.register(file, select.POLLIN)
        assert poll.poll(1000) == [(file.fileno(), select.POLLIN)]
        os.fsync(file.fileno())
        assert len(file.read()) == os.fstat(file.fileno()).st_size
    folder = os.open(mount / "folder", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    os.access(mount / "folder/file.h5", os.R_OK)
    assert mount.log() == before


def test_flock_works(mount):
    """Locks that libhdf5 takes are granted, several at once."""
    with open(mount / "folder/file.h5", "rb") as one, open(mount / "folder/file.h5", "rb") as other:
        fcntl.flock(one, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(other, fcntl.LOCK_UN)
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_stat_says(mount, bucket):
    """Sizes, kinds, modes, times and owner make sense; the size is exact from open on."""
    status = os.stat(mount / "folder")
    assert stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o222
    with open(mount / "folder/file.h5", "rb") as file:
        status = os.fstat(file.fileno())
        assert stat.S_ISREG(status.st_mode) and not status.st_mode & 0o222
        assert status.st_size == len(file.read())
        assert status.st_uid == os.getuid() and status.st_nlink == 1
        assert writer.CREATED <= status.st_mtime <= time.time() + 1
    assert os.statvfs(mount.point).f_namemax >= 255


def test_owner_and_mode_are_chosen(bucket, tmp_path):
    """`--uid`, `--gid`, `--umask`."""
    small(bucket, "file.h5")
    with mounting.mounted(bucket.folder, "--uid", 1234, "--gid", 2345, "--umask", "077", folder=tmp_path / "run") as mount:
        status = os.stat(mount / "file.h5")
        assert (status.st_uid, status.st_gid, status.st_mode & 0o077) == (1234, 2345, 0)


def seek_map(path):
    """Data ranges of a file as SEEK_DATA and SEEK_HOLE tell them."""
    ranges, at = [], 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                assert error.errno == errno.ENXIO
                break
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            assert begin < at <= size
            ranges.append((begin, at))
    return ranges, size


def test_holes_read_as_zeros(bucket, tmp_path):
    """Whatever is said to be a hole reads as zeros, also after everything was read; copies by hole are equal."""
    domain = writer.Domain(bucket, "sparse.h5")
    number = domain.dataset("x", writer.I32, (100000,), (1000,))
    domain.chunk(number, (50,), numpy.ones(1000, "<i4").tobytes())
    domain.dataset("filled", writer.I32, (100000,), (1000,), fillValue=7)
    domain.write()
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        path = mount / "sparse.h5"
        for _ in range(2):
            ranges, size = seek_map(path)
            raw = path.read_bytes()
            assert size == len(raw)
            hole, at = b"", 0
            for begin, end in [*ranges, (size, size)]:
                hole += raw[at:begin]
                at = end
            assert not any(hole)
        with h5py.File(path) as file:
            assert file["x"][...].sum() == 1000 and (file["filled"][...] == 7).all()
        copy = tmp_path / "copy.h5"
        subprocess.run(["cp", "--sparse=always", path, copy], check=True)
        assert copy.read_bytes() == raw


def test_extended_attributes(mount, bucket):
    """`user.h5mount.*` says where a file comes from and what is wrong with it."""
    path = mount / "folder/file.h5"
    names = set(os.listxattr(path))
    with h5py.File(path):
        assert set(os.listxattr(path)) == names  # they do not depend on what is open
    assert os.getxattr(path, "user.h5mount.problems") == b""
    root = json.loads((bucket.folder / "folder/file.h5/.domain.json").read_text())["root"]
    values = {name: os.getxattr(path, name).decode() for name in names}
    assert all(name.startswith("user.h5mount.") for name in names)
    assert root in values.values()
    assert any(str(bucket.folder) in value for value in values.values())
    assert error_of(os.getxattr, path, "user.other") == errno.ENODATA


def test_names_of_attributes_are_listed_without_reading_a_file(bucket, tmp_path):
    """`ls -l` asks for them of every file in a folder; only a value makes us look into one."""
    root = "g-%08x-00000000-0000-000000-000000"  # of no object: reading what describes the file would fail
    for number in range(300):
        folder = bucket.folder / ("many/%03d.h5" % number)
        folder.mkdir(parents=True)
        (folder / ".domain.json").write_text(json.dumps({"root": root % number, "acls": {}}))
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        for entry in list(os.scandir(mount / "many")):  # all names first, as `ls` does
            assert "user.h5mount.problems" in os.listxattr(entry.path)
            assert error_of(os.getxattr, entry.path, "security.capability") == errno.ENODATA
            assert error_of(os.getxattr, entry.path, "system.posix_acl_access") in (errno.ENODATA, errno.EOPNOTSUPP)
            assert os.getxattr(entry.path, "user.h5mount.source").endswith(entry.name.encode())
        assert ".h5" not in mount.log()
        assert b"00000007" in os.getxattr(mount / "many/007.h5", "user.h5mount.problems")


def test_what_is_open_can_be_opened_again_after_its_name_leads_elsewhere(mount, bucket):
    """`/proc/self/fd/N` has no name to be looked up: it opens the version that is open, the name opens the new one."""
    path = mount / "folder/file.h5"
    with open(path, "rb") as held:
        before = held.read()
        domain = writer.Domain(bucket, "folder/file.h5", seed="another")
        domain.dataset("y", writer.F64, (5,), (5,))
        domain.write()
        for _ in range(3):
            with open(path, "rb") as named:
                assert named.read() != before
            with open("/proc/self/fd/%d" % held.fileno(), "rb") as again:
                assert os.fstat(again.fileno()).st_ino == os.fstat(held.fileno()).st_ino
                assert again.read() == before


def test_a_changed_file_is_another_inode_and_open_files_keep_theirs(mount, bucket):
    """New content under the name; the old bytes stay with whoever has them open, a page not read yet among them."""
    path = mount / "folder/file.h5"
    with open(path, "rb") as held:
        inode, size = os.fstat(held.fileno()).st_ino, os.fstat(held.fileno()).st_size
        before = held.read(4096)
        domain = writer.Domain(bucket, "folder/file.h5", seed="another")
        domain.dataset("y", writer.F64, (5,), (5,))
        domain.write()
        with h5py.File(path) as file:
            assert list(file) == ["y"]
        assert os.stat(path).st_ino != inode
        held.seek(0)
        assert held.read(4096) == before
        assert os.fstat(held.fileno()).st_size == size


def test_unchanged_content_keeps_inode_and_bytes(mount, bucket):
    """Opening again finds the same inode, once the store tells of changed chunks also after something was read."""
    path = mount / "folder/file.h5"
    inodes = set()
    for _ in range(3):
        with open(path, "rb") as file:
            inodes.add(os.fstat(file.fileno()).st_ino)
    assert len(inodes) == 1
    root = json.loads((bucket.folder / "folder/file.h5/.domain.json").read_text())["root"]
    digits = root[2:].replace("-", "")
    info = bucket.folder / ("db/%s-%s/.info.json" % (digits[:8], digits[8:16]))
    assert info.parent.is_dir()
    info.write_text("{}")
    inodes = set()
    for _ in range(3):
        with open(path, "rb") as file:
            assert len(file.read()) == os.fstat(file.fileno()).st_size
            inodes.add(os.fstat(file.fileno()).st_ino)
    assert len(inodes) == 1
    info.write_text('{"lastModified": 1}')
    assert os.stat(path).st_ino not in inodes


def test_a_chunk_written_later_is_seen_by_the_next_open(bucket, tmp_path):
    """Where nothing tells of changed chunks, what was read is not believed for longer than `--metadata-ttl`."""
    domain = writer.Domain(bucket, "file.h5")
    number = domain.dataset("x", writer.I32, (40,), (10,))
    domain.write()
    with mounting.mounted(bucket.folder, "--metadata-ttl", "0", folder=tmp_path / "run") as mount:
        with h5py.File(mount / "file.h5") as file:
            assert not file["x"][...].any()
        domain.chunk(number, (1,), numpy.arange(10, dtype="<i4").tobytes())
        with h5py.File(mount / "file.h5") as file:
            assert file["x"][...].sum() == 45


def test_hostile_names(bucket, tmp_path):
    """Names as stores have them are listed and opened as they are."""
    for name in HOSTILE:
        small(bucket, "folder/" + name)
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        assert sorted(os.listdir(mount / "folder")) == sorted(HOSTILE)
        for name in HOSTILE:
            with h5py.File(mount / "folder" / name) as file:
                assert file["x"][39] == 39


def test_other_objects_are_plain_files(bucket, tmp_path):
    """What is no domain is shown as it is; what belongs to the schema is not shown."""
    small(bucket, "folder/file.h5")
    raw = os.urandom(3 << 20)
    bucket.put("folder/readme.bin", raw)
    bucket.put("folder/sub/deep.txt", b"text")
    bucket.put("empty", b"")
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        assert sorted(os.listdir(mount.point)) == ["empty", "folder"]
        assert sorted(os.listdir(mount / "folder")) == ["file.h5", "readme.bin", "sub"]
        assert pathlib.Path(mount / "folder/readme.bin").read_bytes() == raw
        assert pathlib.Path(mount / "folder/sub/deep.txt").read_bytes() == b"text"
        assert pathlib.Path(mount / "empty").read_bytes() == b""
        with open(mount / "folder/readme.bin", "rb") as file:
            assert os.pread(file.fileno(), 1000, 1 << 20) == raw[1 << 20:(1 << 20) + 1000]


def test_a_single_file_as_source(bucket, tmp_path):
    """One domain given as SOURCE is shown alone."""
    small(bucket, "folder/file.h5")
    small(bucket, "folder/other.h5")
    with mounting.mounted(bucket.folder / "folder/file.h5", folder=tmp_path / "run") as mount:
        assert os.listdir(mount.point) == ["file.h5"]
        with h5py.File(mount / "file.h5") as file:
            assert file["x"][7] == 7


def test_a_url_as_source(bucket, tmp_path):
    """`file:///...` is the same as the path."""
    small(bucket, "folder/file.h5")
    with mounting.mounted("file://%s/folder" % bucket.folder, folder=tmp_path / "run") as mount:
        assert os.listdir(mount.point) == ["file.h5"]


def test_external_links_resolve_inside_the_mount(bucket, tmp_path):
    """A link to another domain, by its path and by its name alone."""
    small(bucket, "folder/target.h5")
    domain = writer.Domain(bucket, "folder/links.h5")
    for name, file in (("by_name", "target.h5"), ("by_path", "/folder/target.h5"), ("by_url", "hdf5://folder/target.h5")):
        domain.objects[domain.root]["links"][name] = {
            "class": "H5L_TYPE_EXTERNAL", "h5path": "/x", "h5domain": file, "created": domain.now()}
    domain.write()
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        with h5py.File(mount / "folder/links.h5") as file:
            assert file["by_name"][5] == 5 and file["by_path"][5] == 5 and file["by_url"][5] == 5


# Start and end


def command(*arguments, **options):
    """The program, run to its end."""
    return subprocess.run([mounting.binary(), *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          check=False, **options)


def test_background_returns_when_the_mount_answers(bucket, tmp_path):
    """`--background`: the files are there the moment it returns; `unmount` takes them away."""
    domain, number = small(bucket, "file.h5")
    point = tmp_path / "mnt"
    point.mkdir()
    try:
        done = command("mount", "--background", bucket.folder, point)
        assert done.returncode == 0, done.stderr
        assert os.listdir(point) == ["file.h5"]
        # What it has to say is kept where it said, and where the help says.
        log = pathlib.Path(done.stderr.split("its log is ")[1].strip())
        assert log.parent == pathlib.Path("/var/log/h5mount" if os.geteuid() == 0 else
                                          pathlib.Path.home() / ".local/state/h5mount")
        domain.chunk(number, (2,), b"short")
        with pytest.raises(OSError):
            (point / "file.h5").read_bytes()
        assert domain.chunk_key(number, (2,)) in log.read_text()
        log.unlink()
        done = command("unmount", point)
        assert done.returncode == 0, done.stderr
        assert not mounting.is_mounted(str(point))
    finally:
        mounting.unmount(str(point))


def refused(source, point, *options):
    """What a mount says that must not be made: exit code 4, at once."""
    done = command("mount", *options, source, point)
    assert done.returncode == 4 and not mounting.is_mounted(str(point)), done.stderr
    return done.stderr


def test_what_holds_something_is_mounted_over_only_on_purpose(bucket, tmp_path):
    """A directory with a file in it is refused; `--nonempty` insists."""
    small(bucket, "file.h5")
    point = tmp_path / "run/mnt"
    point.mkdir(parents=True)
    (point / "mine").write_text("x")
    assert "--nonempty" in refused(bucket.folder, point)
    with mounting.mounted(bucket.folder, "--nonempty", folder=tmp_path / "run") as mount:
        assert os.listdir(mount.point) == ["file.h5"]
    assert os.listdir(point) == ["mine"]


def test_a_mount_never_lies_in_what_it_shows_nor_the_reverse(bucket, tmp_path):
    """Reading it would wait for itself; a link to the store is the store."""
    small(bucket, "folder/file.h5")
    alias = tmp_path / "alias"
    alias.symlink_to(bucket.folder)
    (bucket.folder / "folder/below").mkdir()
    for point in (bucket.folder, bucket.folder / "folder/below", alias, tmp_path, bucket.folder / "db"):
        assert "mount somewhere else" in refused(bucket.folder, point, "--nonempty")
    assert "mount somewhere else" in refused(bucket.folder / "folder", bucket.folder, "--nonempty")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_whose_a_mount_is_is_said_to_others(bucket, tmp_path):
    """Another user who wants to end it learns who can."""
    small(bucket, "file.h5")
    base = pathlib.Path("/tmp") / ("h5mount-other-%d" % os.getpid())
    base.mkdir(mode=0o755)
    try:
        shutil.copy(mounting.binary(), base / "h5mount")
        with mounting.mounted(bucket.folder, "--allow-other", folder=base / "run") as mount:
            done = subprocess.run([base / "h5mount", "unmount", mount.point], user=65534, group=65534, text=True,
                                  capture_output=True, timeout=60, check=False)
            assert done.returncode == 4 and "mounted by root" in done.stderr, done.stderr
            assert os.listdir(mount.point) == ["file.h5"]
    finally:
        shutil.rmtree(base)


def test_a_named_log_is_left_to_whoever_named_it(bucket, tmp_path):
    """`--log-file` in the background: lines go there, and no other place is named."""
    small(bucket, "file.h5")
    point = tmp_path / "mnt"
    point.mkdir()
    try:
        done = command("mount", "--background", "--log-file", tmp_path / "named", bucket.folder, point)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert "is mounted at" in (tmp_path / "named").read_text()
    finally:
        mounting.unmount(str(point))


def test_a_wish_for_more_words_that_is_not_understood_is_said(bucket, tmp_path):
    """RUST_LOG: nonsense is told; `h5mount=debug` tells each request to the store."""
    small(bucket, "file.h5")
    with mounting.mounted(bucket.folder, folder=tmp_path / "one", environment={"RUST_LOG": "garbage==="}) as mount:
        assert "RUST_LOG=garbage=== is not understood" in mount.log() and "is mounted at" in mount.log()
    with mounting.mounted(bucket.folder, folder=tmp_path / "two", environment={"RUST_LOG": "h5mount=debug"}) as mount:
        (mount / "file.h5").read_bytes()
        assert "GET" in mount.log() and "file.h5/.domain.json" in mount.log()


@pytest.mark.parametrize("source, point", [("missing", "mnt"), ("bucket", "missing"), ("bucket", "a file")])
def test_a_mount_that_cannot_be_made_says_why(source, point, bucket, tmp_path):
    """Both ways to start end with another code than 0 and name the reason."""
    small(bucket, "file.h5")
    (tmp_path / "mnt").mkdir()
    (tmp_path / "a file").write_text("x")
    for options in ([], ["--background"]):
        done = command("mount", *options, tmp_path / source, tmp_path / point)
        assert done.returncode not in (0, 101) and done.returncode > 0
        assert (source if source == "missing" else point) in done.stderr
    assert not mounting.is_mounted(str(tmp_path / "mnt"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_unmounts(number, bucket, tmp_path):
    """Told to stop, the daemon unmounts and ends with 0, also while somebody has a file open."""
    small(bucket, "file.h5")
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        held = os.open(mount / "file.h5", os.O_RDONLY)
        mount.process.send_signal(number)
        assert mount.process.wait(mounting.STOP) == 0
        assert not mounting.is_mounted(str(mount.point))
        with contextlib.suppress(OSError):  # nobody is left to answer
            os.close(held)


def test_a_dead_mount_is_taken_over(bucket, tmp_path):
    """What a killed daemon leaves behind is replaced, not covered."""
    small(bucket, "file.h5")
    first = mounting.Mount(bucket.folder, folder=tmp_path / "run")
    second = mounting.Mount(bucket.folder, folder=tmp_path / "run")
    try:
        first.start()
        first.process.kill()
        first.process.wait()
        assert error_of(os.listdir, first.point) == errno.ENOTCONN
        # The dead mount still stands in the table, so wait for the answer instead.
        second.process = subprocess.Popen([mounting.binary(), "mount", str(bucket.folder), str(second.point)],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + mounting.START
        while True:
            try:
                assert os.listdir(second.point) == ["file.h5"]
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            assert sum(str(second.point) in line for line in table) == 1
    finally:
        second.stop()
        first.stop()


def test_a_living_mount_is_not_covered(bucket, tmp_path):
    """A second mount on the same place is refused."""
    small(bucket, "file.h5")
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        done = command("mount", "--background", bucket.folder, mount.point)
        assert done.returncode > 0 and str(mount.point) in done.stderr
        assert os.listdir(mount.point) == ["file.h5"]


def test_unprivileged(bucket, tmp_path):
    """Another user mounts and reads, where the machine lets users mount."""
    if os.getuid() == 0 and not os.stat("/dev/fuse").st_mode & 0o006:
        pytest.skip("/dev/fuse is for root only here")
    small(bucket, "file.h5")
    user = 65534 if os.getuid() == 0 else os.getuid()
    base = pathlib.Path("/tmp") / ("h5mount-user-%d" % os.getpid())
    base.mkdir()
    try:
        os.chown(base, user, user)
        shutil.copytree(bucket.folder, base / "bucket")
        shutil.copy(mounting.binary(), base / "h5mount")
        script = "mkdir {0}/mnt && {0}/h5mount mount --background {0}/bucket {0}/mnt && head -c 8 {0}/mnt/file.h5 && " \
            "{0}/h5mount unmount {0}/mnt".format(base)
        done = subprocess.run(["sh", "-c", script], user=user, group=user, capture_output=True, timeout=60, check=False,
                              env={**os.environ, "XDG_STATE_HOME": "%s/state" % base})
        assert done.returncode == 0 and done.stdout == b"\x89HDF\r\n\x1a\n", done.stderr
        log, = (base / "state/h5mount").iterdir()
        assert "is mounted at" in log.read_text()
    finally:
        mounting.unmount(str(base / "mnt"))
        shutil.rmtree(base)


# Bad input


def test_a_chunk_that_cannot_be_decoded_fails_alone(bucket, tmp_path):
    """EIO for that range; the rest reads; the log names key and cause."""
    domain = writer.Domain(bucket, "file.h5")
    number = domain.dataset("x", writer.I32, (40,), (10,), filters=[codecs.DEFLATE])
    for i in range(4):
        domain.chunk(number, (i,), codecs.deflated(numpy.full(10, i, "<i4")))
    domain.chunk(number, (2,), b"this is no zlib stream")
    domain.write()
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        with h5py.File(mount / "file.h5") as file:
            assert error_text(lambda: file["x"][25])
            assert file["x"][15] == 1 and file["x"][35] == 3
            assert error_text(lambda: file["x"][...])
            for _ in range(20):
                assert error_text(lambda: file["x"][25])
        log = mount.log()
        assert domain.chunk_key(number, (2,)) in log and "/x chunk 2" in log
        assert log.count("chunk 2") == 1  # not a line for each attempt


def error_text(call):
    """What a read fails with; nothing where it does not."""
    try:
        call()
    except OSError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("stored", [b"", b"\0" * 17, b"\x78\x9c", codecs.frame(numpy.zeros(3, "<i4")),
                                    codecs.stored(numpy.zeros(10, "<i4"))[:30], os.urandom(400)],
                         ids=["empty", "zeros", "zlib-begun", "frame-short", "frame-cut", "random"])
def test_damaged_chunks_are_errors_not_values(stored, bucket, tmp_path):
    """Nothing that is not the chunk is ever shown as one."""
    domain = writer.Domain(bucket, "file.h5")
    number = domain.dataset("x", writer.I32, (20,), (10,), filters=[codecs.DEFLATE])
    domain.chunk(number, (0,), codecs.deflated(numpy.arange(10, dtype="<i4")))
    domain.chunk(number, (1,), stored)
    domain.write()
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        with h5py.File(mount / "file.h5") as file:
            assert error_text(lambda: file["x"][15])
            assert file["x"][5] == 5


def test_a_chunk_that_may_not_be_read_is_an_error(bucket, tmp_path):
    """Permissions and I/O errors are EIO, never fill; a chunk that is not there is fill."""
    domain = writer.Domain(bucket, "file.h5")
    number = domain.dataset("x", writer.I32, (8192,), (2048,), fillValue=9)  # chunks of whole pages: a page fails as one
    for i in (0, 2):
        domain.chunk(number, (i,), numpy.full(2048, i, "<i4").tobytes())
    domain.write()
    blocked = bucket.folder / domain.chunk_key(number, (1,))
    blocked.symlink_to(blocked)
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        with h5py.File(mount / "file.h5") as file:
            assert (file["x"][6144:] == 9).all()
            assert error_text(lambda: file["x"][3000])
            assert file["x"][5000] == 2 and file["x"][5] == 0


DOCUMENTS = {
    "empty": b"", "torn": b'{"id": "d-', "no object": b"[1, 2, 3]", "null": b"null", "binary": b"\x00\xff" * 40,
    "deep": b'{"a":' * 20000 + b"1" + b"}" * 20000, "huge number": b'{"shape": {"class": "H5S_SIMPLE", "dims": [1e400]}}',
    "wrong kinds": b'{"id": 5, "type": [], "shape": 7, "attributes": "x", "links": null}',
}


@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
@pytest.mark.parametrize("which", ["dataset", "group", "domain"])
def test_documents_that_are_none(kind, which, bucket, tmp_path):
    """A document that cannot be read costs what hangs on it, not the file beside it."""
    small(bucket, "good.h5")
    domain, number = small(bucket, "bad.h5")
    key = {"dataset": domain.object_key(number), "group": domain.object_key(domain.root),
           "domain": "bad.h5/.domain.json"}[which]
    bucket.put(key, DOCUMENTS[kind])
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        try:
            with h5py.File(mount / "bad.h5") as file:
                list(file)
        except OSError:
            pass
        with h5py.File(mount / "good.h5") as file:
            assert file["x"][3] == 3
        assert mount.process.poll() is None
        assert mount.memory("VmHWM") < 300 << 20


SHAPES = {
    "rank 33": {"class": "H5S_SIMPLE", "dims": [1] * 33}, "2^64 elements": {"class": "H5S_SIMPLE", "dims": [2 ** 32] * 3},
    "negative": {"class": "H5S_SIMPLE", "dims": [-5]}, "fraction": {"class": "H5S_SIMPLE", "dims": [1.5]},
    "no class": {"dims": [4]}, "limits below": {"class": "H5S_SIMPLE", "dims": [40], "maxdims": [3]},
}
TYPES = {
    "opaque of 4 GiB": {"class": "H5T_OPAQUE", "size": 1 << 32}, "string of -1": writer.fixed(-1),
    "unknown": {"class": "H5T_TIME"}, "nested": None, "array of nothing": {"class": "H5T_ARRAY", "dims": [], "base": writer.I32},
    "array of 2^62": {"class": "H5T_ARRAY", "dims": [2 ** 31, 2 ** 31], "base": writer.I32},
    "empty compound": {"class": "H5T_COMPOUND", "fields": []}, "integer of 7 bits": {"class": "H5T_INTEGER", "base": "H5T_STD_I7LE"},
}
nested = writer.I32
for _ in range(200):
    nested = {"class": "H5T_VLEN", "size": "H5T_VARIABLE", "base": nested}
TYPES["nested"] = nested


@pytest.mark.parametrize("what, value", [*(("shape", key) for key in SHAPES), *(("type", key) for key in TYPES)])
def test_numbers_that_pass_every_limit(what, value, bucket, tmp_path):
    """A dataset that cannot be shown is left out and named; its neighbour is read; `--strict` refuses the file."""
    domain, number = small(bucket, "file.h5")
    bad = domain.dataset("bad", writer.I32, (40,), (10,))
    domain.objects[bad][what] = SHAPES[value] if what == "shape" else TYPES[value]
    domain.write()
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        with h5py.File(mount / "file.h5") as file:
            assert file["x"][3] == 3
            shown = "bad" in file
        assert shown or bad in mount.log() or "bad" in mount.log()
        assert mount.memory("VmHWM") < 300 << 20
    if not shown:
        with mounting.mounted(bucket.folder, "--strict", folder=tmp_path / "run") as mount:
            assert error_text(lambda: h5py.File(mount / "file.h5"))


def test_a_killed_reader_does_not_hold_the_mount(bucket, tmp_path):
    """A reader that is killed in the middle is gone, and the next one reads."""
    small(bucket, "file.h5")
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        reader = subprocess.Popen([sys.executable, "-c", "import sys\nwhile True: open(sys.argv[1], 'rb').read()",
                                   mount / "file.h5"])
        time.sleep(0.3)
        reader.kill()
        assert reader.wait(10) == -signal.SIGKILL
        with h5py.File(mount / "file.h5") as file:
            assert file["x"][3] == 3


def test_a_torn_document_is_read_again(bucket, tmp_path):
    """A writer beside us may be in the middle of a file: it is tried for a moment before it is an error."""
    domain, number = small(bucket, "file.h5")
    path = bucket.folder / domain.object_key(number)
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    with mounting.mounted(bucket.folder, "--metadata-ttl", 0, folder=tmp_path / "run") as mount:
        # Another process, because h5py holds this one's interpreter while it opens a file.
        mend = subprocess.Popen([sys.executable, "-c", "import sys, time; time.sleep(0.2); "
                                 "open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())", path], stdin=subprocess.PIPE)
        mend.stdin.write(whole)
        mend.stdin.close()
        with h5py.File(mount / "file.h5") as file:
            assert file["x"][3] == 3
        assert mend.wait() == 0
