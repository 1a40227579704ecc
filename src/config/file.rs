//! The file of a mount: TOML with the words of the flags. `packaging/example.toml` shows every key.

use std::path::Path;

use super::ConfigError;
use super::mount::MountOptions;

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<MountOptions, ConfigError> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: shown(), error })?;
    parse(&text).map_err(|(line, reason)| ConfigError::File { path: shown(), line, reason })
}

/// What a file says; else the line at fault and what is wrong there.
fn parse(text: &str) -> Result<MountOptions, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        (line, error.message().trim().replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const EXAMPLE: &str = include_str!("../../packaging/example.toml");

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        for (text, line, word) in [
            ("source = 's3://b'\n\nendpiont = 'x'\n", 3, "endpiont"),
            ("[clouds]\nendpoint = 'http://h'\nregoin = 'x'\n", 3, "regoin"),
            ("[cloud]\n", 1, "cloud"),
            ("[files]\numask = 22\n", 2, "string"),
            ("[files]\numask = '099'\n", 2, "octal"),
            ("[requests]\nmetadata-ttl = -1\n", 2, "negative"),
            ("source = \n", 1, ""),
            ("source = 's3://b'\nsource = 's3://c'\n", 2, "duplicate"),
        ] {
            let (found, reason) = parse(text).unwrap_err();
            assert!(found == line && reason.contains(word), "{text:?}: line {found}: {reason}");
        }
    }

    #[test]
    fn a_time_may_be_written_without_a_point() {
        assert!(parse("[requests]\nmetadata-ttl = 5\n").is_ok());
    }

    #[test]
    fn the_example_is_what_is_done_without_a_file() {
        let example = parse(EXAMPLE).unwrap();
        // Every line that is switched off becomes a line of the file.
        let switched_on = |line: &str| {
            let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
            key.is_some_and(|key| {
                key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit())
            })
        };
        let lines = EXAMPLE.lines().map(|line| if switched_on(line) { &line[2..] } else { line });
        let all = parse(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        let default = MountOptions::default();
        assert_eq!(all.source, example.source);
        assert_eq!(format!("{:?}", all.namespace()), format!("{:?}", default.namespace()));
        assert_eq!((all.files.umask(), all.files.audience()), (default.files.umask(), default.files.audience()));
        assert_eq!(all.deadline(), default.deadline());
        assert_eq!(all.log.log_format.unwrap_or_default(), default.log.log_format.unwrap_or_default());
        let switches = [all.clouds.no_sign_request, all.clouds.request_payer, all.clouds.missing_as_403];
        assert_eq!(switches, [Some(false); 3]);
    }

    #[test]
    fn the_example_names_every_flag_of_a_mount() {
        let program = crate::cli::Cli::command();
        let mount = program.find_subcommand("mount").unwrap();
        // What a file cannot say: these are about the one start of the program, not about the mount.
        let not_in_files = ["config", "background", "background-copy", "help"];
        let words = mount.get_arguments().chain(program.get_arguments().filter(|flag| flag.is_global_set()));
        for word in words.map(|flag| flag.get_id().as_str().replace('_', "-")) {
            let known = not_in_files.contains(&word.as_str()) || matches!(word.as_str(), "version");
            let named = EXAMPLE.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{word} = ")));
            assert!(known || named, "{word}");
        }
    }
}
