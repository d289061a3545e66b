use std::num::NonZeroU64;

use super::*;
use crate::api::crd::rules::broken;
use crate::model::connection::{Credentials, Endpoint};
use crate::model::format::{Compression, OutputFormat};
use crate::model::settings::{ParquetCodec, TableRule};
use crate::model::spec_hash::SpecHash;

mod bad_specs;
mod connections;
mod rules;

/// A manifest whose spec is given: its first line is line 5 of `m.yaml`.
fn manifest(spec: &str) -> String {
    let spec: String = spec.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: s3sync.dev/v1alpha1\nkind: S3Sync\nmetadata: {{name: orders, namespace: data}}\nspec:\n{spec}")
}

fn text(file: &str, text: &str) -> Text {
    Text { file: file.into(), folder: "/manifests".into(), text: text.into(), maybe_data: false }
}

fn check_all(texts: &[Text]) -> Result<Manifests, Vec<ManifestError>> {
    check_texts(texts, Vec::new(), &[PathBuf::from("m.yaml")])
}

fn errors_of(spec: &str) -> Vec<String> {
    match check_all(&[text("m.yaml", &manifest(spec))]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.to_string().replace("data/orders: ", "")).collect(),
    }
}

fn settings_of(spec: &str) -> Settings {
    let manifests = check_all(&[text("m.yaml", &manifest(spec))]).unwrap_or_else(|errors| panic!("{spec}: {errors:?}"));
    manifests.syncs[0].resolved.settings.clone()
}

const MINIMAL: &str = "source: {bucket: raw}\ndestination: {bucket: lake, format: parquet}\n";

#[test]
fn all_errors_of_all_files_are_shown() {
    let texts = [
        text("a.yaml", &manifest("source: {bukcet: raw}\nsuspned: true\ndestination: {bucket: lake, format: csv}")),
        text("b.yaml", "a: [1"),
        text(
            "c.yaml",
            "apiVersion: s3sync.dev/v1\nkind: S3Sync\n---\napiVersion: s3sync.dev/v1alpha1\nkind: S3sync\n---\napiVersion: s3snyc.dev/v1alpha1\nkind: S3Sync\n",
        ),
    ];
    let mut errors: Vec<String> = check_all(&texts).unwrap_err().iter().map(ToString::to_string).collect();
    // The parser sees the missing bracket at the end of the text; what follows is its own sentence.
    let syntax = errors.remove(2);
    assert!(syntax.starts_with("b.yaml:2: this is no YAML: "), "{syntax}");
    assert_eq!(
        errors,
        [
            "a.yaml:5: data/orders: spec.source.bukcet is no field of S3Sync; did you mean bucket?",
            "a.yaml:6: data/orders: spec.suspned is no field of S3Sync; did you mean suspend?",
            "c.yaml:1: apiVersion is \"s3sync.dev/v1\", and this build knows s3sync.dev/v1alpha1",
            "c.yaml:4: kind is \"S3sync\", which is no kind of s3sync.dev; write S3Sync",
            "c.yaml:7: apiVersion is \"s3snyc.dev/v1alpha1\"; write s3sync.dev/v1alpha1",
        ]
    );
}

#[test]
fn other_kinds_are_skipped_and_nothing_is_an_error() {
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n# empty\n---\nresources: [a.yaml]\n";
    let errors = check_all(&[text("m.yaml", other)]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "no S3Sync in m.yaml; a manifest begins with apiVersion: s3sync.dev/v1alpha1 and kind: S3Sync"
    );
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}",
        manifest(MINIMAL)
            .lines()
            .enumerate()
            .map(|(i, line)| format!("{}{line}\n", if i == 0 { "- " } else { "  " }))
            .collect::<String>()
    );
    let manifests = check_all(&[text("m.yaml", other), text("n.yaml", &list)]).unwrap();
    assert_eq!((manifests.syncs[0].file.as_str(), manifests.syncs[0].line), ("n.yaml", 4));
}

#[test]
fn a_name_stands_once_in_a_folder() {
    let one = text("m.yaml", &manifest(MINIMAL));
    let errors = check_all(&[one.clone(), one.clone()]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "m.yaml:1: data/orders: is defined already at m.yaml:1; give one of them another name"
    );
    let elsewhere = Text { folder: "/other".into(), ..one.clone() };
    assert_eq!(
        check_all(&[one, elsewhere]).map(|manifests| manifests.syncs.len()),
        Ok(2).map_err(|_: ()| Vec::<ManifestError>::new())
    );
}

