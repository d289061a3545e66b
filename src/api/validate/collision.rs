//! A sync must not read what it writes: every key that the template can give is held against the source's selection.
//!
//! Both are regular languages, so the question has an exact answer: a walk over the product of their automata looks for
//! one key that the template gives, the source's prefix and globs choose, and no exclude leaves out.

use std::collections::{HashMap, VecDeque};

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

use super::{FieldError, Problems};
use crate::model::settings::{Settings, SourceSettings};
use crate::model::template::ShapeToken;

/// Product states that are looked at: a few globs and a template have some hundreds. Beyond the bound only prefixes are
/// compared.
const STATES_MAX: usize = 50_000;
/// Memory of one lazy automaton in bytes: far more than a few globs need, and never exceeded, so that its state ids
/// stay valid.
const CACHE_BYTES_MAX: usize = 16 << 20;
/// Keys of a known format, see [`crate::model::format::InputFormat::of_key`].
const KNOWN_FORMAT: &str = r"(?s:.*)[^/](?i:\.(csv|tsv|tab|json|jsonl|ndjson|parquet|pq)(\.(gz|gzip|zst|zstd))?)";

/// Refuses a sync whose two ends are one bucket and whose output, or dead letters, it would read again.
pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    let shape = settings.output_keys(None);
    if let Some(key) = common_key(shape.tokens(), &settings.source, &settings.state_prefix) {
        problems.add(own_source("spec.destination", "output keys", &shape.to_string(), &key, settings));
    }
    if let Some(path) = &settings.errors.dead_letter_path {
        let tokens = [ShapeToken::Literal(format!("{path}/")), ShapeToken::Any];
        if let Some(key) = common_key(&tokens, &settings.source, &settings.state_prefix) {
            problems.add(own_source(
                "spec.errors.deadLetterPath",
                "dead letters",
                &format!("{path}/**"),
                &key,
                settings,
            ));
        }
    }
    if shape.literal_prefix().starts_with(&format!("{}/", settings.state_prefix)) {
        problems.add(FieldError::new(
            "spec.destination",
            format!("writes under {}/, which is state.prefix and never read again", settings.state_prefix),
        ));
    }
}

fn own_source(path: &str, what: &str, shape: &str, key: &str, settings: &Settings) -> FieldError {
    FieldError::new(
        path,
        format!(
            "would be its own source: {what} ({shape}) can match what source selects in bucket {:?}, such as {key:?}",
            settings.source.bucket
        ),
    )
    .suggest("write under another prefix, or leave those keys out by source.exclude")
}

/// A key of the shape that the source selects; `None` when there is none.
fn common_key(tokens: &[ShapeToken], source: &SourceSettings, state_prefix: &str) -> Option<String> {
    // A placeholder that may be empty gives odd examples, so keys with text for each are looked for first.
    ["[^/]+", "[^/]*"].iter().find_map(|segment| {
        let expressions = [
            shape_expression(tokens, segment),
            format!("{}(?s:.*)", regex::escape(&source.prefix)),
            if source.include.is_empty() {
                KNOWN_FORMAT.to_owned()
            } else {
                any_of(source.include.iter().map(|glob| glob.expression()))
            },
        ];
        let blobs = format!("{}/(?s:.*)", regex::escape(state_prefix));
        let excluded = any_of(source.exclude.iter().map(|glob| glob.expression()).chain([blobs.as_str()]));
        match search(&expressions, &excluded) {
            Ok(key) => key,
            Err(TooLarge) => prefixes_meet(tokens, source),
        }
    })
}

/// What is left to compare when the automata are too large: the text that both must begin with.
fn prefixes_meet(tokens: &[ShapeToken], source: &SourceSettings) -> Option<String> {
    let literal = match tokens.first() {
        Some(ShapeToken::Literal(text)) => text.as_str(),
        _ => "",
    };
    (literal.starts_with(&source.prefix) || source.prefix.starts_with(literal)).then(|| literal.to_owned())
}

fn shape_expression(tokens: &[ShapeToken], segment: &str) -> String {
    let token = |token: &ShapeToken| match token {
        ShapeToken::Literal(text) => regex::escape(text),
        ShapeToken::Segment => segment.to_owned(),
        ShapeToken::Any => "(?s:.*)".to_owned(),
    };
    tokens.iter().map(token).collect()
}

fn any_of<'a>(expressions: impl Iterator<Item = &'a str>) -> String {
    // A glob's wildcards match newlines too, which is a flag beside its expression.
    expressions.map(|expression| format!("(?s:{expression})")).collect::<Vec<_>>().join("|")
}

/// The automata have more states than are looked at.
#[derive(Debug)]
struct TooLarge;

/// One automaton and what it has built of itself so far.
struct Automaton {
    dfa: DFA,
    cache: Cache,
}

impl Automaton {
    fn new(expression: &str) -> Result<Automaton, TooLarge> {
        let config =
            Config::new().match_kind(MatchKind::All).cache_capacity(CACHE_BYTES_MAX).minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder().configure(config).build(&format!(r"(?:{expression})\z")).map_err(|_| TooLarge)?;
        let cache = dfa.create_cache();
        Ok(Automaton { dfa, cache })
    }

    fn start(&mut self) -> Result<LazyStateID, TooLarge> {
        let config = start::Config::new().anchored(Anchored::Yes);
        self.dfa.start_state(&mut self.cache, &config).map_err(|_| TooLarge)
    }

    fn next(&mut self, state: LazyStateID, byte: u8) -> Result<LazyStateID, TooLarge> {
        self.dfa.next_state(&mut self.cache, state, byte).map_err(|_| TooLarge)
    }

