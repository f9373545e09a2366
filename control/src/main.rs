//! The binary `hypertun`.

fn main() {}
