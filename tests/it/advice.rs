//! Advice is code: each sentence that tells a way out is produced, its advice is followed, and the run must then
//! succeed. And whatever a message names (a command, a field of the resource) must be there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Value, json};

use crate::support::{Running, Site, merge};

/// One way out.
struct Case {
    /// Parts of the sentence, its advice among them.
    says: &'static [&'static str],
    /// The exit code of the run that says it.
    code: i32,
    /// Leads to it.
    before: fn(&Site),
    /// Does what it says.
    follow: fn(&Site),
    /// Rows that are published then.
    rows: usize,
}

const ONE: &str = "id\n1\n";

fn plain() -> Value {
    json!({"destination": {"format": "jsonl"}})
}

fn with(site: &Site, spec: Value) {
    site.only(merge(plain(), spec));
}

fn run(site: &Site) {
    site.run().expect(0);
}

fn state(site: &Site, arguments: &[&str]) {
    Running::start(&site.path(""), &[&["state"], arguments, &["-f", "sync.yaml"]].concat(), &[]).wait().expect(0);
}

fn declared(column: Value) -> Value {
    json!({"schema": {"mode": "Declared", "columns": [column]}})
}

/// A column of numbers that became text.
fn changed_type(site: &Site) {
    with(site, json!({}));
    site.put("t/1.csv", ONE);
    run(site);
    site.put("t/2.csv", "id\nx\n");
}

fn two_tables(site: &Site) {
    with(site, json!({"destination": {"path": "x/{{UUID}}.jsonl"}}));
    site.put("t/1.csv", ONE);
    site.put("u/1.csv", "id\n2\n");
}

fn one_name(site: &Site) {
    with(site, json!({}));
    site.put("a-b/1.csv", ONE);
    site.put("a_b/1.csv", "id\n2\n");
}

fn ragged(site: &Site) {
    with(site, json!({}));
    site.put("t/1.csv", "id\n1\n2,3\n");
}

fn broken(site: &Site) {
    with(site, json!({}));
    site.put("t/1.csv", ONE);
    site.put("t/2.csv.gz", b"\x1f\x8b, and no gzip");
}

fn overwritten(site: &Site) {
    with(site, json!({"incremental": {"onOverwrite": "Fail"}}));
    site.put("t/1.csv", ONE);
    run(site);
    site.put("t/1.csv", "id\n2\n3\n");
}

fn emptied(site: &Site) {
    with(site, json!({"destination": {"writeMode": "Replace"}}));
    site.put("t/1.csv", ONE);
    run(site);
    site.remove("t/1.csv");
}

fn twice_one_key(site: &Site) {
    with(
        site,
        json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "destination": {"writeMode": "Replace", "path": "{{SOURCE_STEM}}.jsonl"}}),
    );
    site.put("a/1.csv", ONE);
    site.put("b/1.csv", "id\n2\n");
}

fn lost_blob(site: &Site) {
    with(site, json!({}));
    site.put("t/1.csv", ONE);
    run(site);
    for entry in walk(&site.path("data/lake/_s3sync")) {
        if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ledger-")) {
            std::fs::remove_file(entry).expect("just listed");
        }
    }
}

fn lost_state(site: &Site) {
    with(site, json!({}));
    site.put("t/1.csv", ONE);
    run(site);
    std::fs::remove_dir_all(site.path(".s3sync")).expect("it is there");
}

fn torn_claim(site: &Site) {
    with(site, json!({}));
    site.put("t/1.csv", ONE);
    run(site);
    for claim in walk(&site.path("data/lake/_s3sync/claims")) {
        std::fs::write(claim, "nonsense").expect("writable");
    }
}

fn partitioned(name: &str) -> Value {
    json!({"destination": {"partitionBy": [{"column": "at", "transform": "Day", "name": name}]}})
}

