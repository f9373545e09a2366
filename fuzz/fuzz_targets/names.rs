#![no_main]

#[path = "../src/names.rs"]
mod names;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| names::judge(bytes));
