//! In which process does a container run? Only its engine knows, and is asked by its own command, which
//! finds its daemon as the user has set it up.

use std::io;
use std::process::{Command, Stdio};

/// Why the process of a container is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No engine is there, or none answers.
    #[error("no container engine answers: {0}")]
    NoAnswer(String),
    /// Those who answer do not know it.
    #[error("{asked} has no container `{container}`{others}")]
    Unknown {
        /// What was asked for.
        container: String,
        /// Who answered.
        asked: String,
        /// Who did not, and why.
        others: String,
    },
    /// It is there, and nothing runs in it.
    #[error("container {container} is not running, says {engine}")]
    NotRunning {
        /// Which.
        container: String,
        /// Who says so.
        engine: &'static str,
    },
}

/// What an engine says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Process(i32),
    NotRunning,
    Unknown,
    /// Its command is not there, or could not ask.
    Silent(String),
}

/// An engine's command.
struct Engine {
    name: &'static str,
    question: &'static [&'static str],
    /// Whether the question is about one container, or about all.
    about_one: bool,
}

const INSPECT: &[&str] = &["container", "inspect", "--format", "{{.State.Pid}}"];

/// In the order in which they are asked; `ctr` is containerd's own, and like `nerdctl` has the namespace
/// that CONTAINERD_NAMESPACE names.
const ENGINES: [Engine; 4] = [
    Engine { name: "docker", question: INSPECT, about_one: true },
    Engine { name: "podman", question: INSPECT, about_one: true },
    Engine { name: "nerdctl", question: INSPECT, about_one: true },
    Engine { name: "ctr", question: &["tasks", "list"], about_one: false },
];

/// The first process of `container`, which is a name or an id, by the first engine that knows it.
///
/// # Errors
///
/// When none does, or it does not run.
pub fn process(container: &str) -> Result<i32, Error> {
    decide(container, ENGINES.iter().map(|engine| (engine.name, ask(engine, container))))
}

fn decide(
    container: &str,
    answers: impl Iterator<Item = (&'static str, Answer)>,
) -> Result<i32, Error> {
    let (mut asked, mut others) = (Vec::new(), Vec::new());
    let container = container.to_owned();
    for (engine, answer) in answers {
        match answer {
            Answer::Process(pid) => return Ok(pid),
            Answer::NotRunning => return Err(Error::NotRunning { container, engine }),
            Answer::Unknown => asked.push(engine),
            Answer::Silent(why) => others.push(format!("{engine}: {why}")),
        }
    }
    if asked.is_empty() {
        return Err(Error::NoAnswer(others.join("; ")));
    }
    others.retain(|it| !it.ends_with(ABSENT));
    let others = others.into_iter().map(|it| format!("; {it}")).collect();
    Err(Error::Unknown { container, asked: asked.join(" or "), others })
}

const ABSENT: &str = "not installed";

fn ask(engine: &Engine, container: &str) -> Answer {
    let mut command = Command::new(engine.name);
    command.args(engine.question).stdin(Stdio::null());
    if engine.about_one {
        command.arg(container);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Answer::Silent(ABSENT.to_owned());
        }
        Err(error) => return Answer::Silent(error.to_string()),
    };
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    let (said, complaint) = (text(&output.stdout), text(&output.stderr));
    match (output.status.success(), engine.about_one) {
        (true, true) => inspected(&said),
        (true, false) => listed(&said, container),
        (false, _) => complained(&complaint),
    }
}

/// The answer to [`INSPECT`]: a process id, 0 of a container that does not run.
fn inspected(said: &str) -> Answer {
    match said.parse() {
        Ok(pid) if pid > 0 => Answer::Process(pid),
        Ok(_) => Answer::NotRunning,
        Err(_) => Answer::Silent(format!("says {said:?} instead of a process id")),
    }
}

/// A table under `TASK PID STATUS`, in which ids are whole.
fn listed(said: &str, container: &str) -> Answer {
    const SHORT: usize = 12; // Letters of an id where an engine shows it in short.
    let is_it = |id: &str| id == container || container.len() >= SHORT && id.starts_with(container);
    let rows = said.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    for row in rows {
        if let [id, pid, status] = row[..]
            && is_it(id)
        {
            return if status == "STOPPED" { Answer::NotRunning } else { inspected(pid) };
        }
    }
    Answer::Unknown
}

fn complained(complaint: &str) -> Answer {
    if complaint.to_lowercase().contains("no such") {
        Answer::Unknown
    } else {
        Answer::Silent(complaint.lines().next_back().unwrap_or("says nothing").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_answers_are_read() {
        assert_eq!(inspected("4711"), Answer::Process(4711));
        assert_eq!(inspected("0"), Answer::NotRunning);
        assert!(matches!(inspected("<no value>"), Answer::Silent(_)));
        let id = "3f4e1c5b9a7d3f4e1c5b9a7d3f4e1c5b9a7d3f4e1c5b9a7d3f4e1c5b9a7d0000";
        let table =
            format!("TASK    PID    STATUS    \n{id}    99    RUNNING\nweb    7    STOPPED\n");
        assert_eq!(listed(&table, id), Answer::Process(99));
        assert_eq!(listed(&table, &id[..12]), Answer::Process(99));
        assert_eq!(listed(&table, "3f4"), Answer::Unknown);
        assert_eq!(listed(&table, "web"), Answer::NotRunning);
        assert_eq!(complained("Error: No such container: web"), Answer::Unknown);
        assert_eq!(complained("Error: inspecting object: no such container web"), Answer::Unknown);
        let down =
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?";
        assert_eq!(complained(down), Answer::Silent(down.to_owned()));
    }

    #[test]
    fn the_first_that_knows_it_decides() {
        let decided = |answers: &[(&'static str, Answer)]| {
            decide("web", answers.iter().cloned()).map_err(|error| error.to_string())
        };
        let absent = |engine| (engine, Answer::Silent(ABSENT.to_owned()));
        let knows = ("podman", Answer::Process(5));
        assert_eq!(decided(&[("docker", Answer::Unknown), knows]), Ok(5));
        assert_eq!(
            decided(&[absent("docker"), ("podman", Answer::NotRunning)]),
            Err("container web is not running, says podman".to_owned())
        );
        let denied = ("docker", Answer::Silent("permission denied".to_owned()));
        assert_eq!(
            decided(&[denied.clone(), absent("podman")]),
            Err("no container engine answers: docker: permission denied; podman: not installed"
                .to_owned())
        );
        assert_eq!(
            decided(&[denied, ("podman", Answer::Unknown), absent("ctr")]),
            Err("podman has no container `web`; docker: permission denied".to_owned())
        );
    }
}
