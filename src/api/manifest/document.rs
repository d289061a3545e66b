//! YAML (and so JSON) as a tree in which every node knows its line: what error messages point at.
//!
//! Plain scalars mean what they mean to `kubectl`, which reads YAML 1.1 there: `yes`, `no`, `on` and `off` are
//! booleans.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::Number;

/// Nesting deeper than any manifest; the API server stops at similar depths. Keeps recursion over a tree safe.
const DEPTH_MAX: usize = 100;
/// Nodes of one file, aliases expanded: bounds what aliases of aliases can blow up to.
const NODES_MAX: usize = 1_000_000;
/// Bytes of all its texts, aliases expanded: twice what a file may have, since a value that bears an anchor is kept
/// twice.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins; for the value of a mapping, where its key begins.
    pub at: Location,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text, keys unique.
    Map(Vec<(String, Node)>),
}

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Where.
    pub at: Location,
    /// What is wrong, as part of a sentence.
    pub message: String,
}

impl Node {
    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text of a key of a mapping, where it is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many levels lie below.
    fn height(&self) -> usize {
        let below = match &self.value {
            Value::List(items) => items.iter().map(Node::height).max(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.height()).max(),
            _ => None,
        };
        below.map_or(0, |height| height + 1)
    }

    /// Where a path such as `spec.source.columns[0].name` stands, or the nearest of its ancestors that is there.
    pub fn place_of(&self, path: &str) -> Location {
        let mut node = self;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match (&node.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => index.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.at
    }
}

/// The documents of a text. A text without any document gives none.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    // A byte order mark is no content (YAML 1.2, 5.2).
    let mut reader = Reader {
        parser: Parser::new_from_str(text.trim_start_matches('\u{feff}')),
        anchors: HashMap::new(),
        size: Size::default(),
    };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                // Anchors end with their document.
                reader.anchors.clear();
                let (event, at) = reader.next()?;
                documents.push(reader.node(event, at, 0)?);
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// Named values with their size and their height, so that copies are bounded before they are made.
    anchors: HashMap<usize, (Node, Size, usize)>,
    /// Everything that was made so far.
    size: Size,
}

/// What values cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    nodes: usize,
    text_bytes: usize,
}

impl Size {
    fn since(self, before: Size) -> Size {
        Size { nodes: self.nodes - before.nodes, text_bytes: self.text_bytes - before.text_bytes }
    }
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Location), SyntaxError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, place(&span.start))),
            Some(Err(error)) => {
                Err(SyntaxError { at: place(error.marker()), message: format!("this is no YAML: {}", error.info()) })
            }
            None => Ok((Event::StreamEnd, Location { line: 1, column: 1 })),
        }
    }

    fn count(&mut self, more: Size, at: Location) -> Result<(), SyntaxError> {
        self.size.nodes = self.size.nodes.saturating_add(more.nodes);
        self.size.text_bytes = self.size.text_bytes.saturating_add(more.text_bytes);
        if self.size.nodes > NODES_MAX {
            return Err(SyntaxError { at, message: format!("the file holds more than {NODES_MAX} values") });
        }
        if self.size.text_bytes > TEXT_BYTES_MAX {
            let message =
                format!("the file holds more than {} MiB of text once its aliases are expanded", TEXT_BYTES_MAX >> 20);
            return Err(SyntaxError { at, message });
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, at: Location, depth: usize) -> Result<Node, SyntaxError> {
        check_depth(depth, at)?;
        let before = self.size;
        let text_bytes = if let Event::Scalar(text, ..) = &event { text.len() } else { 0 };
        self.count(Size { nodes: 1, text_bytes }, at)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_deref())),
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(anchor) => {
                let Some((size, height)) = self.anchors.get(&anchor).map(|(_, size, height)| (*size, *height)) else {
                    return Err(SyntaxError {
                        at,
                        message: "an alias stands inside the value that it names".to_owned(),
                    });
                };
                check_depth(depth + height, at)?;
                self.count(size, at)?;
                let value = self.anchors.get(&anchor).map_or(Value::Null, |(node, _, _)| node.value.clone());
                return Ok(Node { at, value });
            }
            _ => (0, Value::Null),
        };
        let node = Node { at, value };
        if anchor > 0 {
            let size = self.size.since(before);
            // Anchors inside anchors are kept once for each.
            self.count(size, at)?;
            self.anchors.insert(anchor, (node.clone(), size, node.height()));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut merged: Vec<(String, Node)> = Vec::new();
        // Looked up, since a file may be one mapping of a million keys.
        let mut names: HashSet<String> = HashSet::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, _, _));
            let key = match self.node(event, at, depth + 1)?.value {
                Value::Text(text) => text,
                Value::Bool(key) => key.to_string(),
                Value::Number(key) => key.to_string(),
                _ => return Err(SyntaxError { at, message: "a key must be a text".to_owned() }),
            };
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            if plain && key == "<<" {
                merged.extend(merge(value)?);
                continue;
            }
            if !names.insert(key.clone()) {
                return Err(SyntaxError { at, message: format!("{key:?} stands here twice") });
            }
            entries.push((key, Node { at, value: value.value }));
        }
        for (key, node) in merged {
            if names.insert(key.clone()) {
                entries.push((key, node));
            }
        }
        Ok(Value::Map(entries))
    }
}

