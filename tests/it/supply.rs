//! What is released beside the binary.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn bill() -> String {
    let python = std::env::var("S3SYNC_TEST_PYTHON")
        .expect("S3SYNC_TEST_PYTHON is not set: run tests/run, which prepares what the tests need");
    let output = Command::new(python)
        .arg("release/sbom")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// CycloneDX 1.6: <https://cyclonedx.org/docs/1.6/json/>.
#[test]
fn the_bill_of_materials_names_all_that_is_built_in_and_nothing_else() {
    let text = bill();
    assert_eq!(text, bill(), "the same lock gives the same bytes");
    let bill: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&Value::from("CycloneDX"), &Value::from("1.6")));
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let components = bill["components"].as_array().expect("components");
    for component in components {
        let hash = component["hashes"][0]["content"].as_str().unwrap_or_default();
        assert!(hash.len() == 64 && component["licenses"][0]["expression"].is_string(), "{component}");
    }
    let names: BTreeSet<&str> = components.iter().filter_map(|component| component["name"].as_str()).collect();
    for built in ["aws-sdk-s3", "kube", "rustls", "zstd-sys", "cc"] {
        assert!(names.contains(built), "{built}");
    }
    for tested in ["insta", "proptest", "divan", "windows-sys"] {
        assert!(!names.contains(tested), "{tested}");
    }
    let of = |value: &Value, name: &str| value[name].as_str().expect("a text").to_owned();
    let mut known: BTreeSet<String> = components.iter().map(|component| of(component, "bom-ref")).collect();
    known.insert(of(&bill["metadata"]["component"], "bom-ref"));
    let dependencies = bill["dependencies"].as_array().expect("dependencies");
    assert_eq!(dependencies.iter().map(|entry| of(entry, "ref")).collect::<BTreeSet<_>>(), known);
    for needed in dependencies.iter().flat_map(|entry| entry["dependsOn"].as_array().expect("a list")) {
        assert!(known.contains(needed.as_str().expect("a text")), "{needed}");
    }
}
