//! The formats that `/metrics` is served in, and which of them a scraper asks for. PURE.
//!
//! OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>) is what Prometheus asks for by name; the
//! text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>) is what everything that scrapes
//! can read.

use std::collections::BTreeSet;
use std::fmt::Write;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4.
    Text,
}

/// OpenMetrics' media type.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Versions of it that a scraper may ask for and be content with ours: 0.0.1 was the draft's name for the same text.
const OPEN_METRICS_VERSIONS: [&str; 2] = ["1.0.0", "0.0.1"];

impl Exposition {
    /// What a scraper with this `Accept` header gets (RFC 9110, 12.5.1): OpenMetrics where that is asked for by name
    /// and nothing else rather, or else the text that everybody reads. A scraper that takes neither gets the text too,
    /// rather than nothing.
    pub fn asked_for(accept: &str) -> Exposition {
        let ranges = || accept.split(',').map(Range::parse);
        let open_metrics = ranges().filter(Range::is_open_metrics).map(|range| range.quality).max().unwrap_or(0);
        // The most specific range that matches decides.
        let text = ["text/plain", "text/*", "*/*"]
            .iter()
            .find_map(|name| ranges().filter(|range| range.name == *name).map(|r| r.quality).max());
        if open_metrics > 0 && open_metrics >= text.unwrap_or(0) { Exposition::OpenMetrics } else { Exposition::Text }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// OpenMetrics text in this format.
    pub fn of(self, open_metrics: String) -> String {
        match self {
            Exposition::OpenMetrics => open_metrics,
            Exposition::Text => text(&open_metrics),
        }
    }
}

/// One media range of an `Accept` header.
struct Range {
    name: String,
    version: Option<String>,
    /// In thousandths, which is as fine as the header may say.
    quality: u32,
}

impl Range {
    fn parse(text: &str) -> Range {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut version, mut quality) = (None, 1000);
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim().to_ascii_lowercase().as_str() {
                "version" => version = Some(value.trim().trim_matches('"').to_owned()),
                // What is no number is no wish.
                "q" => quality = value.trim().parse::<f64>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32),
                _ => {}
            }
        }
        Range { name, version, quality }
    }

    fn is_open_metrics(&self) -> bool {
        self.name == OPEN_METRICS
            && self.version.as_deref().is_none_or(|version| OPEN_METRICS_VERSIONS.contains(&version))
    }
}

/// The text format differs in this: a counter's HELP and TYPE bear the name of its samples, there are no units and no
/// end.
fn text(open_metrics: &str) -> String {
    let declared = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: BTreeSet<String> = open_metrics.lines().filter_map(declared).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(word @ ("HELP" | "TYPE")), Some(name), rest) => {
                let total = if counters.contains(name) { "_total" } else { "" };
                // A String takes every text.
                let _ = writeln!(text, "# {word} {name}{total} {}", rest.unwrap_or_default());
            }
            (Some("#"), Some("UNIT" | "EOF"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_asks_for() {
        const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                                    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                                    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                                    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (PROMETHEUS_2, Exposition::OpenMetrics),
            (PROMETHEUS_3, Exposition::OpenMetrics),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Exposition::OpenMetrics),
            ("text/plain, application/openmetrics-text", Exposition::OpenMetrics),
            ("", Exposition::Text),
            ("*/*", Exposition::Text),
            ("text/plain; version=0.0.4", Exposition::Text),
            ("text/plain;q=1, application/openmetrics-text;q=0.9", Exposition::Text),
            ("application/openmetrics-text;q=0", Exposition::Text),
            ("application/openmetrics-text;q=0.5, */*", Exposition::Text),
            ("application/openmetrics-text; version=9.0.0", Exposition::Text),
            ("application/json", Exposition::Text),
            (";;q=x,,application/openmetrics-text;q=much", Exposition::Text),
        ] {
            assert_eq!(Exposition::asked_for(accept), expected, "{accept}");
        }
    }

    #[test]
    fn counters_are_declared_by_the_names_of_their_samples() {
        let open_metrics = "\
# HELP looks Looks at resources.
# TYPE looks counter
looks_total 1
# HELP wait_seconds Waits, each of them.
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
wait_seconds_sum 0.5
wait_seconds_bucket{le=\"+Inf\"} 1
# HELP looks_at One that begins alike.
# TYPE looks_at gauge
looks_at{name=\"a # b\"} 2.0
# EOF
";
        let expected = "\
# HELP looks_total Looks at resources.
# TYPE looks_total counter
looks_total 1
# HELP wait_seconds Waits, each of them.
# TYPE wait_seconds histogram
wait_seconds_sum 0.5
wait_seconds_bucket{le=\"+Inf\"} 1
# HELP looks_at One that begins alike.
# TYPE looks_at gauge
looks_at{name=\"a # b\"} 2.0
";
        assert_eq!(Exposition::Text.of(open_metrics.to_owned()), expected);
        assert_eq!(Exposition::OpenMetrics.of(open_metrics.to_owned()), open_metrics);
    }
}
