//! `_rescued_data`: what did not fit, as one JSON object a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};

/// The rescued values of one batch, by row.
#[derive(Debug, Default)]
pub(super) struct Rescued {
    /// Members by row: column and JSON text.
    rows: BTreeMap<usize, Vec<(String, String)>>,
}

impl Rescued {
    /// Adds a text, which becomes a JSON string.
    pub(super) fn text(&mut self, row: usize, column: &str, text: &str) {
        self.json(row, column, &quoted(text));
    }

    /// Adds a value that is JSON already.
    pub(super) fn json(&mut self, row: usize, column: &str, value: &str) {
        self.rows.entry(row).or_default().push((column.to_owned(), value.to_owned()));
    }

    /// Takes back a column's value: a later one counts.
    pub(super) fn forget(&mut self, row: usize, column: &str) {
        if let Some(members) = self.rows.get_mut(&row) {
            members.retain(|(name, _)| name != column);
        }
    }

    /// Takes back a row.
    pub(super) fn undo(&mut self, row: usize) {
        self.rows.remove(&row);
    }

    /// The column for a batch of so many rows: null where everything fitted.
    pub(super) fn into_array(self, rows: usize) -> ArrayRef {
        let mut builder = StringBuilder::new();
        let mut next = 0;
        for (row, members) in self.rows {
            if members.is_empty() {
                continue;
            }
            builder.append_nulls(row - next);
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
            builder.append_value(format!("{{{}}}", members.join(",")));
            next = row + 1;
        }
        builder.append_nulls(rows - next);
        Arc::new(builder.finish())
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn a_row_has_one_object() {
        let mut rescued = Rescued::default();
        rescued.text(1, "a\"", "x\ny");
        rescued.json(3, "b", "[1]");
        rescued.text(1, "c", "");
        rescued.text(3, "b", "again");
        rescued.forget(3, "b");
        rescued.json(3, "b", "[1]");
        rescued.text(4, "x", "bad");
        rescued.undo(4);
        let array = rescued.into_array(5);
        let rows: Vec<Option<&str>> = array.as_string::<i32>().iter().collect();
        assert_eq!(rows, [None, Some(r#"{"a\"":"x\ny","c":""}"#), None, Some(r#"{"b":[1]}"#), None]);
    }
}
