//! What the fuzz target `topology` begins with, its corpus and the files of `topologies/`, read by the same judge:
//! `fuzz/` needs a fuzzer, this does not.

#![allow(unreachable_pub, reason = "a test is nobody's library")]

#[path = "../../fuzz/src/topology.rs"]
mod topology;

use std::fs;
use std::path::Path;

#[test]
fn topology_files_are_refused_or_explained() {
    let mut inputs = 0;
    for folder in ["fuzz/corpus/topology", "topologies", "topologies/refused"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let file = entry.unwrap().path();
            // A fuzzer's own have a hash for a name.
            if file.is_file() && file.extension().is_some() {
                println!("{}", file.display());
                topology::judge(&fs::read(&file).unwrap());
                inputs += 1;
            }
        }
    }
    assert!(inputs >= 60, "{inputs} inputs");
}
