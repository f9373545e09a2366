//! What the fuzz targets `topology` (its corpus and the files of `topologies/`) and `names` begin with, read by the same
//! judges: `fuzz/` needs a fuzzer, this does not.

#![allow(unreachable_pub, reason = "a test is nobody's library")]

#[path = "../../fuzz/src/names.rs"]
mod names;
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

#[test]
fn messages_of_the_corpus_are_answered_in_order() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/names");
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let file = entry.unwrap().path();
        if file.extension().is_some() {
            println!("{}", file.display());
            names::judge(&fs::read(&file).unwrap());
            inputs += 1;
        }
    }
    assert!(inputs >= 20, "{inputs} inputs");
}
