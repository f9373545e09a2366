//! What changed between two texts of a topology, thing by thing?

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::tree::{Body, Node};

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

/// What there is in a text, by section and name, and a digest of what is said of each; order, quotes and comments make
/// no difference to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline(BTreeMap<String, u64>);

impl Outline {
    pub(super) fn of(root: &Node<'_>) -> Self {
        let mut things = BTreeMap::new();
        for (section, node) in entries(root) {
            // The internet is one thing that holds things by name, as a section does.
            let nested =
                entries(node).filter(|(name, _)| (section, *name) == ("internet", "hosts"));
            let things_of = |section: &str, node: &Node<'_>, things: &mut BTreeMap<_, _>| {
                for (name, thing) in entries(node) {
                    things.insert(format!("{section} {name}"), digest(thing));
                }
            };
            match &node.body {
                Body::Map(_) if section == "internet" => {
                    for (_, hosts) in nested {
                        things_of("internet.hosts", hosts, &mut things);
                    }
                    for (name, other) in entries(node).filter(|(name, _)| *name != "hosts") {
                        things.insert(format!("internet.{name}"), digest(other));
                    }
                }
                Body::Map(_) => things_of(section, node, &mut things),
                _ => drop(things.insert(section.to_owned(), digest(node))),
            }
        }
        Self(things)
    }

    /// What differs in `new`: first what it has, then what it has not, each by section and name.
    #[must_use]
    pub fn difference(&self, new: &Self) -> Vec<Change> {
        let changes = new.0.iter().filter_map(|(thing, said)| match self.0.get(thing) {
            None => Some(Change::Added(thing.clone())),
            Some(before) if before != said => Some(Change::Changed(thing.clone())),
            Some(_) => None,
        });
        let gone = self.0.keys().filter(|thing| !new.0.contains_key(*thing));
        changes.chain(gone.cloned().map(Change::Removed)).collect()
    }
}

fn entries<'n>(node: &'n Node<'_>) -> impl Iterator<Item = (&'n str, &'n Node<'n>)> {
    let entries = match &node.body {
        Body::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(key, value)| (&*key.text, value))
}

/// Equal for what is written alike, and hardly ever for anything else.
fn digest(node: &Node<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    std::mem::discriminant(&node.body).hash(&mut hasher);
    match &node.body {
        Body::Text { text, .. } => text.hash(&mut hasher),
        Body::List(items) => {
            hasher.write_usize(items.len());
            items.iter().for_each(|item| hasher.write_u64(digest(item)));
        }
        Body::Map(_) => {
            // A sum, so that the order makes no difference; no key is there twice.
            let all = entries(node).map(|(key, value)| {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                hasher.write_u64(digest(value));
                hasher.finish()
            });
            hasher.write_u64(all.fold(0, u64::wrapping_add));
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Faults;
    use crate::model::tree::parse;

    fn difference(old: &str, new: &str) -> Vec<Change> {
        let [old, new] =
            [old, new].map(|text| Outline::of(&parse(text, &mut Faults::default()).unwrap()));
        old.difference(&new)
    }

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

    #[test]
    fn what_is_said_of_a_thing_is_told_from_what_looks_like_it() {
        let texts = [
            "{x: {a: [b, c]}}",
            "{x: {a: [c, b]}}",
            "{x: {a: [bc]}}",
            "{x: {a: [[b, c]]}}",
            "{x: {a: 'b, c'}}",
            "{x: {a: {b: c}}}",
            "{x: {a: {c: b}}}",
            "{x: {a: {b: c, c: b}}}",
            "{x: {a: []}}",
            "{x: {a: {}}}",
            "{x: {a: ''}}",
            "{x: {}}",
            "{x: {a: {b: {}, c: ''}}}",
            "{x: {a: {b: '', c: {}}}}",
        ];
        for (at, one) in texts.iter().enumerate() {
            for (other_at, other) in texts.iter().enumerate() {
                let told = difference(&format!("s: {one}"), &format!("s: {other}"));
                let expected =
                    if at == other_at { vec![] } else { vec![Change::Changed("s x".into())] };
                assert_eq!(told, expected, "{one} and {other}");
            }
        }
    }
}
