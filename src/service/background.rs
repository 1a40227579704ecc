//! Going into the background: the program starts itself again, and waits until that copy has mounted or given up.
//!
//! The copy is made by starting the same program anew rather than by fork, since a forked program must not use threads.
//! It tells through its standard output when the mount answers; its errors go to the standard error of both.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The word that tells that the mount answers.
const READY: &str = "ready";

/// Starts the program again with `arguments`, and waits until it is ready: where its log is kept, if it said so. The
/// exit code it ended with, where it ended before that.
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> io::Result<Result<Option<String>, i32>> {
    let mut child = Command::new(std::env::current_exe()?)
        // By another name the program reads its command line otherwise.
        .arg0(env!("CARGO_PKG_NAME"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if let Some(log) = line.trim_end().strip_prefix(READY) {
        return Ok(Ok(Some(log.trim_start().to_owned()).filter(|log| !log.is_empty())));
    }
    /// What a shell makes of a program that a signal ended.
    const KILLED: i32 = 128;
    Ok(Err(child.wait()?.code().unwrap_or(KILLED)))
}

/// In the copy, first thing: leaves the terminal and the directory it was started in.
pub fn detach() -> io::Result<()> {
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    Ok(())
}

/// In the copy, when the mount answers: tells so, and lets go of what it was started with, so that nobody waits for
/// the end of its output. What is written past the log (a panic) goes into it too.
pub fn tell_ready(log: Option<&Path>) -> io::Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{READY} {}", log.unwrap_or(Path::new("")).display())?;
    output.flush()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(&null)?;
    let errors = log.map(|log| File::options().append(true).open(log)).transpose()?.unwrap_or(null);
    nix::unistd::dup2_stderr(&errors)?;
    Ok(())
}
