//! Paths in a file that somebody typed: to the object they lead to.

use std::path::Path;

use crate::model::hierarchy::{Hierarchy, LinkTarget, ObjectId, ObjectKind};
pub use crate::model::paths::Paths;
use crate::source::hsds::key;

/// A path of local disk that goes on into a file: the file, and the path in it. `None` where it ends at something that is
/// there, or no file is on the way, and of a URL of a cloud: there somebody has to be asked.
pub fn into_file(source: &str) -> Option<(String, String)> {
    let path = Path::new(source.strip_prefix("file://").unwrap_or(source));
    if source.contains("://") && !source.starts_with("file://") || path.exists() {
        return None;
    }
    let file = path.ancestors().skip(1).find(|above| above.exists())?;
    let inside = path.strip_prefix(file).ok()?.to_str()?;
    // A folder has a description too, if it is one of HSDS; what is there tells them apart.
    let may_be_one = file.is_file() || file.join(key::domain("").as_str()).is_file();
    may_be_one.then(|| (file.display().to_string(), format!("/{inside}")))
}

/// Why a path leads to no object of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Astray {
    /// It leads nowhere.
    Nowhere,
    /// It leads into another file.
    Outside {
        /// The file as the link names it.
        file: String,
        /// The path there, as far as the link goes.
        path: String,
    },
}

/// The object that `path` leads to, through hard and soft links.
pub fn resolve(hierarchy: &Hierarchy, path: &str) -> Result<ObjectId, Astray> {
    /// Soft links followed before a circle is assumed (HDF5's own default, `H5L_NUM_LINKS`).
    const FOLLOWED: usize = 16;
    let mut names: Vec<Vec<u8>> = segments(path.as_bytes());
    let (mut group, mut followed) = (Hierarchy::ROOT, 0);
    while let Some(name) = names.pop() {
        let Some(ObjectKind::Group(members)) = hierarchy.get(group).map(|object| &object.kind) else {
            return Err(Astray::Nowhere);
        };
        let link = members.links.iter().find(|link| link.name.as_bytes() == name).ok_or(Astray::Nowhere)?;
        match &link.target {
            LinkTarget::Hard(target) => group = *target,
            LinkTarget::Soft(target) => {
                followed += 1;
                if followed > FOLLOWED {
                    return Err(Astray::Nowhere);
                }
                if target.as_bytes().first() == Some(&b'/') {
                    group = Hierarchy::ROOT;
                }
                names.extend(segments(target.as_bytes()));
            }
            LinkTarget::User { .. } => return Err(Astray::Nowhere),
            LinkTarget::External { file, path } => {
                return Err(Astray::Outside { file: file.to_string(), path: path.to_string() });
            }
        }
    }
    hierarchy.get(group).map(|_| group).ok_or(Astray::Nowhere)
}

/// Names of a path, the last one first.
fn segments(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(name, [] | [b'.']));
    names.rev().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hierarchy::{Group, Link, Object};
    use crate::model::name::Name;

    fn group(links: &[(&str, LinkTarget)]) -> Object {
        let links = links.iter().map(|(name, target)| Link { name: Name::from(*name), target: target.clone() });
        Object {
            kind: ObjectKind::Group(Group { links: links.collect(), tracked: false }),
            attributes: Vec::new(),
            attributes_tracked: false,
            modified: None,
            details: Default::default(),
        }
    }

    #[test]
    fn a_path_may_go_on_into_a_file() {
        let store = tempfile::tempdir().unwrap();
        let at = |inside: &str| format!("{}/{inside}", store.path().display());
        std::fs::create_dir_all(at("f.h5")).unwrap();
        assert_eq!(into_file(&at("f.h5/g/x")), None);
        std::fs::write(at("f.h5/.domain.json"), "{}").unwrap();
        assert_eq!(into_file(&at("f.h5/g/x")), Some((at("f.h5"), "/g/x".to_owned())));
        assert_eq!(into_file(&format!("file://{}", at("f.h5/g"))), Some((at("f.h5"), "/g".to_owned())));
        for other in [at("f.h5"), at("none/x"), "s3://bucket/f.h5/g".to_owned(), String::new()] {
            assert_eq!(into_file(&other), None, "{other}");
        }
    }

    #[test]
    fn cycles_and_links_are_followed_to_an_end() {
        let hard = |id| LinkTarget::Hard(ObjectId(id));
        let soft = |path: &str| LinkTarget::Soft(Name::from(path));
        let hierarchy = Hierarchy {
            objects: vec![
                group(&[
                    ("a", hard(1)),
                    ("s", soft("/a/b/./c")),
                    ("loop", soft("loop")),
                    ("out", LinkTarget::External { file: Name::from("other.h5"), path: Name::from("/x") }),
                ]),
                group(&[("b", hard(2)), ("up", hard(0))]),
                group(&[("c", hard(1)), ("rel", soft("c"))]),
                group(&[]),
            ],
            ..Hierarchy::default()
        };
        let paths = Paths::of_hierarchy(&hierarchy);
        assert_eq!((paths.of(ObjectId(2)).as_str(), paths.of(ObjectId(1)).as_str()), ("/a/b", "/a"));
        assert_eq!(paths.of(ObjectId(3)), "(unlinked object 3)");
        assert_eq!(paths.by_path().get("/a"), Some(&ObjectId(1)));
        let resolve = |path| resolve(&hierarchy, path).map(|id| id.0);
        assert_eq!(resolve("/"), Ok(0));
        assert_eq!(resolve("a/up/a/b"), Ok(2));
        assert_eq!(resolve("/s/b/rel"), Ok(1));
        assert_eq!(resolve("/loop"), Err(Astray::Nowhere));
        assert_eq!(resolve("/a/none"), Err(Astray::Nowhere));
        let outside = Astray::Outside { file: "other.h5".to_owned(), path: "/x".to_owned() };
        assert_eq!(resolve("/out"), Err(outside));
    }
}
