//! `hypertun completions`: can the shell finish a command line?

use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::{Outcome, say};

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun completions bash > /etc/bash_completion.d/hypertun")]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the completions of `hypertun`, the whole command.
    ///
    /// # Errors
    ///
    /// When standard output takes no more.
    pub fn run(self, mut hypertun: Command) -> Outcome {
        let mut script = Vec::new();
        let name = hypertun.get_name().to_owned();
        clap_complete::generate(self.shell, &mut hypertun, name, &mut script);
        say::text(format_args!("{}", String::from_utf8_lossy(&script)))?;
        Ok(0)
    }
}
