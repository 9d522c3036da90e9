//! YAML files and what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the manifests are.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s")
}

/// Every file below `directory`.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        match path.is_dir() {
            true => files.append(&mut files_below(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// The documents in the file at `path`.
pub(crate) fn read(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the file can be read");
    parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents in `text`. A key that comes twice is an error.
pub(crate) fn parse(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}
