//! How does a node of the tree become a record, with every fault told at once?
//!
//! A field that cannot be read is none, so that the rest of its record is still looked at: its fault is
//! already noted. What can be read also tells its schema: the two stand side by side.

use std::ops::Deref;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::schema::{self, Definitions};
use super::tree::{Body, Key, Node};
use crate::diagnostic::{Fault, Faults, Place};

/// What can be read from a node.
pub(super) trait Read: Sized {
    /// Reads it; none after noting a fault.
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self>;

    /// The JSON schema of what is read without a fault; it may allow more. Records go to the `definitions`.
    fn schema(definitions: &mut Definitions) -> Value;
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// Where.
    pub place: Place,
    /// What.
    pub value: T,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Read> Read for At<T> {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        Some(Self { place: node.place, value: T::read(node, faults)? })
    }

    fn schema(definitions: &mut Definitions) -> Value {
        T::schema(definitions)
    }
}

/// Things by name, in the order of the file; each with the place of its name.
#[derive(Clone, Debug)]
pub struct Entries<T>(IndexMap<String, At<T>>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<T> Deref for Entries<T> {
    type Target = IndexMap<String, At<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Entries<T> {
    /// Adds what the file does not say, but what follows from it; whether the name was free.
    pub(crate) fn add(&mut self, name: String, place: Place, value: T) -> bool {
        self.0.insert(name, At { place, value }).is_none()
    }
}

impl<T: Read + Default> Read for Entries<T> {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        if node.is_null() {
            return Some(Self::default());
        }
        let entries = mapping(node, faults)?;
        let read = |(key, node): &(Key<'_>, Node<'_>)| {
            let value = T::read(node, faults).unwrap_or_default();
            (key.text.clone().into_owned(), At { place: key.place, value })
        };
        Some(Self(entries.iter().map(read).collect()))
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({"type": ["object", "null"], "additionalProperties": T::schema(definitions)})
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        let Body::List(items) = &node.body else {
            let advice =
                node.is_null().then_some("write [] for an empty one, or leave the key out");
            faults.push(mismatch(node, "a list", advice));
            return None;
        };
        Some(items.iter().filter_map(|item| T::read(item, faults)).collect())
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({"type": "array", "items": T::schema(definitions)})
    }
}

/// A value that is given, perhaps unreadable: where that differs from a value that is absent.
impl<T: Read> Read for Option<T> {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        Some(T::read(node, faults))
    }

    fn schema(definitions: &mut Definitions) -> Value {
        T::schema(definitions)
    }
}

impl Read for String {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        text(node, "text", faults).map(str::to_owned)
    }

    fn schema(_: &mut Definitions) -> Value {
        schema::text()
    }
}

impl Read for bool {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        match &node.body {
            Body::Text { text, plain: true } if matches!(&**text, "true" | "True" | "TRUE") => {
                Some(true)
            }
            Body::Text { text, plain: true } if matches!(&**text, "false" | "False" | "FALSE") => {
                Some(false)
            }
            _ => {
                faults.push(mismatch(node, "true or false", None));
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({"type": "boolean"})
    }
}

/// The entries of a mapping.
pub(super) fn mapping<'n, 's>(
    node: &'n Node<'s>,
    faults: &mut Faults,
) -> Option<&'n [(Key<'s>, Node<'s>)]> {
    if let Body::Map(entries) = &node.body {
        return Some(entries);
    }
    faults.push(mismatch(node, "a mapping", None));
    None
}

/// The letters of a scalar; `what` is expected, for the message.
pub(super) fn text<'n>(node: &'n Node<'_>, what: &str, faults: &mut Faults) -> Option<&'n str> {
    match &node.body {
        Body::Text { text, .. } if !node.is_null() => Some(text),
        _ => {
            faults.push(mismatch(node, what, None));
            None
        }
    }
}

/// The fault of finding something other than `what` was expected.
pub(super) fn mismatch(node: &Node<'_>, what: &str, advice: Option<&str>) -> Fault {
    let found = match &node.body {
        Body::Text { text, .. } if !node.is_null() => format!("`{}`", shortened(text)),
        _ => node.kind().to_owned(),
    };
    let fault = Fault::error(node.place, format!("expected {what}, found {found}"));
    Fault { help: advice.map(str::to_owned), ..fault }
}

/// At most 60 characters of `text`, for messages.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The one of `words` that `word` was meant to be, if it is at most two letters off.
pub(crate) fn closest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let near = words.take(1000).filter_map(|other| Some((edits(word, other)?, other)));
    near.min_by_key(|&(edits, _)| edits).map(|(_, other)| other)
}

/// How many letters to add, drop, replace or swap with the next; if at most two and less than half of the word.
fn edits(a: &str, b: &str) -> Option<usize> {
    if a.len().abs_diff(b.len()) > 2 || a.len() > 64 {
        return None;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = [vec![0; b.len() + 1], vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        rows.rotate_left(1);
        rows[2][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = least;
        }
    }
    let edits = rows[2][b.len()];
    (edits <= 2 && edits * 2 < b.len().max(2)).then_some(edits)
}

/// Notes that `record` has no key `key`; with the keys that it has.
pub(super) fn unknown_key(key: &Key<'_>, record: &str, keys: &[&str], faults: &mut Faults) {
    let known = format!("{record} may have {}", keys.join(", "));
    let help = match closest(&key.text, keys.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {known}"),
        None => known,
    };
    let message = format!("unknown key `{}` in {record}", shortened(&key.text));
    faults.push(Fault::error(key.place, message).help(help));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        let words = ["cidr_block", "vpc", "a"];
        assert_eq!(closest("cidr_blok", words.into_iter()), Some("cidr_block"));
        assert_eq!(closest("vcp", words.into_iter()), Some("vpc"));
        assert_eq!(closest("vxx", words.into_iter()), None);
        assert_eq!(closest("vp", words.into_iter()), Some("vpc"));
        assert_eq!(closest("b", words.into_iter()), None);
        assert_eq!(closest("availability", words.into_iter()), None);
    }
}
