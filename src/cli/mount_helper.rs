//! `mount.h5mount`: what mount(8) runs for `mount -t h5mount` and for lines of fstab.
//!
//! It is the same program by another name. mount(8) calls it as `mount.h5mount SOURCE DIR [-sfnv] [-N ns] [-o options]
//! [-t type]`; the options become flags of [`mount`](super::mount), which then runs in the background. Everything here is
//! words; what they mean is asked of the same definitions as always.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::CommandFactory;

use super::{Cli, Command, Exit, Failed, mount};
use crate::service::{MountSettings, mountpoint};

/// Names under which the program is a helper of mount(8): for the types `h5mount` and `fuse.h5mount`.
const NAMES: [&str; 2] = ["mount.h5mount", "mount.fuse.h5mount"];

/// Options that are mount(8)'s, systemd's or the kernel's own and need nothing from us: files are read-only, never
/// executable, never devices, and a read changes no time. `rw` is what mount(8) says where nobody said anything.
const GENERIC: [&str; 43] = [
    "ro",
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "group",
    "owner",
    "_netdev",
    "nofail",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
    "silent",
    "loud",
    "private",
    "shared",
    "slave",
    "unbindable",
    "nosymfollow",
    "symfollow",
];
/// The same for options with a value, and for whole families.
const GENERIC_STARTS: [&str; 4] = ["x-", "X-", "comment=", "user="];
/// Words that are flags of `mount` and none of a mount.
const NOT_OPTIONS: [&str; 4] = ["background", "background-copy", "help", "version"];

/// Exit codes of mount(8).
mod code {
    pub const USAGE: u8 = 1;
    pub const SYSTEM: u8 = 2;
    pub const FAILURE: u8 = 32;
}

/// Whether the program was started as a helper of mount(8).
pub fn is_meant(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| NAMES.iter().any(|helper| name == *helper))
}

/// Runs it, with what stands behind the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let result = Call::parse(arguments).and_then(Call::run);
    result.unwrap_or_else(|failed| {
        eprintln!("mount.h5mount: {}", failed.message);
        Exit::Copy(of_mount(failed.exit))
    })
}

/// What mount(8) makes of our codes.
fn of_mount(exit: Exit) -> u8 {
    match exit {
        Exit::Done => 0,
        Exit::Usage => code::USAGE,
        Exit::System => code::SYSTEM,
        Exit::Source | Exit::Mount | Exit::Faults => code::FAILURE,
        Exit::Copy(own) => [Exit::Usage, Exit::System]
            .into_iter()
            .find(|exit| exit.code() == own)
            .map_or(if own == 0 { 0 } else { code::FAILURE }, of_mount),
    }
}

/// A call, understood.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    /// Command line of the program under its own name, without that.
    arguments: Vec<OsString>,
    /// Only look whether it could be done.
    fake: bool,
    verbose: bool,
}

fn usage(message: impl ToString) -> Failed {
    Failed::new(Exit::Usage, message)
}

impl Call {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Call, Failed> {
        let (mut places, mut options) = (Vec::new(), Vec::new());
        let (mut sloppy, mut fake, mut verbose) = (false, false, false);
        let mut rest = arguments.into_iter();
        while let Some(word) = rest.next() {
            let text = word.to_str().unwrap_or_default();
            let flags = match text.strip_prefix('-') {
                Some(flags) if !flags.is_empty() => flags,
                _ => {
                    places.push(word);
                    continue;
                }
            };
            for flag in flags.chars() {
                let mut value = || rest.next().ok_or_else(|| usage(format!("-{flag} needs a value")));
                match flag {
                    's' => sloppy = true,
                    'f' => fake = true,
                    'v' => verbose = true,
                    // There is no mtab of our own.
                    'n' => {}
                    'r' => options.push("ro".to_owned()),
                    'w' => options.push("rw".to_owned()),
                    'o' => options.extend(split(&text_of(value()?)?)),
                    't' => match text_of(value()?)?.as_str() {
                        "h5mount" | "fuse.h5mount" => {}
                        other => return Err(usage(format!("the type {other} is not h5mount"))),
                    },
                    'N' => return Err(usage("cannot mount into another namespace (-N); run mount in it: nsenter")),
                    _ => return Err(usage(format!("-{flag} is no flag of a mount helper"))),
                }
            }
        }
        let [source, directory] = <[OsString; 2]>::try_from(places)
            .map_err(|_| usage("called by mount(8) as: mount.h5mount SOURCE DIR [-sfnv] [-o OPTIONS]"))?;
        let mut flags = Vec::new();
        for option in &options {
            match translate(option) {
                Some(flag) => flags.extend(flag),
                None if option == "remount" => {
                    return Err(Failed::new(
                        Exit::Mount,
                        "a mounted store keeps its options (remount); unmount it and mount it anew",
                    ));
                }
                None if sloppy => {}
                // Never the value: it may be a secret in the wrong place.
                None => {
                    let name = option.split('=').next().unwrap_or_default();
                    return Err(usage(format!("unknown option `{name}`; those of `h5mount mount --help` are known")));
                }
            }
        }
        let mut arguments = vec![OsString::from("mount"), "--background".into()];
        arguments.extend(flags);
        arguments.extend(["--".into(), source, directory]);
        Ok(Call { arguments, fake, verbose })
    }

