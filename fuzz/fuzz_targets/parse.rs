#![no_main]

#[path = "../../dataplane/tests/common/mod.rs"]
mod common;
#[path = "../src/parse.rs"]
mod parse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parse::judge(bytes));
