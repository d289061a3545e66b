//! Log lines: tracing events to stderr, as text or JSON. Results never go through here; they go to stdout.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::{LogArgs, LogFormat};
use crate::store::secrets;

/// A filter in the syntax of `tracing_subscriber::EnvFilter`; it wins over `-v`.
pub const FILTER_VARIABLE: &str = "S3SYNC_LOG";

/// Installs the process's subscriber, which writes to stderr. A second call changes nothing.
pub fn install(args: &LogArgs) {
    install_to(args, BoxMakeWriter::new(|| Screen), std::io::stderr().is_terminal());
}

/// The bars on stderr: one set a process, as stderr is one. Hidden where stderr is no terminal.
pub fn screen() -> &'static MultiProgress {
    static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
    SCREEN.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
}

/// Stderr, with the bars taken off while a line is written, and without credentials: libraries log what they like.
struct Screen;

impl Write for Screen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        screen().suspend(|| io::stderr().lock().write_all(secrets::hide(&String::from_utf8_lossy(line)).as_bytes()))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// The same with another writer: progress bars must move out of the way of log lines.
pub fn install_to(args: &LogArgs, writer: BoxMakeWriter, colours: bool) {
    let bars = args.log_format == LogFormat::Text && colours;
    let filter = std::env::var(FILTER_VARIABLE).ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(directives(args.verbose, bars)));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A subscriber that is there already (a test's) stays: nothing depends on which one it is.
    let _ = match args.log_format {
        LogFormat::Text => builder.with_ansi(colours).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
}

/// What each count of `-v` shows. Libraries stay at warnings: at finer levels they log requests, which may carry what
/// is nobody's business. Where bars show what goes on, the same lines once more would be noise. The SDK's search for
/// credentials warns with dumps of its errors, once a try; the call that failed says the same in a sentence.
fn directives(verbose: u8, bars: bool) -> &'static str {
    match verbose {
        0 if bars => "warn,aws_config=error",
        0 => "warn,aws_config=error,s3sync=info",
        1 => "warn,aws_config=error,s3sync=debug",
        _ => "warn,s3sync=trace",
    }
}