    fn run(self) -> Result<Exit, Failed> {
        let line = std::iter::once(OsString::from("h5mount")).chain(self.arguments.iter().cloned());
        // clap's first line says which value is wrong; the usage that follows is not mount(8)'s.
        let cli = super::parse(line).map_err(|error| usage(error.to_string().lines().next().unwrap_or_default()))?;
        let Command::Mount(mount) = cli.command else { return Err(usage("not a mount")) };
        let settings = mount::settings(mount.stated()?)?;
        if self.verbose {
            println!("mount.h5mount: {} on {}", settings.place, settings.mountpoint.display());
        }
        // `mount -a` asks for every line of fstab, and finds what is mounted by names that are not ours.
        if is_there(&settings) {
            if self.verbose {
                println!("mount.h5mount: it is mounted there already");
            }
            return Ok(Exit::Done);
        }
        if self.fake {
            return Ok(Exit::Done);
        }
        let started = mount::in_background(self.arguments)?;
        if let Some(log) = started.log.filter(|_| self.verbose) {
            println!("mount.h5mount: log lines go to {log}");
        }
        Ok(Exit::Copy(of_mount(started.exit)))
    }
}

/// Whether the very thing is mounted already. A file is mounted as the folder around it, alone.
fn is_there(settings: &MountSettings) -> bool {
    let (url, point) = (settings.place.to_string(), &settings.mountpoint);
    let url = url.trim_end_matches('/');
    mountpoint::shows(point, url)
        || url.rsplit_once('/').is_some_and(|(folder, name)| {
            // Looked into only once it is known to answer; two names are enough to see that it is not one. A folder that
            // is alone in its folder is another source.
            mountpoint::shows(point, folder)
                && match std::fs::read_dir(point).into_iter().flatten().take(2).collect::<Vec<_>>().as_slice() {
                    [Ok(entry)] => entry.file_name() == name && entry.file_type().is_ok_and(|kind| kind.is_file()),
                    _ => false,
                }
        })
}

fn text_of(word: OsString) -> Result<String, Failed> {
    word.into_string().map_err(|word| usage(format!("{}: not UTF-8", word.display())))
}

/// Options between commas. One in double quotes may hold commas.
fn split(options: &str) -> Vec<String> {
    let (mut found, mut quoted) = (vec![String::new()], false);
    for char in options.chars() {
        match (char, found.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => found.push(String::new()),
            (char, Some(last)) => last.push(char),
            (_, None) => {}
        }
    }
    found.retain(|option| !option.is_empty());
    found
}

/// The flag that an option means; none for an option that is not ours to care for. `None` where it is unknown.
fn translate(option: &str) -> Option<Option<OsString>> {
    if GENERIC.contains(&option) || GENERIC_STARTS.iter().any(|start| option.starts_with(start)) {
        return Some(None);
    }
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let name = name.replace('_', "-");
    let program = Cli::command();
    let mount = program.find_subcommand("mount")?;
    let mut flags = mount.get_arguments().chain(program.get_arguments());
    let known = flags.any(|flag| flag.get_long() == Some(&name)) && !NOT_OPTIONS.contains(&name.as_str());
    known.then(|| {
        let value = value.map_or_else(String::new, |value| format!("={value}"));
        Some(format!("--{name}{value}").into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Result<Call, Failed> {
        Call::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_name_of_the_program_decides() {
        for (name, meant) in [
            ("mount.h5mount", true),
            ("/sbin/mount.h5mount", true),
            ("/sbin/mount.fuse.h5mount", true),
            ("/usr/bin/h5mount", false),
            ("mount.h5mountx", false),
            ("", false),
        ] {
            assert_eq!(is_meant(OsStr::new(name)), meant, "{name}");
        }
    }

    #[test]
    fn options_become_flags() {
        let call = call(
            "s3://b/f /mnt -v -o rw,allow_other,no_sign_request,_netdev,x-systemd.automount,uid=5,metadata-ttl=1.5,\
             allow_links=http: -t h5mount",
        );
        let call = call.unwrap();
        let words: Vec<&str> = call.arguments.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words,
            [
                "mount",
                "--background",
                "--allow-other",
                "--no-sign-request",
                "--uid=5",
                "--metadata-ttl=1.5",
                "--allow-links=http:",
                "--",
                "s3://b/f",
                "/mnt"
            ]
        );
        assert!(call.verbose && !call.fake);
        assert!(super::super::parse(std::iter::once("h5mount".into()).chain(call.arguments)).is_ok());
    }

    #[test]
    fn what_is_unknown_is_refused_by_its_name_alone() {
        let failed = call("s3://b /mnt -o ro,secret_key=hunter2").unwrap_err();
        assert_eq!(of_mount(failed.exit), 1);
        assert!(failed.message.contains("`secret_key`") && !failed.message.contains("hunter2"), "{}", failed.message);
        assert!(call("s3://b /mnt -s -o ro,secret_key=hunter2").is_ok());
        for line in ["s3://b", "", "s3://b /mnt more", "s3://b /mnt -o", "s3://b /mnt -q", "s3://b /mnt -t ext4"] {
            assert_eq!(of_mount(call(line).unwrap_err().exit), 1, "{line}");
        }
        for option in ["background", "background_copy", "help", "source=x", "mountpoint=/x"] {
            assert!(translate(option).is_none(), "{option}");
        }
        assert_eq!(of_mount(call("s3://b /mnt -o remount,ro").unwrap_err().exit), 32);
        assert_eq!(of_mount(call("s3://b /mnt -N /proc/1/ns/mnt").unwrap_err().exit), 1);
    }

    #[test]
    fn quotes_keep_commas_together() {
        assert_eq!(split("ro,,a=\"x,y\",b"), ["ro", "a=x,y", "b"]);
        assert!(call("s3://b /mnt -sfnv -o ro").unwrap().fake);
    }

    #[test]
    fn codes_are_those_of_mount() {
        for (own, wanted) in [(0, 0), (2, 1), (3, 32), (4, 32), (5, 2), (134, 32)] {
            assert_eq!(of_mount(Exit::Copy(own)), wanted, "{own}");
        }
    }
}
