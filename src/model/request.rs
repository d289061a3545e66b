//! What one run is asked for beside what its spec says: objects of a window, objects once more.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::object::Object;
use super::settings::Settings;

/// A run that is asked for. However often it is begun, under one id it reads what it is about once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Nobody else's: 32 hexadecimal digits. The run's id, too.
    pub id: String,
    /// What it is about.
    #[serde(flatten)]
    pub asked: Asked,
}

/// What is asked for. The words are those of the resource and, with hyphens, of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Of all that the spec selects, this; the rest is for other runs.
    #[serde(default)]
    pub window: Window,
    /// Whether objects that the ledger knows as read are read once more.
    #[serde(default)]
    pub reread: bool,
}

/// Half-open ranges, over keys and over times of last modification. An object must lie in both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The first key, itself included; keys are ordered by their UTF-8 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_key: Option<String>,
    /// The first key that is out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_key: Option<String>,
    /// The first time, itself included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_from: Option<Timestamp>,
    /// The first time that is out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_to: Option<Timestamp>,
}

/// What the cursor keeps of the last request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMark {
    /// [`Request::id`].
    pub id: String,
    /// The epoch that was recorded last when its first plan was made: a version that was read in a later one is done.
    pub since: u64,
    /// Whether it is complete: begun once more, it does nothing.
    #[serde(default)]
    pub ended: bool,
    /// When it was complete, for people. `None` before, and of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl Asked {
    /// Whether it is no more than any run does.
    pub fn is_plain(&self) -> bool {
        *self == Asked::default()
    }

    /// What keeps it from being run under these settings, as the rest of a sentence that begins with the sync.
    ///
    /// # Errors
    /// A window with Replace, and a window that nothing can lie in.
    pub fn check(&self, settings: &Settings) -> Result<(), String> {
        if !settings.destination.write_mode.takes_window() && !self.window.is_open() {
            return Err(
                "destination.writeMode Replace keeps what one run reads and drops the rest, so a window would drop what lies outside: \
                        leave the window out (reread alone writes everything anew), or sync what is wanted under another name with Append"
                    .to_owned(),
            );
        }
        self.window.check()
    }
}

impl Window {
    /// Bytes of a key, and so of an end of a window (S3 user guide, "Object key names").
    pub const KEY_BYTES_MAX: usize = 1024;

    /// Whether everything lies in it.
    pub fn is_open(&self) -> bool {
        *self == Window::default()
    }

    /// Whether an object lies in it.
    pub fn holds(&self, object: &Object) -> bool {
        let from_time = self.modified_from.is_none_or(|from| object.last_modified >= from);
        let to_time = self.modified_to.is_none_or(|to| object.last_modified < to);
        from_time
            && to_time
            && self.from_key.as_ref().is_none_or(|from| object.key >= *from)
            && !self.ends_before(&object.key)
    }

    /// Whether this key, and so every later one, is out.
    pub fn ends_before(&self, key: &str) -> bool {
        self.to_key.as_deref().is_some_and(|to| key >= to)
    }

    /// A text after which a listing may begin: before the first key, and so close that few keys lie between. A listing
    /// begins *after* a key, and the window with one. Of ASCII where the key is, since some servers say it back in XML.
    pub fn starts_after(&self) -> Option<String> {
        let mut before = self.from_key.clone()?;
        match before.pop()? {
            // What is shorter comes before, and nothing lies between.
            '\0' => {}
            last => {
                before.push(char::from_u32(last as u32 - 1).unwrap_or('\u{D7FF}'));
                before.push('~');
            }
        }
        Some(before)
    }

    /// What is wrong with it, whatever it is a window of.
    ///
    /// # Errors
    /// An end that is longer than any key, and a window that nothing can lie in.
    pub fn check(&self) -> Result<(), String> {
        for (field, key) in [("fromKey", &self.from_key), ("toKey", &self.to_key)] {
            if let Some(bytes) = key.as_ref().map(String::len).filter(|bytes| *bytes > Self::KEY_BYTES_MAX) {
                let max = Self::KEY_BYTES_MAX;
                return Err(format!(
                    "{field} of the window has {bytes} bytes, and no key has more than {max}: write the beginning of a key"
                ));
            }
        }
        let empty =
            |from: &str, to: &str, what: &str| Err(format!("the window is empty: {from} is not before {to}; {what}"));
        match (&self.from_key, &self.to_key) {
            (Some(from), Some(to)) if from >= to => {
                return empty(
                    &format!("fromKey {from:?}"),
                    &format!("toKey {to:?}"),
                    "keys are ordered byte by byte, and toKey itself is out",
                );
            }
            _ => {}
        }
        match (self.modified_from, self.modified_to) {
            (Some(from), Some(to)) if from >= to => {
                empty(&format!("modifiedFrom {from}"), &format!("modifiedTo {to}"), "modifiedTo itself is out")
            }
            _ => Ok(()),
        }
    }
}