/// Another sync, which is no more, wrote the same key.
fn taken_output(site: &Site) {
    let to = json!({"format": "jsonl", "writeMode": "Replace", "path": "all.jsonl"});
    site.put("t/1.csv", ONE);
    site.put("u/1.csv", "id\n2\n");
    site.manifest(&[site.sync("gone", json!({"source": {"prefix": "u/"}, "destination": to}))]);
    run(site);
    site.only(json!({"source": {"prefix": "t/"}, "destination": to}));
}

fn stray(site: &Site) {
    with(site, json!({"source": {"format": "csv"}}));
    site.put("t/1", ONE);
    site.put("t/README.md", "# orders, and what they are\nSee the wiki.\n");
}

fn other_prefix(site: &Site) {
    with(site, json!({"source": {"prefix": "t/"}}));
    site.put("t/1.csv", ONE);
    site.put("u/1.csv", "id\n2\n");
    run(site);
    with(site, json!({"source": {"prefix": "u/"}}));
}

fn other_path(site: &Site) {
    with(site, json!({}));
    site.put("t/1.csv", ONE);
    run(site);
    with(site, json!({"destination": {"path": "v2/{{UUID}}.jsonl"}}));
}

fn accept(site: &Site) {
    site.start(&["run"], &["--accept-spec-change"]).wait().expect(0);
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    vec![
        Case { says: &["id is int64 in earlier epochs", "cast it to int64 in schema.columns, so that values that do not fit are bad records"], code: 4, before: changed_type, rows: 1,
            follow: |site| with(site, json!({"schema": {"columns": [{"name": "id", "type": "int64"}]}, "errors": {"maxBadRecords": 1, "deadLetterPath": "bad"}})) },
        Case { says: &["set schema.evolution to Rescue"], code: 4, before: changed_type, rows: 2,
            follow: |site| with(site, json!({"schema": {"evolution": "Rescue"}})) },
        Case { says: &["another destination.path, accepted with `s3sync run --accept-spec-change`"], code: 4, before: changed_type, rows: 3,
            follow: |site| { with(site, json!({"destination": {"path": "v2/{{UUID}}.jsonl"}})); accept(site); } },
        Case { says: &["the destination.path changed", "accept it with `s3sync run --accept-spec-change`"], code: 2, before: other_path, rows: 2, follow: accept },
        Case { says: &["the destination.path changed", "`s3sync state reset --yes`"], code: 2, before: other_path, rows: 2,
            follow: |site| state(site, &["reset", "--yes"]) },
        Case { says: &["the source or table rule changed", "go back"], code: 2, before: other_prefix, rows: 1,
            follow: |site| with(site, json!({"source": {"prefix": "t/"}})) },
        Case { says: &["the source or table rule changed", "--accept-spec-change"], code: 2, before: other_prefix, rows: 2, follow: accept },
        Case { says: &["start over with `s3sync state reset --yes`"], code: 1, before: lost_blob, rows: 2,
            follow: |site| state(site, &["reset", "--yes"]) },
        Case { says: &["go on from what was published with `s3sync state adopt`"], code: 1, before: lost_state, rows: 1,
            follow: |site| state(site, &["adopt"]) },
        Case { says: &["or give one of the two another destination.path"], code: 1, before: lost_state, rows: 2,
            follow: |site| with(site, json!({"destination": {"path": "v2/{{UUID}}.jsonl"}})) },
        Case { says: &["the claim", "makes no sense", "take it over with `s3sync state adopt`"], code: 1, before: torn_claim, rows: 1,
            follow: |site| state(site, &["adopt"]) },
        Case { says: &["or, where the cursor is lost too, delete it and run the sync"], code: 1, rows: 2,
            before: |site| { torn_claim(site); std::fs::remove_dir_all(site.path(".s3sync")).expect("it is there"); },
            follow: |site| std::fs::remove_dir_all(site.path("data/lake/_s3sync/claims")).expect("it is there") },
        Case { says: &["is written by another sync already", "another destination.path"], code: 1, before: taken_output, rows: 2,
            follow: |site| site.only(json!({"source": {"prefix": "t/"}, "destination": {"format": "jsonl", "writeMode": "Replace", "path": "other.jsonl"}})) },
        Case { says: &["is written by another sync already", "delete its claim"], code: 1, before: taken_output, rows: 1,
            follow: |site| {
                let claims = walk(&site.path("data/lake/_s3sync/claims"));
                let output = claims.iter().find(|claim| claim.to_string_lossy().contains("output-")).expect("the sentence names it");
                std::fs::remove_file(output).expect("just listed");
            } },
        Case { says: &["put {{TABLE}} into the path"], code: 2, before: two_tables, rows: 2,
            follow: |site| with(site, json!({"destination": {"path": "{{TABLE}}/{{UUID}}.jsonl"}})) },
        Case { says: &["or join the tables with source.tables.from: Fixed"], code: 2, before: two_tables, rows: 2,
            follow: |site| with(site, json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "destination": {"path": "x/{{UUID}}.jsonl"}})) },
        Case { says: &["are both named table", "exclude one"], code: 4, before: one_name, rows: 1,
            follow: |site| with(site, json!({"source": {"exclude": ["a-b/**"]}})) },
        Case { says: &["or set tables.from to Fixed to make them one table"], code: 4, before: one_name, rows: 2,
            follow: |site| with(site, json!({"source": {"tables": {"from": "Fixed", "name": "t"}}})) },
        Case { says: &["put {{UUID}} or {{SOURCE_DIR}} into destination.path"], code: 2, before: twice_one_key, rows: 2,
            follow: |site| with(site, json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "destination": {"writeMode": "Replace", "path": "{{SOURCE_DIR}}/{{SOURCE_STEM}}.jsonl"}})) },
        Case { says: &["allow bad records with errors.maxBadRecords and errors.deadLetterPath"], code: 4, before: ragged, rows: 1,
            follow: |site| with(site, json!({"errors": {"maxBadRecords": 1, "deadLetterPath": "bad"}})) },
        Case { says: &["or set errors.onBadObject: Quarantine"], code: 4, before: broken, rows: 1,
            follow: |site| with(site, json!({"errors": {"onBadObject": "Quarantine"}})) },
        Case { says: &["mend or remove the object"], code: 4, before: broken, rows: 1, follow: |site| site.remove("t/2.csv.gz") },
        Case { says: &["or set Reprocess or Ignore"], code: 4, before: overwritten, rows: 3,
            follow: |site| with(site, json!({"incremental": {"onOverwrite": "Reprocess"}})) },
        Case { says: &["set destination.allowEmpty"], code: 4, before: emptied, rows: 0,
            follow: |site| with(site, json!({"destination": {"writeMode": "Replace", "allowEmpty": true}})) },
        Case { says: &["its extension names no format: set source.format"], code: 4, rows: 1,
            before: |site| { with(site, json!({"source": {"include": ["t/*"]}})); site.put("t/1", ONE); },
            follow: |site| with(site, json!({"source": {"include": ["t/*"], "format": "csv"}})) },
        Case { says: &["source.format reads every object as csv, whatever its key says: leave it out with source.exclude"], code: 4, before: stray, rows: 1,
            follow: |site| with(site, json!({"source": {"format": "csv", "exclude": ["t/*.md"]}})) },
        Case { says: &["end source.uri with / to read them"], code: 3, rows: 1,
            before: |site| { with(site, json!({"source": {"uri": "s3://raw/t"}})); site.put("t/1.csv", ONE); },
            follow: |site| with(site, json!({"source": {"uri": "s3://raw/t/"}})) },
        Case { says: &["set csv.quote"], code: 4, rows: 2,
            before: |site| { with(site, json!({"destination": {"format": "csv", "csv": {"quote": ""}}})); site.put("t/1.csv", "id\n\"a,b\"\n"); },
            follow: |site| with(site, json!({"destination": {"format": "csv", "csv": {"quote": "'"}}})) },
        Case { says: &["set destination.csv.nullValue, to NULL for instance"], code: 4, rows: 3,
            before: |site| { with(site, json!({"destination": {"format": "csv"}})); site.put("t/1.jsonl", "{\"v\":1}\n{\"v\":null}\n"); },
            follow: |site| with(site, json!({"destination": {"format": "csv", "csv": {"nullValue": "NULL"}}})) },
        Case { says: &["none of the columns that schema.columns declares", "name them as the object does (from)"], code: 4, rows: 1,
            before: |site| { with(site, declared(json!({"name": "number", "type": "int64"}))); site.put("t/1.csv", ONE); },
            follow: |site| with(site, declared(json!({"name": "number", "type": "int64", "from": "id"}))) },
        Case { says: &["none of the columns that schema.columns declares", "leave it out (source.exclude)"], code: 4, rows: 1,
            before: |site| { with(site, declared(json!({"name": "number", "type": "int64"}))); site.put("t/1.csv", ONE); site.put("t/2.csv", "number\n7\n"); },
            follow: |site| with(site, merge(declared(json!({"name": "number", "type": "int64"})), json!({"source": {"exclude": ["t/1.csv"]}}))) },
        Case { says: &["set source.csv.encoding to utf-16"], code: 4, rows: 1,
            before: |site| { with(site, json!({})); site.put("t/1.csv", b"\xff\xfei\0d\0\n\x001\0\n\0"); },
            follow: |site| with(site, json!({"source": {"csv": {"encoding": "utf-16"}}})) },
        Case { says: &["ends in #csv", "set format instead"], code: 2, rows: 1,
            before: |site| { with(site, json!({"source": {"uri": "s3://raw/t/1#csv"}})); site.put("t/1", ONE); },
            follow: |site| with(site, json!({"source": {"uri": "s3://raw/t/1", "format": "csv"}})) },
        Case { says: &["set from: Fixed or leave name out"], code: 2, rows: 1,
            before: |site| { with(site, json!({"source": {"tables": {"name": "x"}}})); site.put("t/1.csv", ONE); },
            follow: |site| with(site, json!({"source": {"tables": {"from": "Fixed", "name": "x"}}})) },
        Case { says: &["set name in partitionBy"], code: 2, rows: 1,
            before: |site| { with(site, partitioned("Id")); site.put("t/1.csv", "id,at\n1,2026-01-02\n"); },
            follow: |site| with(site, partitioned("day")) },
        Case { says: &["the minute is \"61\"", "write five fields like */15 * * * *"], code: 2, rows: 1,
            before: |site| { with(site, json!({"schedule": "61 * * * *"})); site.put("t/1.csv", ONE); },
            follow: |site| with(site, json!({"schedule": "*/15 * * * *"})) },
        Case { says: &["holds ${TEST_BUCKET}", "stringData of a Secret", "write the value"], code: 2, rows: 1,
            before: |site| { with(site, json!({"source": {"bucket": "${TEST_BUCKET}"}})); site.put("t/1.csv", ONE); },
            follow: |site| with(site, json!({})) },
        Case { says: &["add {{UUID}} or {file_id}, or set writeMode: Replace"], code: 2, rows: 1,
            before: |site| { with(site, json!({"destination": {"path": "{{TABLE}}.jsonl"}})); site.put("t/1.csv", ONE); },
            follow: |site| with(site, json!({"destination": {"path": "{{TABLE}}-{file_id}.jsonl"}})) },
        Case { says: &["did you mean timestamp(us)?"], code: 2, rows: 1,
            before: |site| { with(site, json!({"schema": {"columns": [{"name": "at", "type": "datetime"}]}})); site.put("t/1.csv", "at\n2026-01-02T03:04:05\n"); },
            follow: |site| with(site, json!({"schema": {"columns": [{"name": "at", "type": "timestamp(us)"}]}})) },
        Case { says: &["or one like timestamp(us, no zone)"], code: 2, rows: 1,
            before: |site| { with(site, json!({"schema": {"columns": [{"name": "at", "type": "timestamp(us, local)"}]}})); site.put("t/1.csv", "at\n2026-01-02T03:04:05\n"); },
            follow: |site| with(site, json!({"schema": {"columns": [{"name": "at", "type": "timestamp(us, no zone)"}]}})) },
        Case { says: &["two columns would be named id", "drop it"], code: 4, rows: 1,
            before: |site| { with(site, json!({"schema": {"columns": [{"name": "id", "from": "key"}]}})); site.put("t/1.csv", "id,key\n1,2\n"); },
            follow: |site| with(site, json!({"schema": {"columns": [{"name": "id", "from": "key"}], "drop": ["id"]}})) },
    ]
}

