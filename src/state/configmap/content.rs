//! What a cursor is in a ConfigMap's `data`: the key `cursor`, and for people a key `table.<name>` for each table's
//! mark. Pure.
//!
//! Every other key is somebody else's (`progress.<index>` is the workers') and is neither read nor changed here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::cursor::{Cursor, TableMark};
use crate::state::Version;
use crate::state::wire;

/// The key of the cursor, without its tables.
pub const CURSOR_KEY: &str = "cursor";

/// What the keys of tables begin with.
pub const TABLE_PREFIX: &str = "table.";

/// What the keys of the workers' progress begin with; the worker's index follows.
pub const PROGRESS_PREFIX: &str = "progress.";

/// Where a cursor that made no sense is kept when another takes its place.
pub const ASIDE_KEY: &str = "cursor.nonsense";

/// Names up to this length stand in keys as they are; a ConfigMap's key has at most 253 bytes.
const NAME_BYTES_MAX: usize = 200;

/// What stands for other names: no table is called so, since names hold letters, digits and `_` only.
const HASHED: &str = "sha256-";

/// All marks together take at most this: the API server refuses a ConfigMap of more than 1 MiB, and 1,000 workers'
/// progress stands beside them. Tables that do not fit are shown by `s3sync tables` and stand in the ledger, as do
/// those beyond [`Cursor::TABLES_MAX`].
pub const MARKS_BYTES_MAX: usize = 384 << 10;

/// A ConfigMap's `data`.
pub type Data = BTreeMap<String, String>;

/// A mark as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredMark {
    /// The table, where its key does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(flatten)]
    mark: TableMark,
}

/// Whether a key holds a part of the cursor.
fn is_ours(key: &str) -> bool {
    key == CURSOR_KEY || key.starts_with(TABLE_PREFIX)
}

/// `data` with this cursor in place of the one that it holds; other keys stay.
pub fn with_cursor(data: &Data, cursor: &Cursor) -> Data {
    let mut next: Data =
        data.iter().filter(|(key, _)| !is_ours(key)).map(|(key, text)| (key.clone(), text.clone())).collect();
    let mut value = serde_json::to_value(cursor).expect("a cursor serialises");
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("tables");
    }
    next.insert(CURSOR_KEY.to_owned(), serde_json::to_string_pretty(&value).expect("JSON serialises"));
    let mut free = MARKS_BYTES_MAX;
    for (name, mark) in &cursor.tables {
        let key = table_key(name);
        let hidden = key[TABLE_PREFIX.len()..] != **name;
        let stored = StoredMark { name: hidden.then(|| name.clone()), mark: mark.clone() };
        let text = serde_json::to_string(&stored).expect("a mark serialises");
        match free.checked_sub(key.len() + text.len()) {
            Some(rest) => free = rest,
            None => break,
        }
        next.insert(key, text);
    }
    next
}

/// The cursor that `data` holds: `None` where there never was one, and what is wrong where it makes no sense.
pub fn cursor(data: &Data) -> Result<Option<Cursor>, String> {
    let Some(text) = data.get(CURSOR_KEY) else {
        return match data.keys().find(|key| is_ours(key)) {
            Some(key) => Err(format!("it has a key {key}, but no key {CURSOR_KEY}")),
            None => Ok(None),
        };
    };
    let mut cursor = wire::cursor_from_json(text.as_bytes()).map_err(|error| format!("key {CURSOR_KEY}: {error}"))?;
    for (key, text) in data {
        let Some(name) = key.strip_prefix(TABLE_PREFIX) else { continue };
        let stored: StoredMark = serde_json::from_str(text).map_err(|error| format!("key {key}: {error}"))?;
        cursor.tables.insert(stored.name.unwrap_or_else(|| name.to_owned()), stored.mark);
    }
    Ok(Some(cursor))
}

