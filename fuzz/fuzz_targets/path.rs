#![no_main]

#[path = "../../dataplane/tests/common/mod.rs"]
mod common;
#[path = "../src/path.rs"]
mod path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| path::judge(bytes));
