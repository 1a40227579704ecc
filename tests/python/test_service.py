"""The unit, and what the program tells a service manager: ready only when the mount answers, and how it ends."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import mounting
import pytest

UNIT = mounting.REPOSITORY / "packaging" / "h5mount@.service"
LIMIT = 60  # seconds for one command


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))

    def next(self, limit=mounting.START):
        """The next message, as a dictionary."""
        self.socket.settimeout(limit)
        text = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def until(self, word, limit=mounting.START):
        """Messages up to the first that holds `word`."""
        seen = []
        deadline = time.monotonic() + limit
        while not seen or word not in seen[-1]:
            seen.append(self.next(max(0.01, deadline - time.monotonic())))
        return seen


@contextlib.contextmanager
def service(folder, config, *, manager):
    """The program as the unit starts it."""
    process = subprocess.Popen([mounting.binary(), "mount", "--config", str(config)], stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "NOTIFY_SOCKET": str(manager.path)}, cwd=folder)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(LIMIT)
        process.stderr.close()


@pytest.fixture
def described(tmp_path, stores):
    """A file of settings, and the mount point it names."""
    point = tmp_path / "mnt"
    point.mkdir()
    config = tmp_path / "data.toml"
    config.write_text("source = '%s'\nmountpoint = '%s'\n" % (stores["1.0.2"], point))
    try:
        yield config, point
    finally:
        mounting.unmount(str(point))


def unmount(*arguments):
    """Exit code of `h5mount unmount`."""
    return subprocess.run([mounting.binary(), "unmount", *map(str, arguments)], stderr=subprocess.PIPE, timeout=LIMIT,
                          check=False).returncode


def test_ready_means_that_the_mount_answers(tmp_path, described):
    """READY=1 comes when there is something to see; STOPPING=1 when a signal ends it, and then nothing is left."""
    config, point = described
    manager = Manager(tmp_path)
    with service(tmp_path, config, manager=manager) as process:
        seen = manager.until("READY")
        assert "home" in os.listdir(point)
        assert [message.get("READY") for message in seen] == [None] * (len(seen) - 1) + ["1"]
        assert "opening" in seen[0]["STATUS"] and str(point) in seen[-1]["STATUS"]
        process.send_signal(signal.SIGTERM)
        assert "SIGTERM" in manager.until("STOPPING")[-1]["STATUS"]
        assert process.wait(mounting.STOP) == 0
    assert not mounting.is_mounted(str(point))


def test_what_cannot_be_mounted_is_never_ready(tmp_path, described):
    """A store that is not there: an exit code, and no READY."""
    config, point = described
    config.write_text(config.read_text().replace("hsdstest", "absent"))
    manager = Manager(tmp_path)
    with service(tmp_path, config, manager=manager) as process:
        assert process.wait(mounting.START) == 3
        with pytest.raises(TimeoutError):
            while True:
                assert "READY" not in manager.next(0.2)
    assert not mounting.is_mounted(str(point))


def test_a_mount_left_behind_is_taken_away(tmp_path, described):
    """What `ExecStopPost` does after a program was killed; and nothing where there is nothing."""
    config, point = described
    manager = Manager(tmp_path)
    with service(tmp_path, config, manager=manager) as process:
        manager.until("READY")
        process.kill()
        process.wait(LIMIT)
    assert mounting.is_mounted(str(point))
    assert unmount("--force", "--if-mounted", "--config", config) == 0
    assert not mounting.is_mounted(str(point)) and os.listdir(point) == []
    assert unmount("--force", "--if-mounted", "--config", config) == 0
    assert unmount("--force", "--if-mounted", tmp_path / "absent") == 0
    assert unmount("--config", config) == 4


@pytest.mark.parametrize("text, line, word", [
    ("source = 's3://b'\nmountpoint = '/mnt'\n[clouds]\nendpiont = 'x'\n", 4, "endpiont"),
    ("[files]\numask = '99'\n", 2, "octal")])
def test_a_file_that_is_not_understood_is_told_by_line(tmp_path, text, line, word):
    """Exit code 2, with the file, the line and the word."""
    config = tmp_path / "bad.toml"
    config.write_text(text)
    done = subprocess.run([mounting.binary(), "mount", "--config", str(config)], capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    assert done.returncode == 2
    assert "bad.toml, line %d: " % line in done.stderr and word in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (package systemd) is not there")
def test_systemd_understands_the_unit(tmp_path):
    """`systemd-analyze verify` has nothing to say of the template's instance, with the program where it is here."""
    text = UNIT.read_text()
    assert text.count("/usr/local/bin/h5mount") == 2
    program = tmp_path / "h5mount"
    program.symlink_to(os.path.realpath(mounting.binary()))
    unit = tmp_path / "h5mount@test.service"
    unit.write_text(text.replace("/usr/local/bin/h5mount", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True,
                          timeout=LIMIT, check=False, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr, done.stderr


def test_the_unit_keeps_the_machines_mount_namespace():
    """None of the settings that give a service a namespace of its own, in which its mount would be invisible."""
    keys = {line.partition("=")[0] for line in UNIT.read_text().splitlines() if not line.startswith("#")}
    hidden = {"PrivateTmp", "PrivateDevices", "PrivateMounts", "ProtectSystem", "ProtectHome", "ProtectKernelTunables",
              "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectProc", "ReadOnlyPaths",
              "InaccessiblePaths", "DynamicUser", "RootDirectory", "BindPaths", "MountFlags"}
    assert not keys & hidden
    assert {"ExecStopPost", "LimitNOFILE", "Restart", "NotifyAccess"} <= keys


def test_the_unit_limits_what_the_program_needs_not(tmp_path, described):
    """A mount works with the capabilities that the unit leaves, and with no more."""
    capsh = shutil.which("capsh")
    if os.geteuid() != 0 or capsh is None:
        pytest.skip("needs root and capsh (package libcap2-bin)")
    config, point = described
    line = next(line for line in UNIT.read_text().splitlines() if line.startswith("CapabilityBoundingSet="))
    kept = {name.lower() for name in line.partition("=")[2].split()}
    printed = subprocess.run([capsh, "--print"], capture_output=True, text=True, check=True).stdout
    bounding = next(text for text in printed.splitlines() if text.startswith("Bounding set"))
    drop = [name for name in bounding.partition("=")[2].strip().split(",") if name and name not in kept]
    manager = Manager(tmp_path)
    command = 'exec "$0" mount --config "$1"'
    process = subprocess.Popen([capsh, "--drop=" + ",".join(drop), "--", "-c", command, mounting.binary(), str(config)],
                               env={**os.environ, "NOTIFY_SOCKET": str(manager.path)})
    try:
        manager.until("READY")
        held = pathlib.Path("/proc", str(process.pid), "status").read_text()
        mask = int(next(text for text in held.splitlines() if text.startswith("CapEff")).split()[1], 16)
        assert bin(mask).count("1") <= len(kept)
        assert os.listdir(point)
        process.send_signal(signal.SIGTERM)
        assert process.wait(mounting.STOP) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(LIMIT)
