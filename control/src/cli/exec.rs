//! `hypertun exec`: a command in a running instance.

use std::ffi::OsString;

use clap::Args;

use crate::cli::{Failure, OfInstance, Outcome};
use crate::runtime::process;

/// Run a command (default: a shell) in the network namespace of an interface or internet host
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hypertun exec app -- curl -s http://203.0.113.80/
  hypertun exec partner.example -- python3 -m http.server 80")]
pub struct Exec {
    #[command(flatten)]
    instance: OfInstance,
    /// A network interface, or an internet host that serves nothing by itself.
    #[arg(value_name = "NAME")]
    member: String,
    /// The command and its arguments.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Exec {
    /// Becomes the command.
    ///
    /// # Errors
    ///
    /// When it was not started: status 125, 126 or 127 as a shell has it.
    pub fn run(self) -> Outcome {
        let (namespace, member) = self.instance.join(&self.member).map_err(|it| it.status(125))?;
        let resolv_conf = self.instance.paths().resolv_conf(&member);
        let place = process::Place { namespace: &namespace, resolv_conf: &resolv_conf };
        let command = if self.command.is_empty() { vec![shell()] } else { self.command };
        let error = process::exec(place, &command);
        Err(Failure::with_status(error.status(), &error))
    }
}

/// Who of `members`, which have namespaces, is meant by `name`: a workload's own stands for its first instance.
///
/// # Errors
///
/// The sentence for a name that has no namespace.
pub fn member<'m>(name: &str, members: &'m [String]) -> Result<&'m str, String> {
    let first = format!("{name}/0");
    let found = members.iter().find(|it| *it == name || **it == first);
    found.map(String::as_str).ok_or_else(|| {
        format!("`{name}` has no network namespace; these have: {}", members.join(", "))
    })
}

fn shell() -> OsString {
    std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())
}
