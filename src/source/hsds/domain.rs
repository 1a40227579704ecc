//! Domains: the `.domain.json` of a file or a folder.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{self, Document};

/// What a `.domain.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// Text of the root group's id; `None` for a folder.
    pub root: Option<String>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Access control lists, as JSON. Credentials of the store decide who may read; this is for people.
    pub acls: Option<String>,
}

impl Domain {
    /// Reads it.
    pub fn of(document: &Document) -> Self {
        let text = |key: &str| {
            let value = document.get(key)?;
            Some(String::from_utf8_lossy(&document::text(value.as_str()?)).into_owned())
        };
        // A root that is no text is a file that cannot be opened, not a folder.
        let root = document.get("root").map(|root| root.as_str().map_or_else(|| root.to_string(), str::to_owned));
        Domain { root, owner: text("owner"), acls: document.get("acls").map(Value::to_string) }
    }

    /// What it says, by name.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let facts = [("root", &self.root), ("owner", &self.owner), ("acls", &self.acls)];
        facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(json: &str) -> Domain {
        Domain::of(&Document::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn a_domain_without_a_root_is_a_folder() {
        let folder = domain(r#"{"owner": "admin", "acls": {"admin": {"read": true}}, "root": null}"#);
        assert_eq!(folder.root, None);
        assert_eq!(folder.facts().into_values().collect::<Vec<_>>(), [r#"{"admin":{"read":true}}"#, "admin"]);
        assert_eq!(domain(r#"{"root": "g-1"}"#).root.as_deref(), Some("g-1"));
        assert_eq!(domain(r#"{"root": 5}"#).root.as_deref(), Some("5"));
    }
}
