//! A host for one test: a thread with network and mount namespaces of its own and an empty `/run`.

use std::fs;
use std::process::Command;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use super::namespace::separate;

/// Runs `test` on such a host. Processes that it starts are on it too; threads that it starts as
/// well.
pub(super) fn on_a_host<R: Send>(test: impl FnOnce() -> R + Send) -> R {
    let host = || {
        separate(UnshareFlags::NEWNET | UnshareFlags::NEWNS)
            .expect("this test needs root (CAP_SYS_ADMIN)");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        rustix::mount::mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
        test()
    };
    thread::scope(|scope| match scope.spawn(host).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// What a guest must leave as it was: links, routes, mounts, and the files in `/run`.
pub(super) fn snapshot() -> String {
    let mut entries: Vec<_> =
        fs::read_dir("/run").unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let links = output("ip", &["-j", "link"]);
    let routes = output("ip", &["-j", "route", "show", "table", "all"]);
    let mounts = output("cat", &["/proc/self/mountinfo"]);
    format!("{links}{routes}{mounts}{entries:?}")
}

/// Standard output of a program that must succeed.
pub(super) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("this test needs the program {program}: {e}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The test `name` (marked `ignore`) of this program, as a command: for what takes a process of its
/// own. What it prints goes to standard error; nothing else does.
pub(super) fn process(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "--test-threads=1", name]);
    command
}

/// Runs it, and fails when it does, or when it is not there.
pub(super) fn passes_in_a_process(name: &str) {
    let output = process(name).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}
