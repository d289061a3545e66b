//! The house rules that a compiler does not know: short files and lines, small folders, dependencies in one direction,
//! a pure core, links that lead somewhere, a page of the architecture that is true.

mod architecture;
mod width;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Rooms and what each may use. Only main, the command line's grammar and telemetry stand outside of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("codec", &["model"]),
    ("net", &["model"]),
    ("store", &["model", "net"]),
    ("state", &["store", "model", "net"]),
    ("pipeline", &["store", "state", "codec", "model"]),
    ("api", &["model"]),
    ("controller", &["api", "state", "model", "net"]),
    ("command", &["api", "controller", "pipeline", "store", "state", "codec", "model", "net"]),
];

fn files(under: &str, extension: &str) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path.strip_prefix(ROOT).expect("below the root").to_owned(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(ROOT).join(under), extension, &mut found);
    found.sort();
    found
}

/// Panics with all offenders at once.
fn none(offenders: Vec<String>, rule: &str) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for (path, text) in [files("src", "rs"), files("tests", "rs"), files("tests", "py")].concat() {
        let lines = text.lines().count();
        if lines > 500 {
            long.push(format!("{} has {lines} lines", path.display()));
        }
    }
    none(long, "a file holds one idea, in at most 500 lines");
}

/// Files of a folder of src that are seen at one look.
const FOLDER_FILES_MAX: usize = 14;

/// Folders that are larger still.
const CROWDED: &[(&str, usize)] = &[("src/model", 34), ("src/pipeline", 18), ("src/pipeline/planner", 17)];

#[test]
fn folders_are_small() {
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    for (path, _) in files("src", "rs") {
        *held.entry(path.parent().expect("below src").display().to_string()).or_default() += 1;
    }
    let allowed =
        |folder: &str| CROWDED.iter().find(|(name, _)| *name == folder).map_or(FOLDER_FILES_MAX, |(_, max)| *max);
    let large = held.into_iter().filter(|(folder, held)| *held > allowed(folder));
    none(
        large.map(|(folder, held)| format!("{folder} has {held} files")).collect(),
        "a folder holds at most 14 files: group what belongs together, as foo.rs and foo/",
    );
}

#[test]
fn modules_are_named_in_one_way() {
    let found =
        [files("src", "rs"), files("tests", "rs")].concat().into_iter().filter(|(path, _)| path.ends_with("mod.rs"));
    none(
        found.map(|(path, _)| path.display().to_string()).collect(),
        "a module with others in it is foo.rs beside foo/",
    );
}

#[test]
fn a_file_says_what_is_in_it() {
    // What a file of tests holds, its name says.
    let silent =
        files("src", "rs").into_iter().filter(|(path, text)| !path.ends_with("tests.rs") && !text.starts_with("//! "));
    none(
        silent.map(|(path, _)| path.display().to_string()).collect(),
        "a file of src begins with a line that says what is in it",
    );
}

/// Lines of comments and tests that may be wider still: `cargo fmt` breaks neither. Mend them where they are seen.
const WIDE_LINES: usize = 12;

#[test]
fn lines_are_short() {
    let mut long = Vec::new();
    for (path, text) in [files("src", "rs"), files("tests", "rs"), files("benches", "rs")].concat() {
        for (number, columns) in (1..).zip(width::columns(&text)).filter(|(_, columns)| *columns > width::COLUMNS_MAX) {
            long.push(format!("{}:{number} has {columns} columns beside its text", path.display()));
        }
    }
    if long.len() > WIDE_LINES {
        none(
            long,
            "a line has at most 120 columns, what stands between quotes not counted: sentences are searched for",
        );
    }
}

#[test]
fn dependencies_point_inward() {
    let names: Vec<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (path, text) in files("src", "rs") {
        let inner = path.strip_prefix("src").expect("below src");
        let first =
            inner.components().next().and_then(|c| c.as_os_str().to_str()).unwrap_or_default().trim_end_matches(".rs");
        let Some((room, allowed)) = ROOMS.iter().find(|(name, _)| *name == first) else { continue };
        for (number, line) in code(&text) {
            for other in names.iter().filter(|name| *name != room && !allowed.contains(name)) {
                if line.contains(&format!("crate::{other}::")) || line.contains(&format!("crate::{other};")) {
                    wrong.push(format!("{}:{number}: {room} uses {other}", path.display()));
                }
            }
        }
    }
    none(wrong, "command -> {controller, pipeline} -> {store, state, codec} -> model, and api -> model");
}

