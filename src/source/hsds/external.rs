//! External links: names of other files as clients of HSDS wrote them.
//!
//! The store holds whatever the client gave: a file name beside the file (`types.h5`), a domain path from the root of
//! the bucket (`/home/admin/types.h5`), with or without a scheme (`hdf5://home/admin/types.h5`). A domain path means
//! nothing to a program that reads through a mount, so it is written relative to the folder of the file that links, as
//! long as it stays inside what is mounted. This depends on names alone and never on what is there, so that a file
//! looks the same to everyone.

/// The name to present for external file `name`, met in the file at `path` (in the store) of a source whose root is
/// `base`; `None` where it is to be presented as stored.
pub fn resolve(base: &str, path: &str, name: &[u8]) -> Option<Vec<u8>> {
    let name = std::str::from_utf8(name).ok()?;
    let domain = match name.strip_prefix("hdf5:") {
        Some(rest) => rest.trim_start_matches('/'),
        None => name.strip_prefix('/')?.trim_start_matches('/'),
    };
    if domain.is_empty() || domain.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    let inside = |path: &str| match base {
        "" => true,
        base => path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/')),
    };
    if !inside(domain) {
        return None;
    }
    let folder: Vec<&str> = path.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect();
    let target: Vec<&str> = domain.split('/').collect();
    // The last part of the target is the file itself: it is never a folder both have in common.
    let common = folder.iter().zip(&target[..target.len() - 1]).take_while(|(one, other)| one == other).count();
    let mut parts = vec![".."; folder.len() - common];
    parts.extend_from_slice(target.get(common..)?);
    Some(parts.join("/").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_paths_become_relative_and_other_names_stay() {
        let cases = [
            ("", "home/admin/a.h5", "/home/admin/types.h5", Some("types.h5")),
            ("", "home/admin/a.h5", "hdf5://home/types.h5", Some("../types.h5")),
            ("", "home/admin/a.h5", "hdf5:/shared/x/types.h5", Some("../../shared/x/types.h5")),
            ("home", "home/a.h5", "/home/admin/types.h5", Some("admin/types.h5")),
            ("home", "home/admin/a.h5", "/homes/types.h5", None),
            ("home", "home/admin/a.h5", "/shared/types.h5", None),
            ("", "a.h5", "types.h5", None),
            ("", "a.h5", "../types.h5", None),
            ("", "a.h5", "/home/../types.h5", None),
            ("", "home/a/b.h5", "/home/a", Some("../a")),
            ("", "a.h5", "/", None),
        ];
        for (base, path, name, wanted) in cases {
            let resolved = resolve(base, path, name.as_bytes()).map(|name| String::from_utf8(name).unwrap());
            assert_eq!(resolved.as_deref(), wanted, "{base} {path} {name}");
        }
    }
}
