//! `docs/architecture.md` is true: what it names is there, where it says, and no module of the two large rooms is
//! missing.

use std::path::Path;

use super::{ROOT, none, read};

const PAGE: &str = "docs/architecture.md";

/// The files of the source that a line names: `src/` and what follows, up to its extension.
fn named(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("src/") {
        let end = line[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "/_.".contains(c)));
        found.push(end.map_or(&line[at..], |end| &line[at..at + end]).trim_end_matches(['.', '/']));
    }
    found
}

/// The names of a line that are Rust's: in backticks, or in the column before the file of a drawing.
fn words(line: &str, drawn: bool) -> Vec<&str> {
    let is_name = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
            && word.contains(|c: char| c.is_ascii_lowercase())
    };
    if drawn {
        let before = line.split("src/").next().unwrap_or_default();
        return before.trim_end().rsplit([' ', '│']).next().filter(is_name).into_iter().collect();
    }
    line.split('`').skip(1).step_by(2).filter(is_name).collect()
}

fn declares(text: &str, name: &str) -> bool {
    ["struct", "enum", "trait", "type"].iter().any(|kind| {
        let declared = format!("{kind} {name}");
        text.match_indices(&declared).any(|(at, _)| {
            !text[at + declared.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
        })
    })
}

#[test]
fn what_the_page_names_is_there() {
    let (page, mut wrong, mut drawn) = (read(PAGE), Vec::new(), false);
    let mut checked = 0;
    for (number, line) in (1..).zip(page.lines()) {
        if line.starts_with("```") {
            drawn = !drawn;
        }
        let files = named(line);
        let mut texts = Vec::new();
        for file in &files {
            let path = Path::new(ROOT).join(file);
            if !path.exists() {
                wrong.push(format!("{PAGE}:{number}: there is no {file}"));
            } else if path.is_file() {
                texts.push(read(file));
            }
        }
        if texts.is_empty() {
            continue;
        }
        for name in words(line, drawn) {
            checked += 1;
            if !texts.iter().any(|text| declares(text, name)) {
                wrong.push(format!("{PAGE}:{number}: no {name} is declared in {}", files.join(" or ")));
            }
        }
    }
    none(wrong, "the page of the architecture names what is not there: mend the page with the code");
    assert!(checked > 50, "only {checked} names of the page were looked for");
}

#[test]
fn the_page_has_every_module_of_the_large_rooms() {
    let page = read(PAGE);
    let mut missing = Vec::new();
    for room in ["pipeline", "controller"] {
        for line in read(&format!("src/{room}.rs")).lines() {
            let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) else { continue };
            if module != "fixtures" && !page.contains(&format!("src/{room}/{module}")) {
                missing.push(format!("src/{room}/{module}.rs"));
            }
        }
    }
    none(missing, "docs/architecture.md names every module of the pipeline and of the controller: add a line");
}
