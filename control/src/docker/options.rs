//! What do a user's options say? Those of a network stand as they were written. Those of a container came through a
//! client which, in version 20.10, puts names and values into lower case: they are compared without case.

use crate::docker::messages::Options;
use crate::docker::refused::Refused;

/// Under which name an engine passes on what its user said of a network.
pub(super) const GENERIC: &str = "com.docker.network.generic";

/// The option `key`, which is a text.
pub(super) fn text<'o>(options: &'o Options, key: &str) -> Result<Option<&'o str>, Refused> {
    let value = options.get(key).filter(|it| !it.is_null());
    let text = |value: &'o serde_json::Value| {
        value.as_str().ok_or_else(|| Refused::NotText(key.to_owned()))
    };
    value.map(text).transpose()
}

/// The names that the option `key` lists.
pub(super) fn list(options: &Options, key: &str) -> Result<Option<Vec<String>>, Refused> {
    let names = text(options, key)?.map(|text| text.split(',').map(|it| it.trim().to_owned()));
    Ok(names.map(|names| names.filter(|it| !it.is_empty()).collect()))
}

/// Refuses an option of `what` that is not `known`; `prefix` is what all of them begin with.
pub(super) fn only(
    options: &Options,
    what: &'static str,
    prefix: &str,
    known: &[&str],
) -> Result<(), Refused> {
    let mut options = options.keys().filter(|key| key.starts_with(prefix));
    match options.find(|key| !known.contains(&key.as_str())) {
        Some(other) => Err(Refused::UnknownOption(other.clone(), what, known.join(", "))),
        None => Ok(()),
    }
}

/// Those of `names` that are `asked` without case.
pub(super) fn alike<'n>(names: impl IntoIterator<Item = &'n str>, asked: &str) -> Vec<&'n str> {
    let asked = asked.to_lowercase();
    names.into_iter().filter(|name| name.to_lowercase() == asked).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(value: &serde_json::Value) -> Options {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn names_are_alike_without_case_and_each_that_is_counts() {
        let names = ["app", "App", "db"];
        assert_eq!(alike(names, "APP"), ["app", "App"]);
        assert_eq!(alike(names, "app"), ["app", "App"], "it may have been written `App`");
        assert_eq!(alike(names, "DB"), ["db"]);
        assert_eq!(alike(names, "web"), [""; 0]);
    }

    #[test]
    fn lists_are_split_and_what_is_no_text_is_refused() {
        let said = options(&json!({"groups": " a, b,,", "none": null, "number": 5}));
        let groups = list(&said, "groups").unwrap();
        assert_eq!(groups, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(list(&said, "none").unwrap(), None);
        assert_eq!(list(&said, "absent").unwrap(), None);
        assert!(matches!(list(&said, "number"), Err(Refused::NotText(_))));
    }

    #[test]
    fn only_what_is_known_passes_and_an_engines_own_options_are_its_own() {
        let said = options(&json!({"hypertun.eni": "app", "com.docker.network.portmap": []}));
        assert!(only(&said, "--driver-opt", "hypertun.", &["hypertun.eni"]).is_ok());
        let refused = only(&said, "-o", "", &["hypertun.eni"]).unwrap_err().to_string();
        assert_eq!(
            refused,
            "`com.docker.network.portmap` is no option of -o; there are: hypertun.eni"
        );
    }
}
