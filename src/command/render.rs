//! How results look: numbers for people, tables in the manner of kubectl, and one document for programs.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::Output;
use crate::command::CommandError;
use crate::model::shown::is_unseen;

/// How a column of a table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A count with its thousands apart: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and what is counted: `1 object`, `2 objects`.
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Bytes in powers of 1,024, with three significant digits: `512 B`, `1.21 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    // What would be rounded to 1,024 belongs to the next unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    // The limits are where rounding would give a fourth digit.
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Whole seconds as a person says them: `9s`, `1m05s`, `2h03m`.
pub fn seconds(number: u64) -> String {
    match number {
        0..60 => format!("{number}s"),
        60..3600 => format!("{}m{:02}s", number / 60, number % 60),
        _ => format!("{}h{:02}m", number / 3600, number % 3600 / 60),
    }
}

/// A time to the second, as a listing shows it: `2024-01-31T10:00:00Z`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Text from outside (keys) on one line, with control characters escaped: a key may hold a terminal's commands, and is
/// still to be told from its neighbour.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unseen(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A table with a heading and no lines, as kubectl prints them: what a person reads and `awk` can split.
pub fn table<const N: usize>(heading: [(&str, Align); N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(heading.map(|(name, _)| name));
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    for (column, (_, align)) in table.column_iter_mut().zip(heading) {
        column.set_padding((0, 2));
        column.set_cell_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Columns of the terminal that stdout is; `None`: it is none, and who reads it cuts for themselves.
pub fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// A table whose last column is cut at the terminal's edge, but for the `least` columns of it that are always shown.
pub fn cut(table: &str, width: Option<usize>, least: usize) -> String {
    let Some(width) = width else { return table.to_owned() };
    let last = table.lines().next().and_then(|heading| heading.rfind("  ")).map_or(0, |at| at + 2);
    let most = width.max(last + least);
    let lines = table.lines().map(|line| match line.char_indices().nth(most) {
        None => format!("{line}\n"),
        Some(_) => line.chars().take(most - 1).chain("…\n".chars()).collect(),
    });
    lines.collect()
}

/// The result as asked for; `people` renders it when a table was.
pub fn document<T: Serialize>(
    output: Output,
    value: &T,
    people: impl FnOnce(&T) -> String,
) -> Result<String, CommandError> {
    match output {
        Output::Table => Ok(people(value)),
        Output::Json | Output::Yaml => crate::command::document(value, output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), expected);
        }
        assert_eq!((counted(1, "row"), counted(0, "row")), ("1 row".into(), "0 rows".into()));
        for (number, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10_234, "9.99 KiB"),
            (10_239, "10.0 KiB"),
            (1_048_575, "1.00 MiB"),
            (1_268_776, "1.21 MiB"),
            (128 << 20, "128 MiB"),
            (64 << 30, "64.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), expected, "{number}");
        }
        assert_eq!(time("2024-01-31T10:00:00.123456789Z".parse().unwrap()), "2024-01-31T10:00:00Z");
        for (number, expected) in
            [(0, "0s"), (59, "59s"), (60, "1m00s"), (65, "1m05s"), (3599, "59m59s"), (7380, "2h03m")]
        {
            assert_eq!(seconds(number), expected);
        }
    }

    #[test]
    fn the_last_column_is_cut_at_the_terminals_edge() {
        let rows =
            [["orders".to_owned(), "a sentence of some length".to_owned()], ["x".to_owned(), "short".to_owned()]];
        let text = table([("KEY", Align::Left), ("MESSAGE", Align::Left)], rows);
        assert_eq!(cut(&text, None, 10), text);
        assert_eq!(cut(&text, Some(200), 10), text);
        assert_eq!(cut(&text, Some(20), 10), "KEY     MESSAGE\norders  a sentence …\nx       short\n");
        // A terminal that is narrower than the other columns folds the line rather than say nothing.
        assert_eq!(cut(&text, Some(4), 10), "KEY     MESSAGE\norders  a sentenc…\nx       short\n");
    }

    #[test]
    fn a_table_stands_in_columns_and_on_one_line_each() {
        let rows = [["a\u{1b}[2Jb\nc".to_owned(), "7".to_owned()], ["orders".to_owned(), "12,345".to_owned()]];
        let text = table([("KEY", Align::Left), ("ROWS", Align::Right)], rows);
        assert_eq!(text, "KEY               ROWS\na\\u{1b}[2Jb\\nc       7\norders          12,345\n");
    }
}
