//! What a person sees while a run is under way: one bar a sync on a terminal, log lines elsewhere. Nothing of it goes
//! to stdout.

mod bar;
mod line;
mod pace;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::{LogArgs, LogFormat};
use crate::pipeline::progress::Progress;
use crate::telemetry;

/// A run's counters at one moment. The numbers are of the epoch under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// What is being done: `planning`, `reading`.
    pub step: &'static str,
    /// The epoch's number; 0: none begun.
    pub epoch: u64,
    /// Objects read so far.
    pub objects_done: u64,
    /// Objects of the epoch.
    pub objects_total: u64,
    /// Input bytes read so far.
    pub bytes_done: u64,
    /// Input bytes of the epoch.
    pub bytes_total: u64,
    /// Rows laid out so far.
    pub rows: u64,
}

/// What a run's counters show at this moment.
pub fn view(progress: &Progress) -> View {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    View {
        step: progress.step().word(),
        epoch: read(&progress.epoch),
        objects_done: read(&progress.objects_done),
        objects_total: read(&progress.objects_total),
        bytes_done: read(&progress.bytes_done),
        bytes_total: read(&progress.bytes_total),
        rows: read(&progress.rows),
    }
}

/// Progress that is being shown, until [`Shown::end`].
pub struct Shown {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Shown {
    /// Takes it off the screen.
    pub async fn end(self) {
        // The task ends by itself only by a panic, which the hook has reported.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// How often bars are drawn: ten times a second looks smooth.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// How often a change of step is looked for, where lines are logged.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often a line is logged while a step lasts.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Shows `look()` under the name `title` from now on. Needs a tokio runtime.
pub fn show(title: String, look: impl Fn() -> View + Send + 'static, logging: &LogArgs) -> Shown {
    let (stop, stopped) = oneshot::channel();
    let bars = logging.log_format == LogFormat::Text && !telemetry::screen().is_hidden();
    let task = if bars {
        tokio::spawn(draw(title, look, stopped))
    } else {
        tokio::spawn(log(title, look, logging.log_format, stopped))
    };
    Shown { stop, task }
}

async fn draw(title: String, look: impl Fn() -> View, mut stopped: oneshot::Receiver<()>) {
    let bar = bar::new(&title);
    let began = Instant::now();
    let mut pace = pace::Pace::default();
    while !ended(DRAW_EVERY, &mut stopped).await {
        let view = look();
        pace.observe(began.elapsed(), view.bytes_done);
        bar::update(&bar, &view, &pace);
    }
    bar.finish_and_clear();
}

async fn log(title: String, look: impl Fn() -> View, format: LogFormat, mut stopped: oneshot::Receiver<()>) {
    let began = Instant::now();
    let mut pace = pace::Pace::default();
    let mut last = (Instant::now(), look().step);
    while !ended(LOOK_EVERY, &mut stopped).await {
        let view = look();
        pace.observe(began.elapsed(), view.bytes_done);
        if view.step == last.1 && last.0.elapsed() < LOG_EVERY {
            continue;
        }
        last = (Instant::now(), view.step);
        match format {
            LogFormat::Text => tracing::info!("{title}: {}", line::text(&view, &pace)),
            LogFormat::Json => tracing::info!(
                sync = title,
                step = view.step,
                epoch = view.epoch,
                objects_done = view.objects_done,
                objects_total = view.objects_total,
                bytes_done = view.bytes_done,
                bytes_total = view.bytes_total,
                bytes_per_second = pace.bytes_per_second(),
                rows = view.rows,
                "progress"
            ),
        }
    }
}

/// Waits, and says whether the end came meanwhile.
async fn ended(wait: Duration, stopped: &mut oneshot::Receiver<()>) -> bool {
    tokio::time::timeout(wait, stopped).await.is_ok()
}
