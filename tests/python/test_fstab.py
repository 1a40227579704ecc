"""mount(8) and fstab: the program as `mount.h5mount`, called by the system's own mount and umount, as root."""

import os
import pathlib
import shutil
import subprocess
import time

import mounting
import pytest
from servers import s3

HELPER = pathlib.Path("/sbin/mount.h5mount")
LIMIT = 60  # seconds for one command

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mount(8) needs root"),
    pytest.mark.skipif(HELPER.exists() or HELPER.is_symlink(), reason="%s is installed and not ours" % HELPER),
]


def run(*command, code=0, **settings):
    """Runs a command that must end with `code`; what it wrote."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LIMIT, check=False,
                          stdin=subprocess.DEVNULL, **settings)
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


@pytest.fixture(params=["link", "copy"])
def helper(request):
    """The helper where mount(8) looks for it, for the length of a test: a link as packages make, or a copy."""
    source = os.path.realpath(mounting.binary())
    try:
        if request.param == "link":
            HELPER.symlink_to(source)
        else:
            shutil.copy(source, HELPER)
        yield HELPER
    finally:
        HELPER.unlink(missing_ok=True)


@pytest.fixture
def point(tmp_path):
    """A mount point with a space in its name; nothing is mounted there afterwards."""
    folder = tmp_path / "mnt of data"
    folder.mkdir()
    try:
        yield folder
    finally:
        mounting.unmount(str(folder))


def daemons(point):
    """Process ids of programs that were told to mount at `point`."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            words = pathlib.Path("/proc", entry, "cmdline").read_bytes().split(b"\0") if entry.isdigit() else []
        except OSError:
            continue
        if str(point).encode() in words and b"--background-copy" in words:
            found.append(int(entry))
    return found


def wait_for_end(point):
    """Until the daemon is gone."""
    deadline = time.monotonic() + mounting.STOP
    while daemons(point):
        assert time.monotonic() < deadline, "the daemon does not end with its mount"
        time.sleep(0.05)


def test_mount_and_umount(helper, point, stores):
    """`mount -t h5mount`, with options of mount(8), of systemd and of ours; `umount` ends the daemon."""
    source = stores["1.0.2"] / "home"
    run("mount", "-t", "h5mount", source, point, "-o",
        "ro,allow_other,_netdev,nofail,x-systemd.automount,uid=1234,umask=027,metadata_ttl=60")
    assert mounting.is_mounted(str(point))
    assert "admin" in os.listdir(point)
    status = os.stat(point / "admin")
    assert (status.st_uid, status.st_mode & 0o777) == (1234, 0o550)
    with open(point / "admin/hand.h5", "rb") as file:
        assert file.read(8) == b"\x89HDF\r\n\x1a\n"
    assert len(daemons(point)) == 1
    run("umount", point)
    assert not mounting.is_mounted(str(point))
    wait_for_end(point)


def test_a_line_of_fstab(helper, point, stores, tmp_path):
    """A line with escaped spaces; `mount -a` again finds it mounted and does nothing."""
    spaced = tmp_path / "a store"
    spaced.symlink_to(stores["1.0.2"])
    escaped = [str(path).replace(" ", "\\040") for path in (spaced, point)]
    fstab = tmp_path / "fstab"
    fstab.write_text("file://%s/home %s h5mount ro,allow_other,noauto,user,_netdev 0 0\n" % tuple(escaped))
    run("mount", "--fstab", fstab, point)
    assert os.listdir(point) == ["admin"]
    first = daemons(point)
    run("umount", point)
    wait_for_end(point)
    fstab.write_text(fstab.read_text().replace("noauto,", ""))
    run("mount", "-a", "-T", fstab)
    second = daemons(point)
    assert len(first) == len(second) == 1 and first != second
    run("mount", "-a", "-T", fstab)
    assert daemons(point) == second
    run("umount", point)
    wait_for_end(point)


def test_one_file(helper, point, stores):
    """A file is shown alone in the folder; asked for again, it is there already; another one is refused."""
    source = stores["1.0.2"] / "home/admin/hand.h5"
    for _ in range(2):
        run("mount", "-t", "h5mount", source, point, "-o", "ro")
        assert os.listdir(point) == ["hand.h5"] and len(daemons(point)) == 1
    other = next(path for path in sorted(source.parent.iterdir()) if path != source and path.is_dir())
    assert "mounted there already" in run("mount", "-t", "h5mount", other, point, code=32)
    run("umount", point)
    wait_for_end(point)


