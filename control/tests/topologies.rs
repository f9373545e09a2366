//! Do the files of `topologies/` say what they promise: the right ones without a warning, each one of `refused/` with the
//! faults that stand beside it?
//!
//! `HYPERTUN_BLESS=1` writes the expected faults anew; look at the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use control::check::{self, LoadError};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies").join(folder);
    let entries = fs::read_dir(&folder).expect("the folder is part of the repository");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| matches!(path.extension().and_then(|it| it.to_str()), Some("yaml" | "json")))
        .collect();
    files.sort();
    files
}

#[test]
fn right_topologies_are_loaded_without_a_warning_and_tell_their_situation() {
    let files = files("");
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let sound = check::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(sound.warnings.is_empty(), "{}", sound.warnings);
        let text = fs::read_to_string(&path).unwrap();
        let comment = text.lines().take_while(|line| line.starts_with('#')).count();
        assert!((2..=6).contains(&comment), "{}: {comment} lines of comment", path.display());
    }
}

#[test]
fn wrong_topologies_are_refused_with_the_faults_expected() {
    let files = files("refused");
    assert!(files.len() >= 25, "{} files", files.len());
    let bless = std::env::var_os("HYPERTUN_BLESS").is_some();
    let mut differences = String::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let Err(report) = check::read(&text, &name) else { panic!("{name} is accepted") };
        assert!(matches!(check::load(&path), Err(LoadError::Wrong(_))));
        let faults = report.to_string();
        let beside = path.with_extension("stderr");
        if bless {
            fs::write(&beside, &faults).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if faults != expected {
            differences
                .push_str(&format!("--- {name}, expected:\n{expected}\n--- found:\n{faults}\n"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}
