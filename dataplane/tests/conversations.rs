//! Golden conversations: one a file in `conversations/`, in the language of [`script`].
//!
//! Each is played twice: with the wheel retiring what is due, and with packets finding it so.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;
mod script;

use std::path::Path;

use script::Clock;

#[test]
fn conversations_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "conversations are missing from {}", folder.display());
    let mut failed = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        for clock in [Clock::Prompt, Clock::Lazy] {
            if std::panic::catch_unwind(|| script::run(&name, &text, clock)).is_err() {
                failed.push(format!("{name} ({clock:?})"));
            }
        }
    }
    assert!(failed.is_empty(), "not as written: {failed:#?}");
}
