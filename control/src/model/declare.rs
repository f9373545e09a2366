//! How is declared what may stand in a file?
//!
//! From a `record!` or `words!` follow the type, the code that reads it from a node, and its JSON schema.

/// Declares a record: what it is called in messages, its keys, and the keys that AWS has but hypertun not yet.
///
/// A `required` or `optional` key's field is an [`Option`]: none if the key is absent or could not be read. An
/// `entries` key's is an [`Entries`], empty if absent.
macro_rules! record {
    (
        $(#[doc = $doc:literal])* $name:ident = $what:literal {
            $($(#[doc = $about:literal])* $marker:ident $field:ident: $type:ty,)*
        }
        $(later $($later:literal)*)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $name {
            /// Where it stands: its key, or where it begins if it has none.
            pub place: $crate::diagnostic::Place,
            $($(#[doc = $about])* pub $field: record!(@field $marker $type),)*
        }

        impl $crate::model::read::Read for $name {
            fn read(
                node: &$crate::model::tree::Node<'_>,
                faults: &mut $crate::diagnostic::Faults,
            ) -> Option<Self> {
                let mut record = Self { place: node.place, ..Self::default() };
                let Some(entries) = $crate::model::read::mapping(node, faults) else {
                    return Some(record);
                };
                $(let mut $field = false;)*
                for (key, value) in entries {
                    match &*key.text {
                        $(text if text == record!(@key $field) => {
                            $field = true;
                            record!(@take $marker record.$field, value, faults);
                        })*
                        $($($later => faults.push(
                            $crate::diagnostic::Fault::unsupported(key.place, concat!("`", $later, "`"))
                                .help("leave it out for now"),
                        ),)*)?
                        _ => $crate::model::read::unknown_key(
                            key,
                            $what,
                            &[$(record!(@key $field)),*],
                            faults,
                        ),
                    }
                }
                $(record!(@missing $marker $field, $what, node, faults);)*
                Some(record)
            }

            fn schema(definitions: &mut $crate::model::schema::Definitions) -> serde_json::Value {
                definitions.record(stringify!($name), concat!($($doc),*), |definitions| vec![$(
                    $crate::model::schema::Property {
                        key: record!(@key $field),
                        about: concat!($($about),*),
                        required: record!(@required $marker),
                        schema: record!(@schema $marker $type, definitions),
                    },
                )*])
            }
        }
    };
    (@key $field:ident) => { stringify!($field).trim_start_matches("r#") };
    (@field entries $type:ty) => { $crate::model::read::Entries<$type> };
    (@field $marker:ident $type:ty) => { Option<$crate::model::read::At<$type>> };
    (@required required) => { true };
    (@required $marker:ident) => { false };
    (@schema entries $type:ty, $definitions:ident) => {
        <$crate::model::read::Entries<$type> as $crate::model::read::Read>::schema($definitions)
    };
    (@schema $marker:ident $type:ty, $definitions:ident) => {
        <$type as $crate::model::read::Read>::schema($definitions)
    };
    (@take entries $record:ident.$field:ident, $value:ident, $faults:ident) => {
        $record.$field = $crate::model::read::Read::read($value, $faults).unwrap_or_default()
    };
    (@take $marker:ident $record:ident.$field:ident, $value:ident, $faults:ident) => {
        $record.$field = $crate::model::read::Read::read($value, $faults)
    };
    (@missing required $field:ident, $what:literal, $node:ident, $faults:ident) => {
        if !$field {
            let message = format!("{} lacks `{}`", $what, record!(@key $field));
            let help = concat!("add it: ", $what, " cannot be without");
            $faults.push($crate::diagnostic::Fault::error($node.place, message).help(help));
        }
    };
    (@missing $marker:ident $field:ident, $what:literal, $node:ident, $faults:ident) => {
        let _ = $field;
    };
}

/// Declares a choice of words, and the words that AWS has but hypertun not yet.
macro_rules! words {
    (
        $(#[doc = $doc:literal])* $name:ident {
            $($(#[doc = $about:literal])* $word:literal => $variant:ident,)*
        }
        $(later $($later:literal)*)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $about])* $variant,)*
        }

        impl $crate::model::read::Read for $name {
            fn read(
                node: &$crate::model::tree::Node<'_>,
                faults: &mut $crate::diagnostic::Faults,
            ) -> Option<Self> {
                let expected = [$(concat!("`", $word, "`")),*].join(" or ");
                match $crate::model::read::text(node, &expected, faults)? {
                    $($word => return Some(Self::$variant),)*
                    $($($later => faults.push(
                        $crate::diagnostic::Fault::unsupported(node.place, concat!("`", $later, "`"))
                            .help(format!("write {expected} for now")),
                    ),)*)?
                    _ => faults.push($crate::model::read::mismatch(node, &expected, None)),
                }
                None
            }

            fn schema(_: &mut $crate::model::schema::Definitions) -> serde_json::Value {
                $crate::model::schema::words(&[$(($word, concat!($($about),*))),*])
            }
        }
    };
}

pub(super) use {record, words};