#[test]
fn every_advice_works_when_it_is_followed() {
    let mut wrong = Vec::new();
    for case in cases() {
        let site = Site::directory();
        (case.before)(&site);
        let said = site.run();
        let text = format!("{}{}", said.stdout, said.stderr);
        if said.code != Some(case.code) || !case.says.iter().all(|part| text.contains(part)) {
            wrong.push(format!("{:?} is not said, or not with {}, but {:?}: {text}", case.says, case.code, said.code));
            continue;
        }
        (case.follow)(&site);
        let after = site.run();
        let rows = rows(&site);
        if after.code != Some(0) || rows != case.rows {
            wrong.push(format!("{:?}: followed, and then {:?}, {rows} rows: {}", case.says, after.code, after.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What `s3sync doctor` finds, by what, and the way out that it names: followed, it finds that all is well there.
#[test]
fn what_the_doctor_advises_works_when_it_is_followed() {
    type Way = (fn(&Site), &'static str, i32, &'static str, fn(&Site));
    let adopt: fn(&Site) = |site| state(site, &["adopt"]);
    let ways: [Way; 7] = [
        (other_prefix, "Identity", 2, "accept it with `s3sync run --accept-spec-change`", accept),
        (other_prefix, "Identity", 2, "go back", |site| with(site, json!({"source": {"prefix": "t/"}}))),
        (other_prefix, "Identity", 2, "start over with `s3sync state reset --yes`", |site| {
            state(site, &["reset", "--yes"])
        }),
        (lost_blob, "State", 1, "start over with `s3sync state reset --yes`", |site| state(site, &["reset", "--yes"])),
        (lost_state, "Claim", 1, "go on from what was published with `s3sync state adopt`", adopt),
        (torn_claim, "Claim", 1, "take it over with `s3sync state adopt`", adopt),
        (
            |site| with(site, json!({"source": {"prefix": "u/"}})),
            "SourceList",
            0,
            "look at source.prefix",
            |site| site.put("u/1.csv", ONE),
        ),
    ];
    for (before, check, code, advice, follow) in ways {
        let site = Site::directory();
        before(&site);
        let look = || site.start(&["doctor"], &["-o", "json"]).wait();
        let of = |report: &Value| {
            let checks = report["checks"].as_array().expect("checks");
            checks
                .iter()
                .find(|found| found["check"] == check)
                .unwrap_or_else(|| panic!("no {check} in {report:#}"))
                .clone()
        };
        let found = of(&look().expect(code).json());
        assert!(found["fix"].as_str().is_some_and(|fix| fix.contains(advice)), "{check}: {found:#}");
        follow(&site);
        let after = look().expect(0).json();
        assert_eq!(
            (&of(&after)["result"], &after["result"]),
            (&json!("Ok"), &json!("Ok")),
            "{check}, {advice}: {after:#}"
        );
    }
}

/// Lines of all published files, state and dead letters aside.
fn rows(site: &Site) -> usize {
    let lake = site.path("data/lake");
    let data = walk(&lake).into_iter().filter(|file| {
        let key = file.strip_prefix(&lake).expect("below it");
        !key.starts_with("_s3sync") && !key.starts_with("bad")
    });
    data.map(|file| std::fs::read_to_string(file).expect("text").lines().count()).sum()
}

/// Every file below a directory, in order.
pub fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The texts of src/, tests of it aside: what stands between quotes, on lines that are no comments.
fn messages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = Vec::new();
    for file in walk(&root) {
        let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        if is_test || file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        lines.extend(code.lines().map(str::trim).filter(|line| !line.starts_with("//")).map(str::to_owned));
    }
    lines
}

#[test]
fn every_command_that_a_message_names_is_there() {
    let named = Regex::new(r"`(?:kubectl )?s3sync ([a-z ]+)((?: --[a-z-]+)*)").expect("an expression");
    let mut commands = BTreeSet::new();
    for line in messages() {
        for found in named.captures_iter(&line) {
            commands.insert((found[1].trim().to_owned(), found[2].trim().to_owned()));
        }
    }
    assert!(commands.len() > 5, "{commands:?}");
    for (verb, flags) in commands {
        let verb: Vec<&str> = verb.split(' ').filter(|word| !word.is_empty()).collect();
        let help =
            Running::start(Path::new("."), &[verb.as_slice(), &["--help"]].concat(), &[]).wait().expect(0).stdout;
        assert!(flags.split(' ').all(|flag| help.contains(flag)), "{verb:?} {flags}");
    }
}

/// Fields that messages say to set and no case does: how a server is reached, which needs one; what a run that succeeds
/// remarks; and an object larger than a shard that turns out to be compressed once it was cut.
const NOT_FOLLOWED: [&str; 5] = ["caSecretRef", "destination.writeMode", "region", "secretRef", "source.compression"];

/// A new advice comes with its case.
#[test]
fn every_field_that_a_message_says_to_set_is_set_by_a_case() {
    let advised = Regex::new(r"\b[sS]et ([a-z][A-Za-z]*(?:\.[a-zA-Z]+)*)").expect("an expression");
    let cases = cases();
    let is_followed =
        |field: &str| cases.iter().flat_map(|case| case.says).any(|said| said.contains(&format!("set {field}")));
    let fields = fields();
    let is_field = |name: &str| fields.iter().any(|field| field == name || field.ends_with(&format!(".{name}")));
    let mut missing = BTreeSet::new();
    for line in messages() {
        missing.extend(
            advised
                .captures_iter(&line)
                .map(|found| found[1].to_owned())
                .filter(|name| is_field(name) && !is_followed(name)),
        );
    }
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), NOT_FOLLOWED);
}

/// What looks like a field and is none of ours: Kubernetes' own, and the end of a key.
const OTHER: [&str; 3] = ["batch.kubernetes.io", "limits.memory", "csv.gz"];

#[test]
fn every_field_that_a_message_names_is_there() {
    let fields = fields();
    assert!(fields.contains("source.csv.encoding") && fields.contains("schema.columns.type"), "{fields:?}");
    let named = Regex::new(
        r"\b(source|destination|schema|incremental|errors|limits|state|tables|csv|batch|parquet|object)\.([a-zA-Z]+(?:\.[a-zA-Z]+)*)\b",
    )
    .expect("an expression");
    let quoted = Regex::new(r#""(?:[^"\\]|\\.)*"|^[^"]*\\$"#).expect("an expression");
    let mut unknown = BTreeSet::new();
    for line in messages() {
        for text in quoted.find_iter(&line) {
            for found in named.find_iter(text.as_str()) {
                let name = found.as_str();
                if !OTHER.contains(&name)
                    && !fields.iter().any(|field| field == name || field.ends_with(&format!(".{name}")))
                {
                    unknown.insert(format!("{name} in {}", text.as_str()));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// The paths of all fields of a spec.
fn fields() -> BTreeSet<String> {
    let crd = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/s3syncs.s3sync.dev.yaml"))
        .expect("generated");
    let crd: Value = serde_yaml::from_str(&crd).expect("YAML");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut fields = BTreeSet::new();
    collect(spec, "", &mut fields);
    fields
}

/// The paths of all fields below a schema.
fn collect(schema: &Value, path: &str, fields: &mut BTreeSet<String>) {
    let schema = if schema["items"].is_object() { &schema["items"] } else { schema };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(property, &path, fields);
        fields.insert(path);
    }
}