fn check_depth(depth: usize, at: Location) -> Result<(), SyntaxError> {
    if depth > DEPTH_MAX {
        return Err(SyntaxError { at, message: format!("values are nested more than {DEPTH_MAX} deep") });
    }
    Ok(())
}

/// The entries that `<<` brings in: of one mapping, or of several, the first one winning.
fn merge(node: Node) -> Result<Vec<(String, Node)>, SyntaxError> {
    let at = node.at;
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::List(items) => {
            items.into_iter().map(merge).collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().flatten().collect())
        }
        _ => Err(SyntaxError { at, message: "<< merges mappings only".to_owned() }),
    }
}

fn place(marker: &Marker) -> Location {
    Location { line: marker.line().max(1), column: marker.col() + 1 }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match core {
        Some("str") => return Value::Text(text.to_owned()),
        None if style != ScalarStyle::Plain => return Value::Text(text.to_owned()),
        _ => {}
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number)
}

/// A number as YAML 1.1 writes it, as far as JSON can hold it.
fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let digits = unsigned.replace('_', "");
    let radix =
        |prefix: &str, radix| digits.strip_prefix(prefix).and_then(|rest| i64::from_str_radix(rest, radix).ok());
    let octal =
        || (digits.len() > 1 && digits.starts_with('0')).then(|| i64::from_str_radix(&digits[1..], 8).ok()).flatten();
    let negative = text.starts_with('-');
    if let Some(value) = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8)).or_else(octal) {
        return Some(Number::from(if negative { -value } else { value }));
    }
    let signed = if negative { format!("-{digits}") } else { digits.clone() };
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Ok(value) = signed.parse::<i64>() {
            return Some(Number::from(value));
        }
        return signed.parse::<u64>().map(Number::from).ok().or_else(|| signed.parse().ok().and_then(Number::from_f64));
    }
    // The number must look like one of YAML's: what Rust also reads ("1e", "infinity") is text.
    let shape = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    shape.then(|| signed.parse().ok().and_then(Number::from_f64)).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => json!(value),
            Value::Number(value) => json!(value),
            Value::Text(value) => json!(value),
            Value::List(items) => items.iter().map(json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node))).collect(),
        }
    }

    #[test]
    fn values_are_those_of_kubectl() {
        for (text, expected) in [
            ("a: 1\nb: [x, 'y', \"z\"]", json!({"a": 1, "b": ["x", "y", "z"]})),
            ("a: yes\nb: 'yes'\nc: off", json!({"a": true, "b": "yes", "c": false})),
            ("a: ~\nb:\nc: null\nd: ''", json!({"a": null, "b": null, "c": null, "d": ""})),
            ("a: 010\nb: 0x10\nc: 1_000\nd: -5\ne: +5", json!({"a": 8, "b": 16, "c": 1000, "d": -5, "e": 5})),
            (
                "a: 1.5\nb: 1e3\nc: 1.2.3\nd: 2026-11-21\ne: 128Mi\nf: .",
                json!({"a": 1.5, "b": 1000.0, "c": "1.2.3", "d": "2026-11-21", "e": "128Mi", "f": "."}),
            ),
            ("a: !!str 5\nb: !!int '5'", json!({"a": "5", "b": 5})),
            ("a: &x {k: 1}\nb: *x\nc: {<<: *x, j: 2}", json!({"a": {"k": 1}, "b": {"k": 1}, "c": {"j": 2, "k": 1}})),
            ("{\"a\": [1, true, null]}", json!({"a": [1, true, null]})),
            ("a: \"*/15 * * * *\"\nb: |\n  two\n  lines\n", json!({"a": "*/15 * * * *", "b": "two\nlines\n"})),
            ("a: 18446744073709551615", json!({"a": u64::MAX})),
        ] {
            let documents = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(documents.iter().map(json).collect::<Vec<_>>(), vec![expected], "{text}");
        }
    }

    #[test]
    fn documents_are_counted_and_bad_text_is_located() {
        assert_eq!(parse("").map(|all| all.len()), Ok(0));
        assert_eq!(parse("# nothing\n").map(|all| all.len()), Ok(0));
        assert_eq!(parse("\u{feff}a: 1\n---\nb: 2\n---\n# none\n").map(|all| all.len()), Ok(3));
        for (text, line, part) in [
            ("a: 1\na: 2", 2, "twice"),
            ("a:\n  - b\n c: 1", 3, "no YAML"),
            ("a: [1, 2", 2, "no YAML"),
            ("a: *nowhere", 1, "no YAML"),
            ("? [a]\n: 1", 1, "key"),
            ("a: &a [*a]", 1, "inside the value"),
            ("a: {<<: 5}", 1, "merges"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(part), "{text}: {error}");
            assert_eq!(error.at.line, line, "{text}: {error}");
        }
    }

    #[test]
    fn depth_and_expansion_are_bounded() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&deep(90)).is_ok());
        assert!(parse(&deep(150)).expect_err("deep").message.contains("nested"));
        // The parser has a bound of its own for flow collections.
        assert!(parse(&deep(100_000)).is_err());
        let mut tall = "a0: &a0 [x]\n".to_owned();
        for i in 1..200 {
            tall.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        assert!(parse(&tall).expect_err("tall").message.contains("nested"));
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
            laughs.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        assert!(parse(&laughs).expect_err("laughs").message.contains("more than"));
        // Few values, and each is long: 12 MB of text were 12 GB.
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 12_000].join(", "));
        assert!(parse(&long).expect_err("long").message.contains("32 MiB of text"));
        // Anchors around anchors: each keeps a copy of all that is inside.
        let nested = format!(
            "{}{}{}",
            (0..90).map(|i| format!("&n{i} [")).collect::<String>(),
            "x, ".repeat(50_000),
            "]".repeat(90)
        );
        assert!(parse(&nested).expect_err("nested").message.contains("more than 1000000 values"));
        // A million keys are compared with each other once, not each with all before it.
        let wide: String = (0..300_000).map(|i| format!("k{i}: 1\n")).collect();
        assert!(parse(&wide).is_ok());
        let fits = format!("a: &a {}\nb: *a\n", "x".repeat(1 << 20));
        assert!(parse(&fits).is_ok());
    }

    #[test]
    fn a_path_finds_its_line() {
        let node = &parse("spec:\n  source:\n    bucket: raw\n  schema:\n    columns:\n    - name: a\n    - name: b\n      type: utf8\n")
            .unwrap()[0];
        for (path, line) in [
            ("spec.source.bucket", 3),
            ("spec.source.format", 2),
            ("spec.schema.columns[1].type", 8),
            ("spec.schema.columns[1].from", 7),
            ("spec.schema.columns[7].from", 5),
            ("spec", 1),
            ("", 1),
        ] {
            assert_eq!(node.place_of(path).line, line, "{path}");
        }
    }
}