#[test]
fn the_resource_keeps_names_in_bounds() {
    for (name, part) in [
        ("x".repeat(53), "has 53 characters, more than 52"),
        ("Orders".to_owned(), "does not match"),
        (String::new(), "is empty"),
    ] {
        let text_of = manifest(MINIMAL).replace("name: orders", &format!("name: \"{name}\""));
        let errors = check_all(&[text("m.yaml", &text_of)]).unwrap_err();
        assert!(errors[0].message.contains(part), "{errors:?}");
    }
}

#[test]
fn derived_defaults() {
    let settings = settings_of(MINIMAL);
    assert_eq!(settings.id.to_string(), "data/orders");
    assert_eq!(settings.destination.template.as_str(), "{{TABLE}}/{{UUID}}.{{FORMAT}}");
    assert_eq!(
        (settings.destination.parquet.codec, settings.destination.compression),
        (ParquetCodec::Zstd, Compression::None)
    );
    let limits = (settings.destination.target_file_bytes, settings.destination.file_rows_max);
    assert_eq!(limits, (NonZeroU64::new(128 << 20), None));
    assert_eq!((settings.limits.objects_per_commit, settings.limits.bytes_per_commit), (100_000, 64 << 30));
    assert_eq!(
        (settings.state_prefix.as_str(), settings.worker.concurrency, settings.worker.scratch_bytes),
        ("_s3sync", None, 10 << 30)
    );
    assert_eq!(
        (settings.source.tables, settings.source.table_include.len(), settings.source.csv.quote),
        (TableRule::Prefix, 0, Some(b'"'))
    );
    let explicit_null = settings_of(
        "source: {bucket: raw, include: null, csv: null, tables: {name: null}}\ndestination: {bucket: lake, format: parquet, compression: null}\nworker: null",
    );
    assert_eq!(explicit_null, settings_of(MINIMAL));

    let to =
        |destination: &str| settings_of(&format!("source: {{bucket: raw}}\ndestination: {destination}")).destination;
    for (destination, template, format, compression) in [
        ("{uri: 's3://lake/orders.csv.gz', writeMode: Replace}", "orders.csv.gz", OutputFormat::Csv, Compression::Gzip),
        (
            "{uri: 's3://lake/orders.parquet', writeMode: Replace}",
            "orders.parquet",
            OutputFormat::Parquet,
            Compression::None,
        ),
        (
            "{uri: 's3://lake/orders/', format: jsonl}",
            "orders/{{UUID}}.{{FORMAT}}",
            OutputFormat::Jsonl,
            Compression::None,
        ),
        (
            "{uri: 's3://lake', format: json, compression: zstd}",
            "{{UUID}}.{{FORMAT}}",
            OutputFormat::Json,
            Compression::Zstd,
        ),
        ("{bucket: lake, path: a/, format: tsv}", "a/{{UUID}}.{{FORMAT}}", OutputFormat::Tsv, Compression::None),
    ] {
        let to = to(destination);
        assert_eq!(
            (to.bucket.as_str(), to.template.as_str(), to.format, to.compression),
            ("lake", template, format, compression),
            "{destination}"
        );
    }

    let partitions = to(
        "{bucket: lake, format: csv, partitionBy: [{column: country}, {column: ts, transform: Month}, {column: ts, transform: Date, name: day}]}",
    );
    assert_eq!(
        partitions.partition_by.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
        ["country", "ts_month", "day"]
    );
    assert_eq!(to("{bucket: lake, format: csv, csv: {delimiter: '\\t', quote: ''}}").csv.delimiter, Some(b'\t'));

    let from =
        |source: &str| settings_of(&format!("source: {source}\ndestination: {{bucket: lake, format: parquet}}")).source;
    for (source, bucket, prefix, include) in [
        ("{uri: 's3://raw/events/'}", "raw", "events/", vec![]),
        ("{uri: 's3://raw'}", "raw", "", vec![]),
        ("{uri: 's3://raw/a/b.csv'}", "raw", "a/", vec!["a/b.csv"]),
        ("{uri: 's3://raw/**/*.csv'}", "raw", "", vec!["**/*.csv"]),
        ("{uri: 's3://raw/dir/**/*.jsonl'}", "raw", "dir/", vec!["dir/**/*.jsonl"]),
        ("{bucket: raw, prefix: events/, include: ['**/*.gz']}", "raw", "events/", vec!["**/*.gz"]),
    ] {
        let from = from(source);
        let globs: Vec<&str> = from.include.iter().map(|glob| glob.as_str()).collect();
        assert_eq!((from.bucket.as_str(), from.prefix.as_str(), globs), (bucket, prefix, include), "{source}");
    }
    assert_eq!(
        from("{bucket: raw, tables: {from: Fixed, name: my-orders}}").tables,
        TableRule::Fixed { name: "my_orders".into() }
    );
}

