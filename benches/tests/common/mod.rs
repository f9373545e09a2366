//! Programs that tests run.

use std::path::PathBuf;
use std::process::Command;

/// A program of this crate as users' packets meet it: in the release profile.
pub(crate) fn release(name: &str) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--package", "benches", "--bin", name]);
    output(build.arg("--message-format=json")).lines().find_map(executable).unwrap()
}

/// The executable that cargo says it has made, if it says so here.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}

/// What a program says that ends well.
pub(crate) fn output(command: &mut Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let hint = format!("{program}: run integration/install-test-tools");
    let output = command.output().expect(&hint);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
