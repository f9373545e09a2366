//! What does a program that knows JSON Schema, such as an editor, need to know of topology files?
//!
//! JSON Schema 2020-12, made from the declarations that read a file. It judges a YAML file as programs see it, with
//! scalars of the core schema (YAML 1.2.2 s. 10.3), and allows whatever is read without a fault; not all that it
//! allows is right, because names and addresses must also agree with each other.

use serde_json::{Map, Value, json};

use super::Topology;
use super::read::Read;

/// The JSON schema of topology files.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Definitions::default();
    let root = Topology::schema(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A topology of hypertun",
        "$ref": root["$ref"],
        "$defs": definitions.0,
    })
}

/// The schemas of records, by their names.
#[derive(Debug, Default)]
pub(super) struct Definitions(Map<String, Value>);

/// A key of a record.
pub(super) struct Property {
    pub(super) key: &'static str,
    pub(super) about: &'static str,
    pub(super) required: bool,
    pub(super) schema: Value,
}

impl Definitions {
    /// Defines a record, unless it is already, and refers to it.
    pub(super) fn record(
        &mut self,
        name: &str,
        about: &str,
        properties: impl FnOnce(&mut Self) -> Vec<Property>,
    ) -> Value {
        if !self.0.contains_key(name) {
            let properties = properties(self);
            let required: Vec<_> =
                properties.iter().filter(|it| it.required).map(|it| it.key).collect();
            let properties: Map<_, _> = properties
                .into_iter()
                .map(|it| (it.key.to_owned(), described(it.schema, it.about)))
                .collect();
            let record = json!({
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            });
            self.0.insert(name.to_owned(), described(record, about));
        }
        json!({"$ref": format!("#/$defs/{name}")})
    }
}

/// Any scalar but null: `123`, `true` and `1e3` may be names, whatever another program takes them for.
pub(super) fn text() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

/// A number from 0, or a string that the regular expression matches whole.
pub(super) fn number(greatest: u64, pattern: &str) -> Value {
    json!({
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": greatest,
        "pattern": format!("^({pattern})$"),
    })
}

/// A string that one of the regular expressions matches whole.
pub(super) fn matching(patterns: &[&str]) -> Value {
    json!({"type": "string", "pattern": format!("^({})$", patterns.join("|"))})
}