#[test]
fn the_spec_hash_is_about_the_two_ends_alone() {
    let hash = |spec: &str| SpecHash::of(&settings_of(spec)).to_string();
    let same = hash(MINIMAL);
    for spec in [
        "source: {bucket: raw, include: ['*.csv']}\ndestination: {bucket: lake, format: csv}",
        "source: {bucket: raw, region: eu-west-1}\ndestination: {bucket: lake, format: parquet}\nworker: {replicas: 4}",
    ] {
        assert_eq!(hash(spec), same, "{spec}");
    }
    for spec in [
        "source: {bucket: raw2}\ndestination: {bucket: lake, format: parquet}",
        "source: {bucket: raw, prefix: a/}\ndestination: {bucket: lake, format: parquet}",
        "source: {bucket: raw, endpoint: 'http://m:9000'}\ndestination: {bucket: lake, format: parquet}",
        "source: {bucket: raw, tables: {from: Fixed, name: a}}\ndestination: {bucket: lake, format: parquet}",
        "source: {bucket: raw}\ndestination: {bucket: lake2, format: parquet}",
        "source: {bucket: raw}\ndestination: {bucket: lake, format: parquet, endpoint: 'http://m:9000'}",
        "source: {bucket: raw}\ndestination: {bucket: lake, format: parquet}\nstate: {prefix: s}",
        "source: {bucket: raw}\ndestination: {bucket: lake, path: 'x/', format: parquet}",
    ] {
        assert_ne!(hash(spec), same, "{spec}");
    }
}

const SECRETS: &str = "
---
apiVersion: v1
kind: Secret
metadata: {name: raw-ro, namespace: data}
stringData: {AWS_ACCESS_KEY_ID: \"${KEY}\", AWS_SECRET_ACCESS_KEY: s3cr3t-value}
";
const WITH_SECRET: &str = "source:\n  bucket: raw\n  endpoint: file:./buckets\n  secretRef: {name: raw-ro}\ndestination: {bucket: lake, format: parquet}";

#[test]
fn secrets_connect_and_stay_secret() {
    let env = |name: &str| (name == "KEY").then(|| "AKIAEXAMPLE".to_owned());
    let texts = [text("m.yaml", &(manifest(WITH_SECRET) + SECRETS))];
    let manifests = check_all(&texts).unwrap();
    assert!(!format!("{manifests:?}").contains("s3cr3t"), "{manifests:?}");
    let loaded = manifests.connect(&env).unwrap();
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("AKIAEXAMPLE"), "{shown}");
    let Credentials::Static { access_key_id, .. } = &loaded[0].source.credentials else { panic!("{shown}") };
    assert_eq!(access_key_id, "AKIAEXAMPLE");
    assert_eq!(loaded[0].source.endpoint, Endpoint::File("/manifests/buckets".into()));
    assert_eq!(loaded[0].settings.source.endpoint, "file:buckets");

    let missing = check_all(&texts).unwrap().connect(&|_| None).unwrap_err();
    assert_eq!(missing[0].kind, ManifestErrorKind::Invalid);
    assert_eq!(
        missing[0].to_string(),
        "m.yaml:8: data/orders: spec.source.secretRef names the Secret \"raw-ro\", whose AWS_ACCESS_KEY_ID (m.yaml:12) needs the environment variable KEY, which is not set; set it and run again"
    );
    for (secrets, part) in [
        ("", "which is in none of the files"),
        (
            &SECRETS.replace("namespace: data", "namespace: other"),
            "which is in the namespace other (m.yaml:12) and not in data",
        ),
        (&SECRETS.replace("AWS_SECRET_ACCESS_KEY", "SECRET"), "which has no value for AWS_SECRET_ACCESS_KEY"),
    ] {
        let errors =
            check_all(&[text("m.yaml", &(manifest(WITH_SECRET) + secrets))]).unwrap().connect(&env).unwrap_err();
        assert_eq!(errors[0].kind, ManifestErrorKind::Secret);
        assert!(errors[0].message.contains(part) && !errors[0].message.contains("s3cr3t"), "{errors:?}");
    }
}