/// As a part of a sentence: `keys from "a" to "b", modified from 2026-01-01T00:00:00Z`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |what: &str, from: Option<String>, to: Option<String>| {
            let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            (!from.is_empty() || !to.is_empty()).then(|| format!("{what}{from}{to}"))
        };
        let quoted = |key: &Option<String>| key.as_ref().map(|key| format!("{key:?}"));
        let told = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let keys = range("keys", quoted(&self.from_key), quoted(&self.to_key));
        let times = range("modified", told(self.modified_from), told(self.modified_to));
        f.write_str(&keys.into_iter().chain(times).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::fixtures::{object, settings};
    use crate::model::write_mode::WriteMode;

    fn keys(from: Option<&str>, to: Option<&str>) -> Window {
        Window { from_key: from.map(str::to_owned), to_key: to.map(str::to_owned), ..Window::default() }
    }

    fn times(from: Option<&str>, to: Option<&str>) -> Window {
        let time = |text: &str| text.parse().unwrap();
        Window { modified_from: from.map(time), modified_to: to.map(time), ..Window::default() }
    }

    #[test]
    fn a_window_is_half_open() {
        let at = |key: &str, time: &str| Object { last_modified: time.parse().unwrap(), ..object(key, "e") };
        let day = |day| format!("2026-01-0{day}T00:00:00Z");
        for (window, key, time, expected) in [
            (Window::default(), "a", day(1), true),
            (keys(Some("b"), None), "a", day(1), false),
            (keys(Some("b"), None), "b", day(1), true),
            (keys(None, Some("b")), "a~", day(1), true),
            (keys(None, Some("b")), "b", day(1), false),
            (keys(Some("a/"), Some("a0")), "a/é", day(1), true),
            (times(Some(&day(2)), Some(&day(3))), "a", day(1), false),
            (times(Some(&day(2)), Some(&day(3))), "a", day(2), true),
            (times(Some(&day(2)), Some(&day(3))), "a", day(3), false),
            (Window { from_key: Some("b".into()), ..times(Some(&day(2)), None) }, "a", day(2), false),
            (Window { from_key: Some("b".into()), ..times(Some(&day(2)), None) }, "b", day(1), false),
            (Window { from_key: Some("b".into()), ..times(Some(&day(2)), None) }, "b", day(2), true),
        ] {
            assert_eq!(window.holds(&at(key, &time)), expected, "{key} {time} in {window}");
        }
    }

    #[test]
    fn windows_that_cannot_be_run_are_refused() {
        let (append, mut replace) = (settings(), settings());
        replace.destination.write_mode = WriteMode::Replace;
        let check =
            |settings: &Settings, window: &Window, reread| Asked { window: window.clone(), reread }.check(settings);
        assert_eq!(check(&append, &keys(Some("a"), Some("b")), true), Ok(()));
        assert_eq!(check(&replace, &Window::default(), true), Ok(()));
        let long = "é".repeat(512);
        assert_eq!(check(&append, &keys(Some(&long), None), false), Ok(()));
        let longer = long + "a";
        for (settings, window, expected) in [
            (
                &append,
                keys(Some(&longer), None),
                "fromKey of the window has 1025 bytes, and no key has more than 1024: write the beginning",
            ),
            (&append, keys(None, Some(&longer)), "toKey of the window has 1025 bytes"),
            (
                &replace,
                keys(Some("a"), None),
                "destination.writeMode Replace keeps what one run reads and drops the rest",
            ),
            (
                &append,
                keys(Some("b"), Some("b")),
                "the window is empty: fromKey \"b\" is not before toKey \"b\"; keys are ordered byte by byte",
            ),
            (
                &append,
                times(Some("2026-01-02T00:00:00Z"), Some("2026-01-01T00:00:00Z")),
                "the window is empty: modifiedFrom 2026-01-02T00:00:00Z is not before modifiedTo 2026-01-01T00:00:00Z; modifiedTo itself is out",
            ),
        ] {
            let refused = check(settings, &window, false).unwrap_err();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn a_window_says_what_it_holds() {
        let both = Window { to_key: Some("b".into()), ..times(Some("2026-01-01T00:00:00Z"), None) };
        assert_eq!(both.to_string(), "keys to \"b\", modified from 2026-01-01T00:00:00Z");
        assert_eq!(keys(Some("a"), Some("b")).to_string(), "keys from \"a\" to \"b\"");
    }

    #[test]
    fn what_is_asked_is_frozen() {
        let text = r#"{"id":"1f","window":{"fromKey":"a","modifiedTo":"2026-01-02T00:00:00Z"},"reread":true}"#;
        let window = Window { from_key: Some("a".into()), ..times(None, Some("2026-01-02T00:00:00Z")) };
        let request = Request { id: "1f".into(), asked: Asked { window, reread: true } };
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        assert!(serde_json::from_str::<Request>(r#"{"id":"1f"}"#).unwrap().asked.is_plain());
        let mark = RequestMark { id: "1f".into(), since: 7, ended: false, ended_at: None };
        let text = r#"{"id":"1f","since":7,"ended":false}"#;
        assert_eq!(serde_json::to_string(&mark).unwrap(), text);
        assert_eq!(serde_json::from_str::<RequestMark>(text).unwrap(), mark, "of an earlier release");
        let ended = RequestMark { ended: true, ended_at: Some("2026-01-02T00:00:00Z".parse().unwrap()), ..mark };
        let text = r#"{"id":"1f","since":7,"ended":true,"endedAt":"2026-01-02T00:00:00Z"}"#;
        assert_eq!(serde_json::to_string(&ended).unwrap(), text);
    }

    proptest! {
        #[test]
        fn a_listing_begins_before_every_key_of_the_window(from in "\\PC{1,4}", key in "\\PC{1,4}") {
            let after = keys(Some(&from), None).starts_after().unwrap();
            prop_assert!(after < from, "{after:?}");
            prop_assert!(key < from || key > after);
        }
    }

    #[test]
    fn a_listing_begins_close_to_the_window() {
        for (from, expected) in
            [("data/2024-05", "data/2024-04~"), ("a/", "a.~"), ("a\0", "a"), ("\u{E000}", "\u{D7FF}~")]
        {
            assert_eq!(keys(Some(from), None).starts_after().as_deref(), Some(expected));
        }
        assert_eq!((keys(None, Some("b")).starts_after(), keys(Some(""), None).starts_after()), (None, None));
    }
}
