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
