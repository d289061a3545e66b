//! `Secret` documents that lie beside the syncs: what `secretRef` names when there is no cluster.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::document::{Node, Value};

/// A Secret's keys. `Debug` shows names only.
#[derive(Clone)]
pub struct Secret {
    /// Where it stands, for messages: `file:line`.
    pub place: String,
    values: BTreeMap<String, SecretValue>,
}

#[derive(Clone)]
enum SecretValue {
    /// `stringData`: text with `${VAR}` from the environment.
    Text(String),
    /// `data`: base64.
    Base64(String),
    /// Neither.
    Wrong(&'static str),
}

impl Secret {
    /// Reads `data` and `stringData`; the latter wins, as it does in a cluster.
    pub fn new(document: &Node, place: String) -> Secret {
        let mut values = BTreeMap::new();
        for (field, make) in
            [("data", SecretValue::Base64 as fn(String) -> SecretValue), ("stringData", SecretValue::Text)]
        {
            let Some(Value::Map(entries)) = document.get(field).map(|node| &node.value) else { continue };
            for (key, node) in entries {
                let value = match &node.value {
                    Value::Text(text) => make(text.clone()),
                    Value::Null => make(String::new()),
                    _ => SecretValue::Wrong("is no text; put quotes around it"),
                };
                values.insert(key.clone(), value);
            }
        }
        Secret { place, values }
    }

    /// The value of a key, or why it has none: a message, and whether it is about usage (a variable that is not set)
    /// rather than the Secret.
    pub fn value(&self, key: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, (String, bool)> {
        let wrong = |what: String| (format!("whose {key} ({}) {what}", self.place), true);
        match self.values.get(key) {
            None => Ok(None),
            Some(SecretValue::Wrong(what)) => Err(wrong((*what).to_owned())),
            Some(SecretValue::Text(text)) => expand(text, env).map(Some).map_err(|variable| {
                wrong(format!("needs the environment variable {variable}, which is not set; set it and run again"))
            }),
            Some(SecretValue::Base64(text)) => {
                let bytes: String = text.split_whitespace().collect();
                let bytes = BASE64_STANDARD
                    .decode(bytes)
                    .map_err(|_| wrong("is no base64; plain text belongs under stringData".to_owned()))?;
                // A trailing newline comes from `echo` without -n; it is never part of a key.
                let text = String::from_utf8(bytes).map_err(|_| wrong("is no UTF-8 text".to_owned()))?;
                Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("place", &self.place)
            .field("keys", &self.values.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Puts the environment's value for each `${NAME}`; anything else stays as it is. Fails with the name that is not set.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let name = rest[start + 2..].split('}').next().unwrap_or_default();
        let is_name = name
            .bytes()
            .enumerate()
            .all(|(i, byte)| byte == b'_' || byte.is_ascii_alphabetic() || (i > 0 && byte.is_ascii_digit()));
        let end = start + 2 + name.len();
        expanded.push_str(&rest[..start]);
        if name.is_empty() || !is_name || rest.as_bytes().get(end) != Some(&b'}') {
            expanded.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        expanded.push_str(&env(name).ok_or_else(|| name.to_owned())?);
        rest = &rest[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "AWS_KEY").then(|| "AKIA1".to_owned())
    }

    #[test]
    fn variables_are_expanded() {
        for (text, expected) in [
            ("${AWS_KEY}", Ok("AKIA1")),
            ("a${AWS_KEY}b${AWS_KEY}", Ok("aAKIA1bAKIA1")),
            ("plain $AWS_KEY $$ ${not a name} ${", Ok("plain $AWS_KEY $$ ${not a name} ${")),
            ("${}", Ok("${}")),
            ("${9A}", Ok("${9A}")),
            ("${MISSING}", Err("MISSING")),
        ] {
            assert_eq!(expand(text, &env).as_deref().map_err(String::as_str), expected, "{text}");
        }
    }

    #[test]
    fn both_kinds_of_data_are_read_and_nothing_is_shown() {
        let text = "data: {a: c2VjcmV0Cg==, b: '%%', c: c2VjcmV0}\nstringData: {c: '${AWS_KEY}', d: 5}";
        let secret = Secret::new(&parse(text).unwrap()[0], "s.yaml:1".into());
        assert_eq!(secret.value("a", &env), Ok(Some("secret".into())));
        assert_eq!(secret.value("c", &env), Ok(Some("AKIA1".into())));
        assert_eq!(secret.value("x", &env), Ok(None));
        assert!(secret.value("b", &env).unwrap_err().0.contains("no base64"));
        assert!(secret.value("d", &env).unwrap_err().0.contains("no text"));
        assert_eq!(format!("{secret:?}"), r#"Secret { place: "s.yaml:1", keys: ["a", "b", "c", "d"] }"#);
    }
}
