//! Text that others wrote (a server's message, a line of a log), as people may see it: without control characters,
//! without credentials, of bounded length. The one filter for all of it.

use std::borrow::Cow;
use std::collections::VecDeque;

/// What stands in a credential's place.
const HIDDEN: &str = "***";

/// Shorter values hide nothing: they are words, and a message without its words helps nobody. No service gives out a
/// secret this short; MinIO refuses them.
const SECRET_BYTES_MIN: usize = 8;

/// Values that are known at once: a manifest's few, and those of sessions that were renewed. The oldest go first: those
/// have expired.
const SECRETS_MAX: usize = 4096;

/// Values that no text may show.
#[derive(Default)]
pub struct Secrets(VecDeque<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// None.
    pub const fn new() -> Secrets {
        Secrets(VecDeque::new())
    }

    /// Hides this value from now on, also as it stands in a URL.
    pub fn add(&mut self, value: &str) {
        let value = value.trim();
        for text in [value.to_owned(), in_url(value)] {
            if value.len() < SECRET_BYTES_MIN || self.0.contains(&text) {
                continue;
            }
            if self.0.len() == SECRETS_MAX {
                self.0.pop_front();
            }
            self.0.push_back(text);
        }
    }

    /// The text with `***` in place of each value, and of values that overlap together.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.0.iter().flat_map(|secret| text.match_indices(secret.as_str()));
        let mut ranges: Vec<(usize, usize)> = found.map(|(at, secret)| (at, at + secret.len())).collect();
        if ranges.is_empty() {
            return Cow::Borrowed(text);
        }
        ranges.sort_unstable();
        let (mut shown, mut seen) = (String::with_capacity(text.len()), 0);
        for (start, end) in ranges {
            if start >= seen {
                shown.push_str(&text[seen..start]);
                shown.push_str(HIDDEN);
            }
            seen = seen.max(end);
        }
        shown.push_str(&text[seen..]);
        Cow::Owned(shown)
    }
}

/// A value with everything but letters, digits and `-._~` as `%XX`.
fn in_url(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The text on one line, without control characters and without `secrets`, at most so many bytes long. Values are
/// hidden before anything is cut, so that no half of one is left, and after control characters are gone, which could
/// stand inside of one.
pub fn shown(text: &str, secrets: &Secrets, bytes_max: usize) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => plain.push(' '),
            other if is_unseen(other) => {}
            other => plain.push(other),
        }
    }
    cut(&secrets.hide(&plain), bytes_max)
}

/// Whether a character commands a terminal or turns the order of others, instead of being seen.
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most so many bytes of a text, in whole characters; `…` says that more was there.
pub fn cut(text: &str, bytes_max: usize) -> String {
    const MORE: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}{MORE}", &text[..text.floor_char_boundary(bytes_max.saturating_sub(MORE.len()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::new();
        values.iter().for_each(|value| secrets.add(value));
        secrets
    }

    #[test]
    fn whole_characters_are_kept() {
        for (text, expected) in
            [("short", "short"), ("exactly10!", "exactly10!"), ("eleven char", "eleven …"), ("ééééééé", "ééé…")]
        {
            assert_eq!(cut(text, 10), expected);
        }
    }

    #[test]
    fn what_others_wrote_is_plain_bounded_and_without_secrets() {
        let known = secrets(&["a/very+secret=", "secret-of-a-role", "role-of-many-names", "minio", ""]);
        for (text, expected) in [
            ("plain words", "plain words"),
            ("two\nlines\r\nand a \u{1b}[31mred\u{7} word", "two lines  and a [31mred word"),
            ("the key is a/very+secret=.", "the key is ***."),
            ("https://host/?token=a%2Fvery%2Bsecret%3D&x=1", "https://host/?token=***&x=1"),
            ("a/very\u{0}+sec\u{202e}ret=", "***"),
            ("secret-of-a-role-of-many-names!", "***!"),
            ("http://minio:9000 is a place", "http://minio:9000 is a place"),
            ("a/very+secret=a/very+secret=", "******"),
            ("ünï\u{2028}cödé", "ünï cödé"),
        ] {
            assert_eq!(shown(text, &known, 1024), expected, "{text:?}");
        }
        // Cut first, the half of it would stand there.
        assert_eq!(shown("0123456789 a/very+secret=", &known, 20), "0123456789 ***");
        assert_eq!(shown(&"x".repeat(1 << 20), &known, 256).len(), 256);
    }

    #[test]
    fn as_many_secrets_are_known_as_fit() {
        let mut known = Secrets::new();
        (0..2 * SECRETS_MAX).for_each(|n| known.add(&format!("session-{n:06}")));
        assert_eq!(known.0.len(), SECRETS_MAX);
        assert_eq!(known.hide(&format!("session-{:06}", 2 * SECRETS_MAX - 1)), HIDDEN);
    }

    proptest::proptest! {
        #[test]
        fn no_text_shows_a_secret(before in ".{0,40}", secret in "[A-Za-z0-9/+=]{8,40}", after in ".{0,40}", bytes_max in 3..100_usize) {
            let text = shown(&format!("{before}{secret}{after}{secret}"), &secrets(&[&secret]), bytes_max);
            proptest::prop_assert!(!text.contains(&secret) && text.len() <= bytes_max && !text.contains(is_unseen), "{text:?}");
        }
    }
}
