//! `_rescued_data`: what did not fit, as one JSON object a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};

/// The rescued values of one batch, by row.
#[derive(Debug, Default)]
pub(super) struct Rescued {
    rows: BTreeMap<usize, String>,
}

impl Rescued {
    /// Adds a text, which becomes a JSON string.
    pub(super) fn text(&mut self, row: usize, column: &str, text: &str) {
        self.json(row, column, &quoted(text));
    }

    /// Adds a value that is JSON already.
    pub(super) fn json(&mut self, row: usize, column: &str, value: &str) {
        let object = self.rows.entry(row).or_default();
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(&quoted(column));
        object.push(':');
        object.push_str(value);
    }

    /// The column for a batch of so many rows: null where everything fitted.
    pub(super) fn into_array(self, rows: usize) -> ArrayRef {
        let mut builder = StringBuilder::new();
        let mut next = 0;
        for (row, mut object) in self.rows {
            builder.append_nulls(row - next);
            object.push('}');
            builder.append_value(object);
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
        let array = rescued.into_array(5);
        let rows: Vec<Option<&str>> = array.as_string::<i32>().iter().collect();
        assert_eq!(
            rows,
            [
                None,
                Some(r#"{"a\"":"x\ny","c":""}"#),
                None,
                Some(r#"{"b":[1]}"#),
                None
            ]
        );
    }
}
