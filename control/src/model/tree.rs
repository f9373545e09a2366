//! What does the text say, before anything is known of topologies?
//!
//! YAML 1.2.2 (JSON is a subset) as a tree of lists, mappings and *texts*: a scalar keeps the letters that
//! the file has, because a name may be `n` or `on` or `123`. Every node knows its place. Built from parser
//! events rather than through serde, which stops at the first fault and loses places where it buffers.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag};

use crate::diagnostic::{Fault, Faults, Place};

/// Deeper than any topology, shallow enough for recursion.
const DEEPEST: usize = 64;

/// How many nodes aliases may repeat, in all: enough for any file that a person wrote.
const MOST_REPEATED: usize = 1_000_000;

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node<'s> {
    /// A text's own place; that of the key for a list or mapping that has one.
    pub(super) place: Place,
    pub(super) body: Body<'s>,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Body<'s> {
    /// A scalar, quotes and escapes resolved; `plain` iff it was written without quotes.
    Text { text: Cow<'s, str>, plain: bool },
    /// A sequence.
    List(Vec<Node<'s>>),
    /// A mapping in the order of the file, no key twice.
    Map(Vec<(Key<'s>, Node<'s>)>),
}

/// A mapping's key.
#[derive(Clone, Debug)]
pub(super) struct Key<'s> {
    pub(super) place: Place,
    pub(super) text: Cow<'s, str>,
}

impl Node<'_> {
    /// Whether the file gives no value (`key:`, `~` or `null`).
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.body, Body::Text { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.body {
            _ if self.is_null() => "nothing",
            Body::Text { .. } => "text",
            Body::List(_) => "a list",
            Body::Map(_) => "a mapping",
        }
    }

    fn size(&self) -> usize {
        1 + match &self.body {
            Body::Text { .. } => 0,
            Body::List(items) => items.iter().map(Node::size).sum(),
            Body::Map(entries) => entries.iter().map(|(_, value)| value.size()).sum(),
        }
    }
}

/// Parses `text`: one document. None if there is none or its syntax is wrong, which is then among the `faults`.
pub(super) fn parse<'s>(text: &'s str, faults: &mut Faults) -> Option<Node<'s>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_nesting_limit = DEEPEST;
    options.flow_nesting_limit = DEEPEST;
    let mut builder =
        Builder { faults, open: Vec::new(), anchors: HashMap::new(), root: None, repeated: 0 };
    for next in Parser::new_from_str_with_options(text, options) {
        let stop = match next {
            Ok((event, span)) => builder.take(event, place(span)).err(),
            Err(error) => {
                let at = offset(error.marker().byte_offset()).min(offset(Some(text.len())));
                Some(Fault::error(Place { start: at, end: at }, format!("YAML: {}", error.info())))
            }
        };
        if let Some(fault) = stop {
            faults.push(fault);
            return None;
        }
    }
    let root = builder.root;
    if root.as_ref().is_none_or(Node::is_null) {
        let help = "declare at least a VPC: vpcs: {main: {cidr_block: 10.0.0.0/16}}";
        faults.push(Fault::error(Place::default(), "the file declares nothing").help(help));
        return None;
    }
    root
}

fn place(span: Span) -> Place {
    let start = offset(span.start.byte_offset());
    Place { start, end: offset(span.end.byte_offset()).max(start) }
}

fn offset(bytes: Option<usize>) -> u32 {
    u32::try_from(bytes.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// The tree as far as the events have come.
struct Builder<'s, 'f> {
    faults: &'f mut Faults,
    open: Vec<Open<'s>>,
    anchors: HashMap<usize, Node<'s>>,
    root: Option<Node<'s>>,
    repeated: usize,
}

/// A list or mapping whose end has not come.
struct Open<'s> {
    place: Place,
    flow: bool,
    anchor: usize,
    body: Body<'s>,
    key: Option<Key<'s>>,
}

impl<'s> Builder<'s, '_> {
    /// Takes in one event; an error ends the parse.
    fn take(&mut self, event: Event<'s>, place: Place) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                let plain = style == ScalarStyle::Plain && tag.is_none();
                self.finish(Node { place, body: Body::Text { text, plain } }, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.begin(Body::List(Vec::new()), style, anchor, tag.as_deref(), place)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.begin(Body::Map(Vec::new()), style, anchor, tag.as_deref(), place)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { place: start, flow, anchor, mut body, .. }) = self.open.pop()
                else {
                    return Ok(());
                };
                if let Body::Map(entries) = &mut body {
                    refuse_duplicates(entries, self.faults);
                }
                let end = if flow { place.end.max(start.end) } else { start.end };
                self.finish(Node { place: Place { end, ..start }, body }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Fault::error(place, "an alias stands inside what it repeats"));
                };
                self.repeat(&node, place)?;
                self.finish(node, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Fault::error(place, "a second document: a topology file is one YAML document"))
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        body: Body<'s>,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<(), Fault> {
        if self.open.len() >= DEEPEST {
            return Err(Fault::error(place, format!("nested deeper than {DEEPEST} levels")));
        }
        self.refuse_tag(tag, place);
        self.open.push(Open {
            place,
            flow: style == StructureStyle::Flow,
            anchor,
            body,
            key: None,
        });
        Ok(())
    }

    /// Puts a whole node where it belongs: a list's next item, a mapping's next key or value, or the root.
    fn finish(&mut self, mut node: Node<'s>, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.repeat(&node, node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.body {
            Body::List(items) => items.push(node),
            Body::Map(entries) => match open.key.take() {
                Some(key) => {
                    if !matches!(node.body, Body::Text { .. }) || node.is_null() {
                        node.place = key.place;
                    }
                    entries.push((key, node));
                }
                None => {
                    let Node { place, body } = node;
                    let Body::Text { text, .. } = body else {
                        return Err(Fault::error(place, "a key must be text"));
                    };
                    open.key = Some(Key { place, text });
                }
            },
            Body::Text { .. } => {}
        }
        Ok(())
    }

    /// Counts the copies of nodes, so that aliases of aliases cannot fill the memory.
    fn repeat(&mut self, node: &Node<'s>, place: Place) -> Result<(), Fault> {
        self.repeated += node.size();
        if self.repeated > MOST_REPEATED {
            return Err(Fault::error(
                place,
                format!("aliases repeat more than {MOST_REPEATED} nodes"),
            ));
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: Place) {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            let help = "write the value itself; hypertun reads no other files into a topology";
            self.faults.push(Fault::error(place, "tags have no meaning here").help(help));
        }
    }
}

