//! One sync's line on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::pace::Pace;
use super::{View, line};
use crate::telemetry;

/// A bar under the others.
pub fn new(title: &str) -> ProgressBar {
    let bar = telemetry::screen().add(ProgressBar::no_length());
    bar.set_style(style("{spinner} {prefix}  {msg}"));
    bar.set_prefix(title.to_owned());
    bar
}

/// Draws what `view` shows.
pub fn update(bar: &ProgressBar, view: &View, pace: &Pace) {
    if view.bytes_total > 0 && bar.length() != Some(view.bytes_total) {
        bar.set_style(style("{spinner} {prefix}  [{bar:10}]  {wide_msg}"));
        bar.set_length(view.bytes_total);
    }
    bar.set_position(view.bytes_done);
    bar.set_message(line::text(view, pace));
    bar.tick();
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the templates above are well formed");
    style.progress_chars("=> ").tick_chars("|/-\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_follows_its_view_into_the_next_epoch() {
        let bar = new("default/orders");
        let mut view = View { step: "planning", ..View::default() };
        update(&bar, &view, &Pace::default());
        assert_eq!((bar.length(), bar.message().as_str()), (None, "planning"));
        for (total, done) in [(100, 60), (30, 10)] {
            view = View { step: "reading", objects_total: 1, bytes_total: total, bytes_done: done, ..view };
            update(&bar, &view, &Pace::default());
            assert_eq!((bar.length(), bar.position()), (Some(total), done));
        }
        assert_eq!(bar.message(), "reading, 10 B of 30 B, 0 of 1 object, 0 rows");
        bar.finish_and_clear();
    }
}
