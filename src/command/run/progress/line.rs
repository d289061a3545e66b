//! A run's progress as text: the same words on a bar and in a log line.

use super::View;
use super::pace::Pace;
use crate::command::render::{bytes, count, counted, seconds};

/// Everything, what matters most first, because a narrow terminal cuts the rest: `reading, 1.00 MiB of 4.00 MiB, 512
/// KiB/s, 6s left, 3 of 12 objects, 1,234 rows`.
pub fn text(view: &View, pace: &Pace) -> String {
    let mut parts = vec![view.step.to_owned()];
    if view.objects_total > 0 {
        parts.push(format!("{} of {}", bytes(view.bytes_done), bytes(view.bytes_total)));
        let rest = view.bytes_total.saturating_sub(view.bytes_done);
        if rest > 0 && pace.bytes_per_second() > 0 {
            parts.push(format!("{}/s", bytes(pace.bytes_per_second())));
            parts.extend(pace.seconds_for(rest).map(|left| format!("{} left", seconds(left))));
        }
        parts.push(format!("{} of {}", count(view.objects_done), counted(view.objects_total, "object")));
        parts.push(counted(view.rows, "row"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(view: View, speed: u64, expected: &str) {
        let mut pace = Pace::default();
        pace.observe(Duration::ZERO, 0);
        pace.observe(Duration::from_secs(1), speed);
        assert_eq!(text(&view, &pace), expected);
    }

    #[test]
    fn a_line_says_what_is_known() {
        check(View { step: "planning", ..View::default() }, 0, "planning");
        let reading = View {
            step: "reading",
            epoch: 2,
            objects_done: 3,
            objects_total: 12,
            bytes_done: 1 << 20,
            bytes_total: 4 << 20,
            rows: 1234,
        };
        check(reading.clone(), 0, "reading, 1.00 MiB of 4.00 MiB, 3 of 12 objects, 1,234 rows");
        check(
            reading.clone(),
            512 << 10,
            "reading, 1.00 MiB of 4.00 MiB, 512 KiB/s, 6s left, 3 of 12 objects, 1,234 rows",
        );
        let read = View { step: "publishing", objects_done: 12, bytes_done: 4 << 20, ..reading };
        check(read, 512 << 10, "publishing, 4.00 MiB of 4.00 MiB, 12 of 12 objects, 1,234 rows");
    }
}