/// Keeps the first of entries with the same key; the others are faults.
fn refuse_duplicates(entries: &mut Vec<(Key<'_>, Node<'_>)>, faults: &mut Faults) {
    let mut first = HashMap::with_capacity(if entries.len() > 8 { entries.len() } else { 0 });
    let mut kept = 0;
    for index in 0..entries.len() {
        let key = &entries[index].0;
        let earlier = if entries.len() > 8 {
            first.insert(key.text.clone(), key.place).inspect(|&place| {
                first.insert(key.text.clone(), place);
            })
        } else {
            entries[..kept]
                .iter()
                .find(|(other, _)| other.text == key.text)
                .map(|(other, _)| other.place)
        };
        if let Some(place) = earlier {
            let message = format!("`{}` stands here twice", key.text);
            let help = "keep one of the two, or give one another name";
            faults.push(Fault::error(key.place, message).label(place, "first here").help(help));
        } else {
            entries.swap(kept, index);
            kept += 1;
        }
    }
    entries.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> String {
        let mut faults = Faults::default();
        parse(text, &mut faults);
        faults.report("t.yaml", text).to_string()
    }

    #[test]
    fn text_stays_as_written() {
        let text = "{n: yes, on: 0x10, '123': \"a\\tb\", e: 1e3}";
        let mut faults = Faults::default();
        let Some(Node { body: Body::Map(entries), .. }) = parse(text, &mut faults) else {
            panic!()
        };
        let texts: Vec<_> = entries
            .iter()
            .map(|(key, node)| match &node.body {
                Body::Text { text, .. } => (&*key.text, &**text),
                _ => panic!("{node:?}"),
            })
            .collect();
        assert_eq!(texts, [("n", "yes"), ("on", "0x10"), ("123", "a\tb"), ("e", "1e3")]);
    }

    #[test]
    fn every_duplicate_key_is_told_in_small_and_large_mappings() {
        for filler in [0, 20] {
            let mut text = String::from("a: 1\nb: 2\na: 3\na: 4\n");
            (0..filler).for_each(|i| text.push_str(&format!("k{i}: 0\n")));
            let mut faults = Faults::default();
            let Some(Node { body: Body::Map(entries), .. }) = parse(&text, &mut faults) else {
                panic!()
            };
            assert_eq!(entries.len(), 2 + filler);
            let report = faults.report("t.yaml", &text);
            let places: Vec<_> =
                report.faults().iter().map(|fault| report.position(fault.place)).collect();
            assert_eq!(places, [(3, 1), (4, 1)]);
        }
    }

    #[test]
    fn bombs_are_refused() {
        assert!(faults_of(&"[".repeat(100_000)).contains("t.yaml:1:"));
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let item = format!("*a{}", level - 1);
            laughs.push_str(&format!("a{level}: &a{level} [{}]\n", [&*item; 9].join(",")));
        }
        assert!(faults_of(&laughs).contains("aliases repeat more than"));
        assert!(faults_of("a: &a [*a]").contains("inside what it repeats"));
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        for (text, what) in [
            ("", "declares nothing"),
            ("# only this\n", "declares nothing"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: [1, 2\n", "YAML:"),
            ("a: !include other.yaml\n", "tags have no meaning"),
            ("? [a]\n: b\n", "a key must be text"),
            ("a: *nowhere\n", "YAML:"),
        ] {
            let faults = faults_of(text);
            assert!(faults.contains(what), "{text:?}: {faults}");
        }
    }
}
