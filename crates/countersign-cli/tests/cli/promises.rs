//! The tests that SECURITY.md names are there.

use std::path::{Path, PathBuf};

#[test]
fn every_promise_has_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let promised = text.split("## What is promised").nth(1).unwrap();
    let promised = promised.split("\n## ").next().unwrap();
    let mut sources = Vec::new();
    find(&root.join("crates"), &mut sources);
    for promise in promised.split("\n- **").skip(1) {
        let title = promise.split("**").next().unwrap();
        let (_, tests) =
            promise.split_once("Tests: ").unwrap_or_else(|| panic!("{title}: no tests"));
        for name in tests.split('`').skip(1).step_by(2) {
            let (module, function) = name.split_once("::").unwrap();
            let is_there = sources.iter().any(|(path, text)| {
                path.file_stem().is_some_and(|stem| stem == module)
                    && text.contains(&format!("fn {function}("))
            });
            assert!(is_there, "{title}: {name} is nowhere");
        }
    }
}

/// The text of all sources below.
fn find(folder: &Path, sources: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            sources.push((path, text));
        }
    }
}
