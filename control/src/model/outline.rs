//! What changed between two texts of a topology, thing by thing?

use std::collections::BTreeMap;
use std::fmt;

use crate::diagnostic::Faults;
use crate::model::tree::{Body, Node, parse};

/// One thing that two topologies do not have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the new one has it.
    Added(String),
    /// Both have it, written differently.
    Changed(String),
    /// Both have it, written alike, but not at the same addresses: something else claims the old.
    Readdressed(String),
    /// Only the old one has it.
    Removed(String),
}

impl Change {
    /// What differs: its section and its name.
    #[must_use]
    pub fn thing(&self) -> &str {
        let (Self::Added(thing)
        | Self::Changed(thing)
        | Self::Readdressed(thing)
        | Self::Removed(thing)) = self;
        thing
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(thing) => write!(f, "+ {thing}"),
            Self::Changed(thing) => write!(f, "~ {thing}"),
            Self::Readdressed(thing) => write!(f, "~ {thing} (has another address now)"),
            Self::Removed(thing) => write!(f, "- {thing}"),
        }
    }
}

/// The things that differ, by section and name; order, quotes and comments make no difference.
#[must_use]
pub fn difference(old: &str, new: &str) -> Vec<Change> {
    let (mut old, new) = (outline(old), outline(new));
    let mut changes = Vec::new();
    for (thing, text) in new {
        match old.remove(&thing) {
            None => changes.push(Change::Added(thing)),
            Some(before) if before != text => changes.push(Change::Changed(thing)),
            Some(_) => {}
        }
    }
    changes.extend(old.into_keys().map(Change::Removed));
    changes
}

/// Each thing as `section name`, and what the file says of it.
fn outline(text: &str) -> BTreeMap<String, String> {
    let mut things = BTreeMap::new();
    let root = parse(text, &mut Faults::default());
    for (section, node) in root.iter().flat_map(entries) {
        // The internet is one thing that holds things by name, as a section does.
        let nested = entries(node).filter(|(name, _)| (section, *name) == ("internet", "hosts"));
        let things_of = |section: &str, node: &Node<'_>, things: &mut BTreeMap<_, _>| {
            for (name, thing) in entries(node) {
                things.insert(format!("{section} {name}"), canonical(thing));
            }
        };
        match &node.body {
            Body::Map(_) if section == "internet" => {
                for (_, hosts) in nested {
                    things_of("internet.hosts", hosts, &mut things);
                }
                for (name, other) in entries(node).filter(|(name, _)| *name != "hosts") {
                    things.insert(format!("internet.{name}"), canonical(other));
                }
            }
            Body::Map(_) => things_of(section, node, &mut things),
            _ => drop(things.insert(section.to_owned(), canonical(node))),
        }
    }
    things
}

fn entries<'n>(node: &'n Node<'_>) -> impl Iterator<Item = (&'n str, &'n Node<'n>)> {
    let entries = match &node.body {
        Body::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(key, value)| (&*key.text, value))
}

fn canonical(node: &Node<'_>) -> String {
    match &node.body {
        Body::Text { text, .. } => format!("{text:?}"),
        Body::List(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Body::Map(_) => {
            let sorted: BTreeMap<&str, String> =
                entries(node).map(|(key, value)| (key, canonical(value))).collect();
            format!("{sorted:?}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_things_apart_and_not_how_they_are_written() {
        let old = "vpcs: {a: {cidr_block: 10.0.0.0/16}, b: {x: 1, y: 2}}\nregion: r\n\
                   internet: {hosts: {h: {addresses: [192.0.2.1]}}}";
        let same = "region: 'r' # here\nvpcs:\n  b: {y: 2, x: 1}\n  a: {cidr_block: \"10.0.0.0/16\"}\n\
                    internet: {hosts: {h: {addresses: [192.0.2.1]}}}";
        assert_eq!(difference(old, same), []);
        let new = "vpcs: {a: {cidr_block: 10.1.0.0/16}, c: {}}\nregion: s\n\
                   internet: {uplink: none, hosts: {h: {addresses: [192.0.2.2]}}}";
        let changes: Vec<String> = difference(old, new).iter().map(Change::to_string).collect();
        let expected = [
            "~ internet.hosts h",
            "+ internet.uplink",
            "~ region",
            "~ vpcs a",
            "+ vpcs c",
            "- vpcs b",
        ];
        assert_eq!(changes, expected);
    }
}