/// The version of the cursor that `data` holds, whether it makes sense or not; `None` where there is none. Keys of
/// others do not count: the ConfigMap's resourceVersion moves with every worker's progress.
pub fn version(data: &Data) -> Option<Version> {
    let mut hash = Sha256::new();
    let mut found = false;
    for (key, text) in data.iter().filter(|(key, _)| is_ours(key)) {
        found = true;
        for part in [key, text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    found.then(|| Version(hex(&hash.finalize())))
}

/// The key of a table's mark.
fn table_key(name: &str) -> String {
    // What Kubernetes allows in a key: <https://kubernetes.io/docs/concepts/configuration/configmap/>.
    let valid =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if valid && name.len() <= NAME_BYTES_MAX && !name.starts_with(HASHED) {
        return format!("{TABLE_PREFIX}{name}");
    }
    format!("{TABLE_PREFIX}{HASHED}{}", hex(&Sha256::digest(name.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(names: impl IntoIterator<Item = String>) -> Cursor {
        let mark = TableMark {
            last_modified: Some("2024-01-31T10:00:00Z".parse().unwrap()),
            key: "orders/a \"quoted\".csv".into(),
            objects: 3,
            rows: 12,
            bytes: 400,
        };
        let mut cursor = Cursor::empty("abc".into(), 7, "x-y".into());
        cursor.tables = names.into_iter().map(|name| (name, mark.clone())).collect();
        cursor
    }

    fn data(pairs: &[(&str, &str)]) -> Data {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn people_read_it_with_kubectl() {
        let stored = with_cursor(&Data::new(), &marked(["orders".to_owned()]));
        insta::assert_yaml_snapshot!(stored, @r#"
        cursor: "{\n  \"version\": 1,\n  \"stateId\": \"abc\",\n  \"epoch\": 7,\n  \"phase\": \"Idle\",\n  \"run\": null,\n  \"plan\": null,\n  \"decision\": null,\n  \"ledger\": null,\n  \"manifest\": null,\n  \"garbage\": null,\n  \"listedTo\": null,\n  \"specHash\": \"x-y\"\n}"
        table.orders: "{\"lastModified\":\"2024-01-31T10:00:00Z\",\"key\":\"orders/a \\\"quoted\\\".csv\",\"objects\":3,\"rows\":12,\"bytes\":400}"
        "#);
    }

    #[test]
    fn every_name_comes_back_and_keys_are_valid() {
        let names = [
            "orders",
            "with space",
            "Ünïcode",
            "sha256-0011",
            "a.b-c_d",
            &"x".repeat(200),
            &"x".repeat(201),
            &"y".repeat(5000),
        ];
        let cursor_before = marked(names.iter().map(|name| (*name).to_owned()));
        let stored = with_cursor(&Data::new(), &cursor_before);
        assert_eq!(cursor(&stored), Ok(Some(cursor_before)));
        for key in stored.keys() {
            assert!(
                key.len() <= 253 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
                "{key}"
            );
        }
        assert_eq!(table_key("orders"), "table.orders");
        assert_eq!(table_key("with space").len(), "table.sha256-".len() + 64);
    }

    #[test]
    fn keys_of_others_stay_and_do_not_count() {
        let before = data(&[("progress.3", "{}"), ("note", "ours"), ("cursor", "{}"), ("table.gone", "{}")]);
        let stored = with_cursor(&before, &marked(["orders".to_owned()]));
        let keys: Vec<&str> = stored.keys().map(String::as_str).collect();
        assert_eq!(keys, ["cursor", "note", "progress.3", "table.orders"]);
        let mut moved = stored.clone();
        moved.insert("progress.0".into(), "{\"epoch\":1}".into());
        assert_eq!(version(&moved), version(&stored));
        moved.insert("table.orders".into(), "{}".into());
        assert_ne!(version(&moved), version(&stored));
        assert_eq!(version(&data(&[("progress.0", "{}")])), None);
    }

    #[test]
    fn nonsense_is_told_from_nothing() {
        let good = with_cursor(&Data::new(), &marked(["orders".to_owned()]));
        assert_eq!(cursor(&data(&[("progress.0", "{}")])), Ok(None));
        let with = |key: &str, text: &str| {
            let mut data = good.clone();
            data.insert(key.to_owned(), text.to_owned());
            data
        };
        let mut without = good.clone();
        without.remove(CURSOR_KEY);
        for (data, expected) in [
            (with("cursor", ""), "key cursor: EOF"),
            (with("cursor", "{}"), "key cursor: missing field"),
            (
                with("cursor", &good["cursor"].replace("\"version\": 1", "\"version\": 3")),
                "key cursor: it has version 3, this build reads 2",
            ),
            (with("table.orders", "many"), "key table.orders: expected value"),
            (without, "it has a key table.orders, but no key cursor"),
        ] {
            let message = cursor(&data).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
            assert!(version(&data).is_some());
        }
    }

    #[test]
    fn it_stays_far_below_a_config_maps_limit() {
        let mut worst = marked((0..Cursor::TABLES_MAX).map(|number| format!("{number:0>3000}")));
        // A control character takes six bytes in JSON.
        worst.tables.values_mut().for_each(|mark| mark.key = "\u{1}".repeat(120));
        worst.listed_to = Some("\u{1}".repeat(1024));
        let size: usize = with_cursor(&Data::new(), &worst).iter().map(|(key, text)| key.len() + text.len()).sum();
        assert!(size < 512 << 10, "{size}");
        let usual = marked((0..Cursor::TABLES_MAX).map(|number| format!("table_with_a_name_of_some_length_{number}")));
        assert_eq!(cursor(&with_cursor(&Data::new(), &usual)), Ok(Some(usual)));
    }
}