/// Each rule of the definition fails for a resource made for it, and says its message.
#[test]
fn every_rule_can_fail() {
    let mut unseen: Vec<String> = Vec::new();
    collect_messages(crate::api::crd::definition(KIND).schema(), &mut unseen);
    let long_name = "x".repeat(53);
    for (name, spec) in [
        (long_name.as_str(), MINIMAL),
        ("a", "timeZone: Etc/UTC\nsource: {bucket: raw}\ndestination: {bucket: lake, format: csv}"),
        ("a", "source: {}\ndestination: {}"),
        (
            "a",
            "source: {bucket: a, connectionRef: {name: a}, region: b}\ndestination: {bucket: a, format: csv, connectionRef: {name: a}, secretRef: {name: b}}",
        ),
        (
            "a",
            "source: {uri: 's3://a', bucket: raw, prefix: a}\ndestination: {uri: 's3://a', bucket: raw, path: a, format: csv}",
        ),
        (
            "a",
            "source: {bucket: a, secretRef: {name: a}, profile: p, anonymous: true, externalId: abc}\ndestination: {bucket: a, format: csv, secretRef: {name: a}, profile: p, anonymous: true, roleSessionName: abc}",
        ),
        (
            "a",
            "source: {bucket: a, csv: {delimiter: ';', quote: ';', comment: ';'}, tables: {from: Fixed, pattern: a}}\ndestination: {bucket: a, format: csv, compression: snappy, csv: {delimiter: ';', quote: ';'}, object: {kmsKeyId: a}, partitionBy: [{column: a, transform: Year}, {column: b, name: A_Year}]}",
        ),
        (
            "a",
            "source: {bucket: a}\ndestination: {bucket: a, format: csv}\nschema: {mode: Declared}\nerrors: {maxBadRecords: 1}\nworker: {concurrency: 0}",
        ),
        (
            "a",
            "source: {bucket: a}\ndestination: {bucket: a, format: csv}\nschema: {mode: Declared, columns: [{name: a}]}",
        ),
    ] {
        let document = &document::parse(&manifest(spec).replace("name: orders", &format!("name: {name}"))).unwrap()[0];
        let failed = broken(KIND, &structural::json(document));
        assert!(!failed.is_empty(), "{spec}");
        unseen.retain(|message| !failed.iter().any(|failed| failed.ends_with(message.as_str())));
    }
    assert_eq!(unseen, Vec::<String>::new());
    let good = &document::parse(&manifest(MINIMAL)).unwrap()[0];
    let (complete, errors) = structural::check(KIND, &root_schema(KIND), good, "");
    assert_eq!(errors, Vec::new());
    assert_eq!(broken(KIND, &complete), Vec::<String>::new());
}

fn collect_messages(schema: &serde_json::Value, messages: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            for rule in map.get("x-kubernetes-validations").and_then(|rules| rules.as_array()).into_iter().flatten() {
                messages.extend(rule["message"].as_str().map(str::to_owned));
            }
            map.values().for_each(|child| collect_messages(child, messages));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|child| collect_messages(child, messages)),
        _ => {}
    }
}

/// The contract in full, with every field at its default or at an example.
#[test]
fn every_field_of_the_contract_is_accepted() {
    let errors = errors_of(include_str!("full.yaml"));
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn examples_are_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let directory = entry.unwrap().path();
        match check(std::slice::from_ref(&directory)) {
            Ok(manifests) => assert!(!manifests.syncs.is_empty()),
            Err(errors) => panic!("{}", errors.iter().map(|error| format!("{error}\n")).collect::<String>()),
        }
    }
}

#[test]
fn data_beside_manifests_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
    put("sync.yaml", manifest(MINIMAL).as_bytes());
    put("lines.json", b"{\"id\": 1}\n{\"id\": 2}\n");
    put("array.json", b"[1, 2]");
    put("latin.json", b"{\"a\": \"\xe9\"}");
    assert_eq!(check(&[dir.path().to_owned()]).unwrap().syncs.len(), 1);
    // What is named, is YAML, or names our group is meant.
    assert_eq!(check(&[dir.path().join("lines.json")]).unwrap_err().len(), 1);
    put("broken.json", b"{\"apiVersion\": \"s3sync.dev/v1alpha1\"");
    put("broken.yaml", b"a: [");
    assert_eq!(check(&[dir.path().to_owned()]).unwrap_err().len(), 2);
}
