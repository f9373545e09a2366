//! What the fuzz targets `parse` and `path` begin with, played by the same judges: `fuzz/` needs a fuzzer, this does not.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

#[path = "../../fuzz/src/parse.rs"]
mod parse;
#[path = "../../fuzz/src/path.rs"]
mod path;

use std::fs;
use std::path::Path;

/// Plays every input of a target that has a name, after telling it; a fuzzer's own have a hash.
fn play(target: &str, judge: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let file = entry.unwrap().path();
        if file.extension().is_none() {
            continue;
        }
        println!("{}", file.display());
        judge(&fs::read(&file).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 20, "{inputs} inputs in {}", folder.display());
}

#[test]
fn packets_of_the_corpus_keep_the_laws() {
    play("parse", parse::judge);
}

#[test]
fn histories_of_the_corpus_keep_the_laws() {
    play("path", path::judge);
}
