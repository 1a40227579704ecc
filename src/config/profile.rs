//! What a profile of `~/.aws` says of where S3 is: its region and its endpoint. Who asks, the same profile says to
//! `store`, when it is first asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::access::profile_file;

/// Where a profile says that S3 is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Region of its buckets.
    pub region: Option<String>,
    /// URL of the service.
    pub endpoint: Option<String>,
    /// No endpoint is to be taken from variables or files.
    pub ignores_endpoints: bool,
    /// Names of all profiles, where this one is not among them.
    pub others: Option<BTreeSet<String>>,
}

/// Files that hold profiles, for a sentence.
pub fn files(variables: &BTreeMap<String, String>) -> String {
    let paths = FILES.map(|(variable, name)| profile_file(variables, variable, name));
    let paths: Vec<String> = paths.into_iter().flatten().map(|path| path.display().to_string()).collect();
    if paths.is_empty() { "~/.aws".to_owned() } else { paths.join(" and ") }
}

/// Variables that name the files, and the files' usual names.
const FILES: [(&str, &str); 2] = [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")];

/// The values of a file: of a section, and a name in it; of a value that stands below another, both with a `.` between.
type Values = BTreeMap<(String, String), String>;

/// The profile called `name`, else the one that `AWS_PROFILE` names, else `default`. A file that cannot be read says
/// nothing here: whoever looks for credentials in it says so.
pub fn read(name: Option<&str>, variables: &BTreeMap<String, String>) -> Profile {
    let [config, credentials] = FILES.map(|(variable, file)| {
        profile_file(variables, variable, file).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    });
    let named = variables.get("AWS_PROFILE").filter(|name| !name.is_empty()).map(String::as_str);
    let name = name.or(named).unwrap_or("default");
    profile(name, &config, &credentials)
}

/// The profile called `name` of both files; what the second says beats the first.
fn profile(name: &str, config: &str, credentials: &str) -> Profile {
    let known = names(config, credentials);
    let (config, credentials) = (values(config), values(credentials));
    let of = |values: &Values, section: &str, key: &str| {
        values.get(&(section.to_owned(), key.to_owned())).filter(|value| !value.is_empty()).cloned()
    };
    let own = |key: &str| {
        // In the one file profiles are called so, but for the default, which may be.
        let prefixed = of(&config, &format!("profile {name}"), key);
        let plain = || (name == "default").then(|| of(&config, name, key)).flatten();
        of(&credentials, name, key).or(prefixed).or_else(plain)
    };
    let service = own("services").and_then(|services| of(&config, &format!("services {services}"), "s3.endpoint_url"));
    Profile {
        name: name.to_owned(),
        region: own("region"),
        endpoint: service.or_else(|| own("endpoint_url")),
        ignores_endpoints: own("ignore_configured_endpoint_urls").is_some_and(|word| word.eq_ignore_ascii_case("true")),
        others: (!known.contains(name)).then_some(known),
    }
}

/// Profiles of both files.
fn names(config: &str, credentials: &str) -> BTreeSet<String> {
    let sections = |text: &str| {
        let heads = text.lines().filter_map(|line| line.strip_prefix('[')?.split(']').next());
        heads.map(|head| head.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let prefixed = |head: &String| match head.strip_prefix("profile ") {
        Some(name) => Some(name.to_owned()),
        None => (head == "default").then(|| head.clone()),
    };
    sections(config).iter().filter_map(prefixed).chain(sections(credentials)).collect()
}

fn values(text: &str) -> Values {
    let (mut values, mut section, mut above) = (Values::new(), String::new(), String::new());
    for line in text.lines() {
        let inside = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').filter(|_| !inside) {
            let name = name.split(']').next().unwrap_or_default();
            section = name.split_whitespace().collect::<Vec<_>>().join(" ");
            above.clear();
        } else if let Some((name, value)) = line.split_once('=') {
            let name = name.trim().to_ascii_lowercase();
            // What follows ` #` is said to people.
            let value = value.split(" #").next().and_then(|value| value.split(" ;").next()).unwrap_or_default().trim();
            let name = if inside && !above.is_empty() {
                format!("{above}.{name}")
            } else {
                above.clone_from(&name);
                name
            };
            values.insert((section.clone(), name), value.to_owned());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_where_its_service_is() {
        let config = "[default]\nregion = eu-west-1 # home\n\n[profile  work]\nregion=us-west-2\nendpoint_url = http://all:1\n\
                      s3 =\n  addressing_style = path\n  endpoint_url = http://not-this\n\
                      [profile special]\nservices = mine\nendpoint_url = http://all:1\nignore_configured_endpoint_urls = true\n\
                      [services mine]\ns3 =\n  endpoint_url = http://s3:2\ndynamodb =\n  endpoint_url = http://other:3\n";
        let credentials = "[work]\nregion = ap-south-1\n; nothing\n[bare]\naws_access_key_id = AK\n";
        let of = |name: &str| {
            let profile = profile(name, config, credentials);
            (profile.region, profile.endpoint, profile.ignores_endpoints)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("default"), (some("eu-west-1"), None, false));
        assert_eq!(of("work"), (some("ap-south-1"), some("http://all:1"), false));
        assert_eq!(of("special"), (None, some("http://s3:2"), true));
        assert_eq!((of("bare"), of("none")), ((None, None, false), (None, None, false)));
    }

    #[test]
    fn a_profile_that_is_in_neither_file_is_told_from_one_that_says_nothing() {
        let (config, credentials) = ("[default]\n[profile  work]\n[sso-session s]\n[odd]\n", "[bare]\n");
        for name in ["default", "work", "bare"] {
            assert_eq!(profile(name, config, credentials).others, None, "{name}");
        }
        let names = ["bare", "default", "work"].map(str::to_owned);
        assert_eq!(profile("s", config, credentials).others, Some(names.into()));
    }

    #[test]
    fn a_profile_is_the_one_that_was_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let text = "[default]\nregion = a\n[profile b]\nregion = b\n[profile c]\nregion = c\n";
        std::fs::write(home.path().join(".aws/config"), text).unwrap();
        let mut variables = BTreeMap::from([("HOME".to_owned(), home.path().to_str().unwrap().to_owned())]);
        assert_eq!(read(None, &variables).region.as_deref(), Some("a"));
        variables.insert("AWS_PROFILE".to_owned(), "b".to_owned());
        assert_eq!(read(None, &variables).region.as_deref(), Some("b"));
        assert_eq!(read(Some("c"), &variables).region.as_deref(), Some("c"));
        assert_eq!(read(None, &BTreeMap::new()).region, None);
    }
}
