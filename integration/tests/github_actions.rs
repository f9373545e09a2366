//! `examples/github-actions`: a workflow for a project of somebody else's. What its steps run is run here, by the shell that
//! GitHub runs them by; the runner, and what others have made of actions, is not here.

use integration::{Docker, Host, STATE, example, hypertun, output};
use serde_json::Value;

const TO_JSON: &str = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";

/// What a runner has besides: `sudo` without a password, and what was installed.
const PROGRAMS: &str =
    "mkdir /run/bin; printf '#!/bin/sh\\nexec \"$@\"\\n' > /run/bin/sudo; chmod +x /run/bin/sudo
    ln -s \"$1\" /run/bin/hypertun";

#[test]
fn the_steps_of_the_workflow_do_what_they_say() {
    let host = Host::start();
    let _ = host.says("sh", &["-euc", PROGRAMS, "sh", hypertun().to_str().expect("a text")]);
    let docker = Docker::start(&host);
    let folder = example("github-actions");
    let workflow =
        format!("cd '{}'; /usr/bin/python3 -c '{TO_JSON}' < network.yaml", folder.display());
    let workflow = host.says("sh", &["-euc", &workflow]);
    let workflow: Value = serde_json::from_str(&workflow).expect("python3 writes JSON");
    let job = &workflow["jobs"]["network"];
    assert_eq!(job["runs-on"], "ubuntu-24.04");
    let steps = job["steps"].as_array().expect("a list of steps");
    let mut others = 0;
    for step in steps {
        if let Some(action) = step["uses"].as_str() {
            assert!(action.starts_with("actions/") && action.contains("@v"), "{action}");
            continue;
        }
        let name = step["name"].as_str().expect("a step that runs something has a name");
        let run = step["run"].as_str().expect("it uses something, or runs something");
        if name == "Install hypertun" {
            others += 1;
            continue;
        }
        let mut shell = docker.command("bash");
        shell.args(["--noprofile", "--norc", "-eo", "pipefail", "-c"]);
        shell.arg(format!("cd '{}'\n{run}", folder.display()));
        shell.env("PATH", "/run/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("STATE_DIRECTORY", STATE);
        let said = output(&mut shell);
        println!("{name}: {said:?}");
        assert_eq!(said.status, 0, "{name}");
    }
    assert_eq!(others, 1, "one step builds hypertun, which has been built");
    assert_eq!(host.says("ls", &["/run/docker/plugins"]), "", "hypertun is gone");
}
