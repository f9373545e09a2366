//! What a command says, on standard output and beside it. Whoever stops reading, as `head` does,
//! ends the command in silence, and what it made is taken down as ever.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};

use crate::cli::Failure;

/// The status of what SIGPIPE ends, as a shell has it.
const UNHEARD: u8 = 141;

/// Says a line on standard output, as `println!` does; a failure returns from the function.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::cli::say::text(format_args!("{}\n", format_args!($($words)*)))?
    };
}
pub(crate) use say;

/// Says `words` on standard output.
///
/// # Errors
///
/// A silent one, of status 141, when nobody reads; one that is told when they cannot be written.
pub fn text(words: Arguments<'_>) -> Result<(), Failure> {
    stdout().lock().write_fmt(words).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::with_status(UNHEARD, &""),
        _ => Failure::with_status(1, &format!("cannot write to standard output: {error}")),
    })
}

/// Says `words` on standard error, if somebody listens.
pub fn aside(words: Arguments<'_>) {
    let _ = stderr().lock().write_fmt(words);
}
