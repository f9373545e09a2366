//! What stands at a path, or below it?

use std::collections::BTreeMap;

/// The value at `path`, below a version; of a directory its entries, one a line and those that are directories with a
/// slash behind. Both may be asked for with or without a slash behind: botocore wants `placement/availability-zone/`.
pub(super) fn find(leaves: &BTreeMap<String, String>, path: &str) -> Option<String> {
    if let Some(value) = leaves.get(path.strip_suffix('/').unwrap_or(path)) {
        return Some(value.clone());
    }
    let slash = if path.is_empty() || path.ends_with('/') { "" } else { "/" };
    let directory = format!("{path}{slash}");
    let below = leaves.keys().filter_map(|leaf| leaf.strip_prefix(&directory));
    let mut entries: Vec<&str> = below
        .map(|rest| match rest.split_once('/') {
            // AWS shows these without a slash, and only these.
            Some((entry, _)) if path.is_empty() => entry,
            Some((entry, _)) => &rest[..=entry.len()],
            None => rest,
        })
        .collect();
    entries.dedup();
    (!entries.is_empty()).then(|| entries.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_list_their_entries_once() {
        let leaves = ["dynamic/x/document", "meta-data/mac", "meta-data/n/a", "meta-data/n/b/c"];
        let leaves = leaves.map(|leaf| (leaf.to_owned(), format!("at {leaf}"))).into();
        for (path, found) in [
            ("", "dynamic\nmeta-data"),
            ("dynamic", "x/"),
            ("meta-data", "mac\nn/"),
            ("meta-data/", "mac\nn/"),
            ("meta-data/n", "a\nb/"),
            ("meta-data/n/b/", "c"),
            ("meta-data/n/b/c", "at meta-data/n/b/c"),
            ("meta-data/n/b/c/", "at meta-data/n/b/c"),
        ] {
            assert_eq!(find(&leaves, path).as_deref(), Some(found), "{path}");
        }
        for path in
            ["/", "meta", "meta-data//", "meta-data/mac//", "meta-data/n/b/c/d", "user-data"]
        {
            assert_eq!(find(&leaves, path), None, "{path}");
        }
    }
}
