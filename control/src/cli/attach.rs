//! `hypertun attach`: an interface for something that runs already.

use std::path::PathBuf;

use clap::Args;

use crate::api;
use crate::attach::{Attached, Target, engine};
use crate::cli::say::say;
use crate::cli::{Failure, OfInstance, Outcome};

/// Give a network interface to something that runs already: a container, a process, a namespace
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  docker run --detach --network none --name web nginx && hypertun attach app --container web
  hypertun attach app --pid 4711
  hypertun attach app --netns /run/netns/blue

It becomes eth0 there, or the next name that is free, with its addresses and the default route, until
`hypertun detach` or the end of whoever has it. Nothing else changes there.")]
pub struct Attach {
    #[command(flatten)]
    instance: OfInstance,
    /// A network interface.
    #[arg(value_name = "NAME")]
    interface: String,
    #[command(flatten)]
    to: To,
    /// Take away the default routes of other links there, until it is detached.
    #[arg(long)]
    replace_default: bool,
}

/// To whom.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct To {
    /// A network namespace, such as /run/netns/blue.
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
    /// A process, in whose network namespace it is to be.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// A container of Docker, Podman or containerd, by its name or id.
    #[arg(long, value_name = "ID", value_parser = container)]
    container: Option<String>,
}

impl Attach {
    /// Finds the process, if need be, and has the instance attach the interface.
    ///
    /// # Errors
    ///
    /// When there is no such interface, or nobody to have it.
    pub fn run(self) -> Outcome {
        let to = self.to.target()?;
        let request =
            api::Attach { name: self.interface, to, replace_default: self.replace_default };
        let answer = self.instance.client().post("/v1/attach", &request)?;
        let Attached { to, interface } = serde_json::from_slice(&answer)?;
        say!("{} attached to {to} as {interface}", request.name);
        Ok(0)
    }
}

impl To {
    fn target(self) -> Result<Target, Failure> {
        match (self.netns, self.pid, self.container) {
            (Some(path), ..) => Ok(Target::Netns(std::path::absolute(path)?)),
            (_, Some(pid), _) => Ok(Target::Pid(pid)),
            (.., Some(id)) => Ok(Target::Container { pid: engine::process(&id)?, id }),
            (None, None, None) => {
                Err(Failure::with_status(2, &"to whom? --netns, --pid or --container"))
            }
        }
    }
}

/// Names and ids as engines have them: no option of their commands.
fn container(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("not the name or id of a container".to_owned())
    }
}
