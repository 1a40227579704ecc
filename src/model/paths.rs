//! Paths of a file's objects: for each, the first path by which a walk from the root meets it.

use std::collections::BTreeMap;

use super::hierarchy::{Hierarchy, LinkTarget, ObjectId, ObjectKind};

/// A path for every object.
#[derive(Clone, Debug, Default)]
pub struct Paths(Vec<Option<String>>);

impl Paths {
    /// The paths of `hierarchy`, by a walk breadth first in the order of links. Cycles end where they began.
    pub fn of_hierarchy(hierarchy: &Hierarchy) -> Paths {
        let mut paths = vec![None; hierarchy.objects.len()];
        let mut open = std::collections::VecDeque::new();
        if let Some(root) = paths.get_mut(Hierarchy::ROOT.0 as usize) {
            *root = Some("/".to_owned());
            open.push_back((Hierarchy::ROOT, String::new()));
        }
        while let Some((id, path)) = open.pop_front() {
            let Some(ObjectKind::Group(group)) = hierarchy.get(id).map(|object| &object.kind) else { continue };
            for link in &group.links {
                let LinkTarget::Hard(target) = &link.target else { continue };
                if let Some(place @ None) = paths.get_mut(target.0 as usize) {
                    let path = format!("{path}/{}", link.name);
                    *place = Some(path.clone());
                    open.push_back((*target, path));
                }
            }
        }
        Paths(paths)
    }

    /// The path of an object; one that no link leads to is named by its number.
    pub fn of(&self, id: ObjectId) -> String {
        match self.0.get(id.0 as usize) {
            Some(Some(path)) => path.clone(),
            _ => format!("(unlinked object {})", id.0),
        }
    }

    /// Objects by path.
    pub fn by_path(&self) -> BTreeMap<&str, ObjectId> {
        let numbered = self.0.iter().zip(0..);
        numbered.filter_map(|(path, id)| Some((path.as_deref()?, ObjectId(id)))).collect()
    }
}