/// One of these words, each with what it means.
pub(super) fn words(words: &[(&str, &str)]) -> Value {
    let words: Vec<_> =
        words.iter().map(|&(word, about)| described(json!({"const": word}), about)).collect();
    json!({"oneOf": words})
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.trim().into();
    schema
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jsonschema::Validator;

    use super::*;
    use crate::diagnostic::Faults;
    use crate::model::tree::{self, Body, Node};

    fn validator() -> Validator {
        jsonschema::draft202012::new(&schema()).expect("the schema is one itself")
    }

    /// A topology file as programs see it; none if it is not one document.
    fn instance(text: &str) -> Option<Value> {
        tree::parse(text, &mut Faults::default()).as_ref().map(value)
    }

    fn value(node: &Node<'_>) -> Value {
        match &node.body {
            _ if node.is_null() => Value::Null,
            Body::Text { text, plain: true } => scalar(text),
            Body::Text { text, .. } => Value::from(&**text),
            Body::List(items) => items.iter().map(value).collect(),
            Body::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone().into_owned(), value(node)))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// A plain scalar by the core schema: YAML 1.2.2 s. 10.3.2.
    fn scalar(text: &str) -> Value {
        let number = text.starts_with(|first: char| "+-.0123456789".contains(first))
            && text.ends_with(|last: char| last == '.' || last.is_ascii_digit());
        match text {
            "true" | "True" | "TRUE" => true.into(),
            "false" | "False" | "FALSE" => false.into(),
            _ => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => whole.into(),
                (_, Ok(float)) if number => float.into(),
                _ => text.into(),
            },
        }
    }

    /// Whether the model reads `text` without an error.
    fn reads(text: &str) -> bool {
        let mut faults = Faults::default();
        let read = crate::model::read(text, &mut faults).is_some();
        read && faults.report("t.yaml", text).errors() == 0
    }

    /// Names and texts of the topologies in a folder.
    fn topologies(folder: &str) -> Vec<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies").join(folder);
        let entries = fs::read_dir(folder).expect("the folder is part of the repository");
        let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
        let mut files: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
            .map(|path| {
                let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn right_topologies_are_allowed() {
        let validator = validator();
        let files = topologies("");
        assert!(files.len() >= 6);
        for (name, text) in files {
            let file = instance(&text).unwrap();
            let faults: Vec<_> = validator.iter_errors(&file).map(|it| it.to_string()).collect();
            assert!(faults.is_empty(), "{name}: {faults:?}");
        }
    }

    #[test]
    fn wrong_shapes_are_refused_and_what_names_and_addresses_contradict_is_not() {
        let validator = validator();
        let mut refused = Vec::new();
        for (name, text) in topologies("refused") {
            let Some(file) = instance(&text) else { continue };
            if validator.is_valid(&file) {
                continue;
            }
            assert!(!reads(&text), "{name} is read without a fault");
            refused.push(name);
        }
        let expected = [
            "bad-cidrs",
            "impossible-rules",
            "ipv6-addresses",
            "ipv6-ranges",
            "missing-keys",
            "names-of-hosts",
            "nat-gateway-addresses",
            "nat64-profile",
            "not-yet",
            "prefix-lists",
            "profile",
            "several-at-once",
            "unknown-keys",
            "unknown-services",
            "vpc-endpoints",
            "workloads",
            "wrong-types",
        ];
        assert_eq!(refused, expected);
    }

    #[test]
    fn values_are_judged_as_they_are_read() {
        let validator = validator();
        let rule = |rest: &str| {
            format!("security_groups: {{g: {{vpc: v, ingress: [{{protocol: tcp, {rest}}}]}}}}")
        };
        let port = |port: &str| rule(&format!("source: 0.0.0.0/0, ports: {port}"));
        let kind = |kind: &str| rule(&format!("source: g, type: {kind}"));
        let vpc = |rest: &str| format!("vpcs: {{v: {{cidr_block: {rest}}}}}");
        let binding = |inside: &str, outside: &str| {
            let ends = format!("inside: {inside}, outside: {outside}");
            format!("profile: {{nat64: {{pool: none, static: [{{protocol: udp, {ends}}}]}}}}")
        };
        let eni = |rest: &str| format!("network_interfaces: {{e: {{subnet: s, {rest}}}}}");
        for (text, right) in [
            (port("443"), true),
            (port("'443'"), true),
            (port("0-65535"), true),
            (port("65536"), false),
            (port("-1"), false),
            (port("1-"), false),
            (port("http"), false),
            (port("~"), false),
            (kind("255"), true),
            (kind("256"), false),
            (kind("[8]"), false),
            (rule("source: 7"), true),
            (rule("source: ~"), false),
            (rule("ports: 1"), false),
            (vpc("10.0.0.0/16"), true),
            (vpc("10.0.0.0/0"), true),
            (vpc("10.0.0.0/33"), false),
            (vpc("256.0.0.0/8"), false),
            (vpc("10.0.0.0"), false),
            (vpc("10.0.0.0/16, enable_dns_support: true"), true),
            (vpc("10.0.0.0/16, enable_dns_support: 'true'"), false),
            (vpc("10.0.0.0/16, ipv6_cidr_block: '::/0'"), true),
            (vpc("10.0.0.0/16, ipv6_cidr_block: 2600:1f18:1234:5600::/56"), true),
            (vpc("10.0.0.0/16, ipv6_cidr_block: 10.0.0.0/16"), false),
            (vpc("10.0.0.0/16, ipv6_cidr_block: 2600::/129"), false),
            (vpc("2600:1f18:1234:5600::/56"), false),
            (rule("source: '::/0', ports: 1"), true),
            (vpc("10.0.0.0/16, place: 1"), false),
            (eni("public_ip: auto"), true),
            (eni("public_ip: 203.0.113.9"), true),
            (eni("public_ip: elastic"), false),
            (eni("private_ip: 10.0.0.01"), false),
            (eni("ipv6_addresses: []"), true),
            (eni("ipv6_addresses: ['::1', 2600:1f18:1234:5601::10, 64:ff9b::192.0.2.33]"), true),
            (eni("ipv6_addresses: [10.0.0.4]"), false),
            (eni("private_ip: '::1'"), false),
            (eni("security_groups: [1, n, true]"), true),
            (eni("security_groups: g"), false),
            ("internet: {uplink: none, hosts: }".to_owned(), true),
            ("internet: {uplink: host}".to_owned(), false),
            ("profile: {nat64: {pool: none, prefix: 2001:db8::/40}}".to_owned(), true),
            ("profile: {nat64: {pool: any}}".to_owned(), false),
            (binding("'[2001:db8::5]:2000'", "192.0.2.2:2000"), true),
            (binding("2001:db8::5", "192.0.2.2:2000"), false),
            (binding("'[2001:db8::5]:2000'", "192.0.2.2"), false),
            ("vpcs: []".to_owned(), false),
            ("vpcs: {v: }".to_owned(), false),
        ] {
            assert_eq!(reads(&text), right, "reading {text}");
            let file = instance(&text).unwrap();
            assert_eq!(validator.is_valid(&file), right, "the schema of {text}");
        }
    }

    #[test]
    fn everything_is_described() {
        let schema = schema();
        let records = schema["$defs"].as_object().unwrap();
        assert!(records.len() >= 15, "{:?}", records.keys());
        for (name, record) in records {
            assert!(record["description"].as_str().is_some_and(|it| it.len() > 4), "{name}");
            for (key, property) in record["properties"].as_object().unwrap() {
                let about = property["description"].as_str();
                assert!(about.is_some_and(|it| it.len() > 4), "{name}.{key}: {about:?}");
            }
        }
    }
}
