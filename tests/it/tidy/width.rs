//! How wide a line of Rust is without what its strings hold: a sentence is searched for, so it is not broken.

/// Columns of a line.
pub const COLUMNS_MAX: usize = 120;

/// Where a scan of a text stands.
enum At {
    Code,
    Comment,
    Text,
    /// A raw text, and what ends it.
    Raw(String),
}

/// The columns of each line, less what stands in text literals.
pub fn columns(text: &str) -> Vec<usize> {
    let mut lines = vec![0];
    let mut at = At::Code;
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        // How far the scan goes, and whether that counts.
        let (step, counts) = match &at {
            _ if c == '\n' => {
                if matches!(at, At::Comment) {
                    at = At::Code;
                }
                lines.push(0);
                (1, false)
            }
            At::Comment => (c.len_utf8(), true),
            At::Code if rest.starts_with("//") => {
                at = At::Comment;
                (2, true)
            }
            At::Code => match literal(rest, before) {
                Some((begins, inside)) => {
                    at = inside;
                    (begins, true)
                }
                None => (c.len_utf8(), true),
            },
            // A backslash before a line's end is followed by that end.
            At::Text if c == '\\' => (if rest[1..].starts_with('\n') { 1 } else { 1 + width(&rest[1..]) }, false),
            At::Text if c == '"' => {
                at = At::Code;
                (1, true)
            }
            At::Raw(end) if rest.starts_with(end.as_str()) => {
                let step = end.len();
                at = At::Code;
                (step, true)
            }
            At::Text | At::Raw(_) => (c.len_utf8(), false),
        };
        if counts {
            *lines.last_mut().expect("there is a line") += rest[..step].chars().count();
        }
        before = c;
        rest = &rest[step..];
    }
    lines
}

/// The literal that begins here: its first bytes, and what follows them.
fn literal(rest: &str, before: char) -> Option<(usize, At)> {
    let prefix = rest.strip_prefix('b').unwrap_or(rest);
    if let Some(raw) = prefix.strip_prefix('r').filter(|_| !before.is_alphanumeric() && before != '_') {
        let inside = raw.trim_start_matches('#');
        if inside.starts_with('"') {
            let hashes = "#".repeat(raw.len() - inside.len());
            return Some((rest.len() - inside.len() + 1, At::Raw(format!("\"{hashes}"))));
        }
    }
    if rest.starts_with('"') {
        return Some((1, At::Text));
    }
    // A character, and not a lifetime.
    let quoted = rest.strip_prefix('\'')?;
    let escaped = quoted.starts_with('\\');
    let first = if escaped { 1 + width(&quoted[1..]) } else { width(quoted) };
    let end = if escaped { first + quoted[first..].find('\'')? } else { first };
    quoted[end..].starts_with('\'').then_some((end + 2, At::Code))
}

/// Bytes of the first character.
fn width(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[test]
fn what_stands_between_quotes_does_not_count() {
    for (line, expected) in [
        (r#"let a = "bcd";"#, 11),
        (r#"f("a\"b", '"', '\'', x)"#, 19),
        ("r#\"a\"b\"# + 1", 9),
        ("fn f<'a>(x: &'a str)", 20),
        ("// \"counts\"", 11),
        ("é", 1),
    ] {
        assert_eq!(columns(line), [expected], "{line}");
    }
    assert_eq!(columns("a(\"b \\\n   c\", d)\ne"), [3, 5, 1]);
}