/// The files of the decision, each of which needs only what was decided or seen before it.
#[test]
fn deciding_goes_one_way() {
    let files = files("src/controller/decide", "rs");
    let name = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).expect("text").to_owned();
    let all: Vec<(String, String)> = files
        .iter()
        .filter(|(path, _)| path.parent().is_some_and(|folder| folder.ends_with("decide")))
        .map(|(path, text)| (name(path), code(text).map(|(_, line)| line).collect::<Vec<_>>().join("\n")))
        .collect();
    let mut left: Vec<&(String, String)> = all.iter().filter(|(name, _)| name != "tests").collect();
    assert!(left.len() > 5, "{left:?}");
    let needs = |text: &str, other: &str| {
        ["super", "decide"].iter().any(|parent| text.contains(&format!("{parent}::{other}::")))
    };
    loop {
        let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
        let circle = |(name, text): &&(String, String)| names.iter().any(|other| other != name && needs(text, other));
        let rest: Vec<_> = left.iter().copied().filter(circle).collect();
        if rest.is_empty() {
            return;
        }
        assert!(rest.len() < left.len(), "these need each other in a circle: {names:?}");
        left = rest;
    }
}

#[test]
fn every_room_is_known() {
    let mut unknown = Vec::new();
    for entry in std::fs::read_dir(Path::new(ROOT).join("src")).expect("readable") {
        let name = entry.expect("readable").file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
        if !ROOMS.iter().any(|(room, _)| *room == name) && !["main", "lib", "cli", "telemetry"].contains(&name.as_str())
        {
            unknown.push(name);
        }
    }
    none(unknown, "a new room needs a line in ROOMS");
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for (path, text) in [files("src/model", "rs"), files("src/codec", "rs")].concat() {
        for (number, line) in code(&text) {
            for word in [
                "async ",
                ".await",
                "tokio",
                "aws_",
                "kube::",
                "std::fs",
                "std::net",
                "SystemTime::now",
                "Instant::now",
                "Timestamp::now",
                "Uuid::new_v4",
            ] {
                if line.contains(word) {
                    wrong.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    none(wrong, "model and codec know no runtime, client, file, clock or chance");
}

/// What depends on the write mode is asked of it, so that a new mode is answered for in one file.
#[test]
fn a_write_mode_is_asked_and_never_compared() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", "rs") {
        // The rules, the words of the resource, and tests.
        let name = path.to_string_lossy();
        let knows = ["src/model/write_mode.rs", "src/api/spec/destination.rs", "src/model/fixtures.rs"];
        if knows.contains(&name.as_ref()) || name.contains("/tests/") || name.ends_with("/tests.rs") {
            continue;
        }
        for (number, line) in code(&text) {
            if line.contains("WriteMode::Append")
                || line.contains("WriteMode::Replace")
                || line.contains("write_mode ==")
            {
                wrong.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    none(wrong, "ask the mode by a method of src/model/write_mode.rs, which each mode answers");
}

#[test]
fn links_lead_somewhere() {
    let pages: Vec<(PathBuf, String)> = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
        .iter()
        .map(|name| (PathBuf::from(name), read(name)))
        .chain(files("docs", "md"))
        .collect();
    let mut broken = Vec::new();
    for (path, text) in &pages {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let base = Path::new(ROOT).join(path);
            let target = if file.is_empty() { base.clone() } else { base.parent().expect("a file").join(file) };
            if !target.exists() {
                broken.push(format!("{}: {link}", path.display()));
            } else if !anchor.is_empty()
                && !anchors(&std::fs::read_to_string(&target).expect("text")).any(|known| known == anchor)
            {
                broken.push(format!("{}: {link} (no such heading)", path.display()));
            }
        }
    }
    none(broken, "a link in the docs leads nowhere");
}

#[test]
fn no_path_of_one_machine() {
    let mut wrong = Vec::new();
    let parts = ["root", "home", "work"].map(|top| format!("/{top}/"));
    let texts = [
        files("src", "rs"),
        files("docs", "md"),
        files("examples", "yaml"),
        vec![("README.md".into(), read("README.md"))],
    ]
    .concat();
    for (path, text) in texts {
        // Tests may make such paths up.
        for (number, line) in code(&text).filter(|(_, line)| parts.iter().any(|part| line.contains(part.as_str()))) {
            wrong.push(format!("{}:{number}: {}", path.display(), line.trim()));
        }
    }
    none(wrong, "paths that only one machine has");
}

#[test]
fn no_test_is_ignored() {
    let mark = concat!("#[", "ignore");
    let ignored =
        [files("src", "rs"), files("tests", "rs")].concat().into_iter().filter(|(_, text)| text.contains(mark));
    none(ignored.map(|(path, _)| path.display().to_string()).collect(), "a test that does not run proves nothing");
}

/// Lines of code outside comments and of what comes before a file's tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or(line)))
}

/// Headings as anchors, by GitHub's rule: lower case, spaces to hyphens, other punctuation dropped.
fn anchors(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        heading
            .chars()
            .filter_map(
                |c| if c == ' ' { Some('-') } else { (c.is_alphanumeric() || c == '-' || c == '_').then_some(c) },
            )
            .collect()
    })
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}