    fn accepts(&mut self, state: LazyStateID) -> Result<bool, TooLarge> {
        Ok(self.dfa.next_eoi_state(&mut self.cache, state).map_err(|_| TooLarge)?.is_match())
    }
}

/// A shortest text that all of `wanted` match and `excluded` does not.
fn search(wanted: &[String; 3], excluded: &str) -> Result<Option<String>, TooLarge> {
    let mut automata = Vec::with_capacity(4);
    for expression in wanted.iter().map(String::as_str).chain([excluded]) {
        automata.push(Automaton::new(expression)?);
    }
    let starts = automata.iter_mut().map(Automaton::start).collect::<Result<Vec<_>, _>>()?;
    // Letters first: where several keys are equally short, the example reads like a key.
    let alphabet: Vec<u8> = (b'a'..=b'z').chain(0..b'a').chain(b'{'..=u8::MAX).collect();
    let mut came_from: HashMap<Vec<LazyStateID>, Option<(usize, u8)>> = HashMap::from([(starts.clone(), None)]);
    let mut order = vec![starts];
    let mut queue = VecDeque::from([0]);
    while let Some(at) = queue.pop_front() {
        let states = order[at].clone();
        let mut accepted = true;
        for (i, (automaton, state)) in automata.iter_mut().zip(&states).enumerate() {
            accepted &= automaton.accepts(*state)? != (i == wanted.len());
        }
        if accepted {
            return Ok(Some(spell(at, &order, &came_from)));
        }
        for byte in &alphabet {
            let mut next = Vec::with_capacity(states.len());
            for (automaton, state) in automata.iter_mut().zip(&states) {
                next.push(automaton.next(*state, *byte)?);
            }
            if next[..wanted.len()].iter().any(|state| state.is_dead()) || came_from.contains_key(&next) {
                continue;
            }
            if order.len() >= STATES_MAX {
                return Err(TooLarge);
            }
            came_from.insert(next.clone(), Some((at, *byte)));
            queue.push_back(order.len());
            order.push(next);
        }
    }
    Ok(None)
}

fn spell(
    mut at: usize,
    order: &[Vec<LazyStateID>],
    came_from: &HashMap<Vec<LazyStateID>, Option<(usize, u8)>>,
) -> String {
    let mut bytes = Vec::new();
    while let Some(Some((before, byte))) = came_from.get(&order[at]) {
        bytes.push(*byte);
        at = *before;
    }
    bytes.reverse();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::glob::Glob;
    use crate::model::template::Template;

    fn collides(path: &str, prefix: &str, include: &[&str], exclude: &[&str]) -> Option<String> {
        let globs = |texts: &[&str]| texts.iter().map(|text| Glob::new(text).unwrap()).collect();
        let source = SourceSettings {
            endpoint: String::new(),
            bucket: "b".into(),
            prefix: prefix.into(),
            include: globs(include),
            exclude: globs(exclude),
            format: None,
            compression: crate::model::format::CompressionRule::Auto,
            csv: crate::model::settings::CsvReadSettings {
                delimiter: None,
                header: true,
                quote: None,
                escape: None,
                comment: None,
                null_values: vec![],
                encoding: crate::model::settings::Encoding::Utf8,
                skip_rows: 0,
            },
            tables: crate::model::settings::TableRule::Prefix,
            table_include: vec![],
        };
        let shape = Template::parse(path).unwrap().possible_keys("orders", "parquet", &[]);
        common_key(shape.tokens(), &source, "_s3sync")
    }

    #[test]
    fn layouts_that_would_read_their_own_output() {
        for (path, prefix, include, exclude, key) in [
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", "", &[][..], &[][..], "a/a.parquet"),
            ("raw/{{TABLE}}/{{UUID}}.{{FORMAT}}", "raw/", &[], &[], "raw/a/a.parquet"),
            ("lake/{{UUID}}.{{FORMAT}}", "", &["**/*.parquet"], &[], "lake/a.parquet"),
            ("lake/{{UUID}}.{{FORMAT}}", "", &["{raw,lake}/*"], &["raw/**"], "lake/a.parquet"),
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", "raw/", &[], &[], "raw/a.parquet"),
            ("orders.{{FORMAT}}", "ord", &[], &[], "orders.parquet"),
            ("lake/{{UUID}}.{{FORMAT}}", "", &[], &["lake/a*"], "lake/b.parquet"),
        ] {
            assert_eq!(
                collides(path, prefix, include, exclude).as_deref(),
                Some(key),
                "{path} {prefix} {include:?} {exclude:?}"
            );
        }
    }

    #[test]
    fn common_layouts_in_one_bucket_are_fine() {
        for (path, prefix, include, exclude) in [
            ("lake/{{TABLE}}/{{UUID}}.{{FORMAT}}", "raw/", &[][..], &[][..]),
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", "raw/events/", &[], &[]),
            ("{{TABLE}}/{{UUID}}.{{FORMAT}}", "", &["**/*.csv", "**/*.csv.gz"], &[]),
            ("lake/{{TABLE}}/{{UUID}}.{{FORMAT}}", "", &[], &["lake/**"]),
            ("lake/{{UUID}}.{{FORMAT}}", "", &["raw/**"], &[]),
            ("{{SOURCE_DIR}}/{{SOURCE_STEM}}.{{FORMAT}}", "", &["**/*.jsonl"], &[]),
            ("raw-clean/{{UUID}}.{{FORMAT}}", "raw/", &[], &[]),
            ("lake/{{UUID}}.done", "lake/", &[], &[]),
        ] {
            assert_eq!(collides(path, prefix, include, exclude), None, "{path} {prefix} {include:?} {exclude:?}");
        }
    }
}
