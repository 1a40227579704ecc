//! What a mount needs of this machine.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Finding;

/// Open files that are enough: 64 requests, their connections, and a thousand files that programs have open.
const OPEN_FILES: u64 = 4096;
/// Kernel since which FUSE reads more than 128 KiB at a time.
const LARGE_READS: (u64, u64) = (4, 20);

/// Looks at everything.
pub fn findings() -> Vec<Finding> {
    let root = nix::unistd::geteuid().is_root();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let configuration = std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    vec![
        device(Path::new("/dev/fuse")),
        helper(root, &std::env::var_os("PATH").unwrap_or_default()),
        allow_other(root, &configuration),
        open_files(&limits),
        locked_memory(&limits),
        kernel(release.trim()),
    ]
}

fn device(path: &Path) -> Finding {
    const TOPIC: &str = "/dev/fuse";
    match File::options().read(true).write(true).open(path) {
        Ok(_) => Finding::ok(TOPIC, "can be opened"),
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::fail(
            TOPIC,
            "is not there",
            "load the module (modprobe fuse); in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN",
        ),
        Err(error) => Finding::fail(
            TOPIC,
            error.to_string(),
            "give yourself the right (group `fuse` where there is one, else chmod 666 /dev/fuse); in a container, start \
             it with --device /dev/fuse",
        ),
    }
}

fn helper(root: bool, search: &std::ffi::OsStr) -> Finding {
    const TOPIC: &str = "fusermount3";
    let found: Option<PathBuf> =
        std::env::split_paths(search).map(|folder| folder.join("fusermount3")).find(|path| path.is_file());
    match found {
        Some(path) => Finding::ok(TOPIC, path.display().to_string()),
        None if root => Finding::ok(TOPIC, "not found, and root needs none"),
        None => Finding::fail(TOPIC, "not found", "install it (package fuse3), or mount as root"),
    }
}

fn allow_other(root: bool, configuration: &str) -> Finding {
    const TOPIC: &str = "user_allow_other";
    let set = configuration.lines().any(|line| line.trim() == TOPIC);
    match (root, set) {
        (true, _) => Finding::ok(TOPIC, "root may always let others in"),
        (false, true) => Finding::ok(TOPIC, "is set in /etc/fuse.conf"),
        (false, false) => Finding::warn(
            TOPIC,
            "is not set: --allow-other will be refused",
            "add the line user_allow_other to /etc/fuse.conf, where others are to read the mount",
        ),
    }
}

/// Soft limit of a line of /proc/self/limits; `None` for unlimited, or where the line is not there.
fn limit(limits: &str, name: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn open_files(limits: &str) -> Finding {
    const TOPIC: &str = "open files";
    match limit(limits, "Max open files") {
        Some(limit) if limit < OPEN_FILES => {
            let remedy = format!("ulimit -n {OPEN_FILES} before the mount; LimitNOFILE= in a unit");
            Finding::warn(TOPIC, format!("at most {limit}"), remedy)
        }
        Some(limit) => Finding::ok(TOPIC, format!("at most {limit}")),
        None => Finding::ok(TOPIC, "no limit"),
    }
}

fn locked_memory(limits: &str) -> Finding {
    let said = limit(limits, "Max locked memory").map_or("no limit".to_owned(), |limit| format!("{} KiB", limit >> 10));
    Finding::ok("locked memory", format!("{said}; none is needed"))
}

fn kernel(release: &str) -> Finding {
    const TOPIC: &str = "kernel";
    let mut numbers = release.split(|char: char| !char.is_ascii_digit()).filter_map(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= LARGE_READS => Finding::ok(TOPIC, release),
        (Some(_), Some(_)) => Finding::warn(TOPIC, release, "4.20 or newer reads more than 128 KiB at a time"),
        _ => Finding::skip(TOPIC, "does not say its version"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn each_thing_that_is_missing_is_told_with_what_to_do() {
        let absent = device(Path::new("/no/such/device"));
        assert_eq!(absent.verdict, Verdict::Fail);
        assert!(absent.remedy.unwrap().contains("modprobe"));
        assert_eq!(device(Path::new("/dev/null")).verdict, Verdict::Ok);
        assert_eq!(helper(false, "/no/such/folder".as_ref()).verdict, Verdict::Fail);
        assert_eq!(helper(true, "".as_ref()).verdict, Verdict::Ok);
        assert_eq!(allow_other(false, "# user_allow_other\n").verdict, Verdict::Warn);
        assert_eq!(allow_other(false, "x\n user_allow_other \n").verdict, Verdict::Ok);
        assert_eq!(allow_other(true, "").verdict, Verdict::Ok);
    }

    #[test]
    fn limits_and_versions_are_read() {
        let limits = "Limit     Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n\
                      Max locked memory  unlimited  unlimited  bytes\n";
        assert_eq!(open_files(limits).verdict, Verdict::Warn);
        assert_eq!(open_files("Max open files 65536 65536 files").verdict, Verdict::Ok);
        assert_eq!(locked_memory(limits).said, "no limit; none is needed");
        for (release, verdict) in [
            ("6.1.0-18-amd64", Verdict::Ok),
            ("4.20", Verdict::Ok),
            ("4.18.0-553.el8", Verdict::Warn),
            ("", Verdict::Skip),
        ] {
            assert_eq!(kernel(release).verdict, verdict, "{release}");
        }
    }
}
