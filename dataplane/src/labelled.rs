//! What users see by a word, and can be told about: one list makes the kinds, their words, and what they are.

/// Makes an enum of a list: of each variant the word that users see, which is fixed, and one line that says what it is,
/// which is its documentation too.
///
/// ```
/// dataplane::labelled! {
///     /// Where a packet goes.
///     pub enum Way {
///         Out = "out": "from the VPC to the internet",
///         In = "in": "from the internet into the VPC",
///     }
/// }
/// assert_eq!(Way::ALL.iter().map(|way| way.label()).collect::<Vec<_>>(), ["out", "in"]);
/// assert_eq!(Way::In.text(), "from the internet into the VPC");
/// ```
#[macro_export]
macro_rules! labelled {
    (
        $(#[$attribute:meta])*
        pub enum $Enum:ident { $($name:ident = $label:literal: $text:literal,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Enum {
            $(#[doc = $text] $name,)+
        }

        impl $Enum {
            /// Every one, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word that users see: fixed.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// What it is, in one line.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}
