//! The examples: every manifest in them is valid, and every other file is what it says it is.

use std::path::{Path, PathBuf};

use crate::support::Running;

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), &mut found);
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    found.sort();
    found
}

#[test]
fn every_manifest_is_valid() {
    let mut checked = 0;
    for path in files("yaml") {
        let text = std::fs::read_to_string(&path).expect("text");
        if !text.lines().any(|line| ["kind: S3Sync", "kind: S3SyncRun"].contains(&line)) {
            continue;
        }
        // What they take from the environment.
        let names = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
        let variables: Vec<(&str, &str)> = names.map(|name| (name, "value")).collect();
        let file = path.to_str().expect("text");
        Running::start(path.parent().expect("a directory"), &["validate", "-f", file], &variables)
            .wait()
            .expect(0)
            .says(&["is valid"]);
        checked += 1;
    }
    assert!(checked >= 9, "only {checked} manifests were found");
}

#[test]
fn every_yaml_and_json_file_parses() {
    for path in files("yaml") {
        let text = std::fs::read_to_string(&path).expect("text");
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value: Result<serde_json::Value, _> = serde::Deserialize::deserialize(document);
            assert!(value.is_ok(), "{}: {value:?}", path.display());
        }
    }
    for path in files("json") {
        let value: Result<serde_json::Value, _> = serde_json::from_slice(&std::fs::read(&path).expect("readable"));
        assert!(value.is_ok(), "{}: {value:?}", path.display());
    }
}
