//! A topology file that a test changes under a running instance.

use std::path::{Path, PathBuf};

use crate::host::{Output, output};
use crate::programs::topology;
use crate::up::Up;

/// A copy of a file, gone with the test.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    original: String,
}

impl File {
    /// A copy of one of `topologies/`, for the test `name`.
    #[must_use]
    pub fn copy(example: &str, name: &str) -> Self {
        Self::of(&topology(example), name)
    }

    /// A copy of the file at a path, for the test `name`.
    #[must_use]
    pub fn of(path: &Path, name: &str) -> Self {
        let original = std::fs::read_to_string(path).expect("it can be read");
        let path = std::env::temp_dir().join(format!("{name}-{}.yaml", std::process::id()));
        let file = Self { path, original };
        file.write(&[]);
        file
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the original with each text replaced, which must be in it.
    pub fn write(&self, replaced: &[(&str, &str)]) {
        let text = replaced.iter().fold(self.original.clone(), |text, (old, new)| {
            assert!(text.contains(old), "{old} is part of the example");
            text.replace(old, new)
        });
        std::fs::write(&self.path, text).expect("a temporary file can be written");
    }

    /// Has the instance apply it.
    #[must_use]
    pub fn apply(&self, up: &Up<'_>) -> Output {
        output(up.hypertun(&["apply"]).arg(&self.path))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