def test_a_folder_that_is_alone_in_its_folder_is_another_source(helper, point, stores):
    """A mount of the folder around it does not pass for a mount of it."""
    folder = stores["1.0.2"] / "home"
    run("mount", "-t", "h5mount", folder, point, "-o", "ro")
    assert os.listdir(point) == ["admin"]
    assert "mounted there already" in run("mount", "-t", "h5mount", folder / "admin", point, "-o", "ro", code=32)
    run("umount", point)
    wait_for_end(point)


def test_the_type_may_be_a_subtype_of_fuse(point, stores):
    """`fuse.h5mount`, where the helper is there by that name."""
    helper = pathlib.Path("/sbin/mount.fuse.h5mount")
    if helper.is_symlink() or helper.exists():
        pytest.skip("%s is installed and not ours" % helper)
    try:
        helper.symlink_to(os.path.realpath(mounting.binary()))
        run("mount", "-t", "fuse.h5mount", stores["1.0.2"], point, "-o", "ro,uid=5")
        assert os.stat(point).st_uid == 5
        run("umount", point)
        wait_for_end(point)
    finally:
        helper.unlink(missing_ok=True)


def test_what_cannot_be_mounted_is_said(helper, point, stores):
    """Exit codes are those of mount(8): 1 usage, 32 failure; the reason names what is wrong, never a value."""
    source = stores["1.0.2"]
    said = run("mount", "-t", "h5mount", source, point, "-o", "ro,access_key=hunter2", code=1)
    assert "`access_key`" in said and "hunter2" not in said
    said = run("mount", "-t", "h5mount", source / "absent", point, code=32)
    assert "absent" in said
    assert "uid" in run("mount", "-t", "h5mount", source, point, "-o", "uid=ann", code=1)
    assert "s3" in run("mount", "-t", "h5mount", "ftp://host/x", point, code=1)
    assert not mounting.is_mounted(str(point)) and not daemons(point)
    run("mount", "-t", "h5mount", "-s", source, point, "-o", "some_other_systems_option")
    said = run(helper, source, point, "-o", "remount,ro", code=32)
    assert "remount" in said
    run(helper, source, point, "-o", "ro")
    assert len(daemons(point)) == 1
    run(mounting.binary(), "unmount", point)
    wait_for_end(point)


def test_a_fake_mount_checks_and_mounts_nothing(helper, point, stores):
    """`-f` as mount(8) hands it over."""
    said = run(helper, stores["1.0.2"], point, "-fv", "-o", "ro")
    assert str(stores["1.0.2"]) in said
    run(helper, stores["1.0.2"] / "absent", point, "-f", code=32)
    assert not mounting.is_mounted(str(point))


def test_a_file_of_settings_in_fstab(helper, point, stores, tmp_path):
    """`config=FILE` says what the line does not."""
    config = tmp_path / "mount.toml"
    config.write_text("[files]\nuid = 77\n[log]\nlog-file = '%s'\n" % (tmp_path / "log"))
    run("mount", "-t", "h5mount", stores["1.0.2"], point, "-o", "config=%s,gid=78" % config)
    status = os.stat(point)
    assert (status.st_uid, status.st_gid) == (77, 78)
    run("umount", point)
    wait_for_end(point)
    assert "was unmounted" in (tmp_path / "log").read_text()


def test_a_line_of_fstab_for_a_bucket(helper, point, stores, tmp_path):
    """From S3, with the options of a public bucket, read by name and by program."""
    with s3.S3({"bucket": stores["1.0.2"]}) as server:
        fstab = tmp_path / "fstab"
        fstab.write_text("s3://bucket/home/admin %s h5mount ro,allow_other,no_sign_request,endpoint=%s,_netdev,"
                         "x-systemd.automount,uid=1234 0 0\n" % (str(point).replace(" ", "\\040"), server.endpoint))
        run("mount", "--fstab", fstab, point)
        assert "hand.h5" in os.listdir(point)
        assert os.stat(point).st_uid == 1234
        assert "GROUP" in run("h5dump", "-H", point / "hand.h5")
        run("mount", "-a", "-T", fstab)
        assert len(daemons(point)) == 1
        run("umount", point)
        wait_for_end(point)
        said = run("mount", "-t", "h5mount", "s3://absent/home", point, "-o",
                   "no_sign_request,endpoint=" + server.endpoint, code=32)
        assert "no such bucket" in said
