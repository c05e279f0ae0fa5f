//! `countersign conform vectors`: the published set, a fresh one, and sets that do not hold.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use crate::support::{Done, Folder, countersign, run};

/// Runs all of a file, with the reasons for refusals.
async fn all(file: &str) -> Done {
    run(countersign(&["conform", "vectors", "--reasons", "--json", file])).await
}

fn assert_all_passed(done: &Done, cases: usize) {
    let failed: Vec<_> = done.events().into_iter().filter(|one| one["passed"] == false).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(done.exit, 0, "{}", done.err);
    let summary = done.events().pop().unwrap();
    assert_eq!(summary, serde_json::json!({ "passed": cases, "failed": 0 }));
}

async fn generated(folder: &Folder) -> (String, Value) {
    let path = folder.path("fresh.json");
    let done = run(countersign(&["conform", "vectors", "--generate", &path])).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    let set: Value = serde_json::from_str(&folder.read("fresh.json")).unwrap();
    let count = set["vectors"].as_array().unwrap().len();
    assert_eq!(done.out, format!("{count} vectors in {path}\n"));
    (path, set)
}

fn published() -> (String, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/countersign.json");
    let set = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    (path.to_str().unwrap().to_owned(), set)
}

fn names(set: &Value) -> HashSet<&str> {
    set["vectors"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_published_set_passes() {
    let (path, set) = published();
    let text = run(countersign(&["conform", "vectors", &path])).await;
    let count = names(&set).len();
    assert!(text.out.ends_with(&format!("\n{count} passed, 0 failed\n")), "{}", text.out);
    assert_eq!(text.out.lines().count(), count + 1);
    assert_all_passed(&all(&path).await, count);
}

#[tokio::test]
async fn a_fresh_set_passes_and_has_the_cases_of_the_published_one() {
    let folder = Folder::new();
    let (path, set) = generated(&folder).await;
    assert_all_passed(&all(&path).await, names(&set).len());
    let (_, published) = published();
    let hint = "make vectors/countersign.json anew with `conform vectors --generate`";
    assert_eq!(names(&set), names(&published), "{hint}");

    let again = run(countersign(&["conform", "vectors", "--generate", &path])).await;
    assert_eq!(again.exit, 23);
    assert!(again.err.contains("there already"), "{}", again.err);
}

/// Each refused case with everything of its twin but the verdict, and the other way round.
#[tokio::test]
async fn without_its_fault_a_refused_case_is_accepted() {
    let (_, mut set) = published();
    let cases = set["vectors"].as_array_mut().unwrap();
    let before = cases.clone();
    let find = |name: &Value| before.iter().find(|one| one["name"] == *name).unwrap();
    let expects = |one: &Value| {
        // What frames have to come to, besides.
        ["name", "expect", "error"].map(|key| (key, one.get(key).cloned()))
    };
    let mut exchanged = Vec::new();
    for case in before.iter().filter(|case| case.get("twin").is_some()) {
        let twin = find(&case["twin"]);
        for (inside, verdict) in [(twin, case), (case, twin)] {
            let mut mixed = inside.clone();
            for (key, value) in expects(verdict) {
                match value {
                    Some(value) => mixed[key] = value,
                    None => drop(mixed.as_object_mut().unwrap().remove(key)),
                }
            }
            // What waits for the end of an HTTP/3 connection that lives on does so until its time is over.
            if mixed["op"] != "h3_frame" || inside.get("error").is_some() {
                exchanged.push(mixed);
            }
        }
    }
    let count = exchanged.len();
    *cases = exchanged;
    let folder = Folder::new();
    let path = folder.write("exchanged.json", &set.to_string());
    let done = all(&path).await;
    let passed: Vec<_> = done.events().into_iter().filter(|one| one["passed"] == true).collect();
    assert!(passed.is_empty(), "{passed:#?}");
    let summary = done.events().pop().unwrap();
    assert_eq!(summary, serde_json::json!({ "passed": 0, "failed": count }));
}

#[tokio::test]
async fn another_reason_fails_where_reasons_count() {
    let (_, mut set) = published();
    let cases = set["vectors"].as_array_mut().unwrap();
    cases.retain(|case| case["expect"] == "bad_finished");
    assert!(cases.len() > 5);
    for case in cases.iter_mut() {
        case["expect"] = "malformed".into();
    }
    let folder = Folder::new();
    let path = folder.write("reasons.json", &set.to_string());
    let verdicts = run(countersign(&["conform", "vectors", &path])).await;
    assert_eq!(verdicts.exit, 0, "{}", verdicts.out);
    let done = all(&path).await;
    assert!(done.err.contains("cases failed"), "{}", done.err);
    assert_eq!(done.events().pop().unwrap()["passed"], 0, "{}", done.out);
}
