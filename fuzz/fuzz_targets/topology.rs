#![no_main]

#[path = "../src/topology.rs"]
mod topology;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| topology::judge(bytes));
