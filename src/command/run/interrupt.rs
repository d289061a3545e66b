//! Ctrl-C and SIGTERM: the first stops the run at its next safe place, the second ends the process at once. Both are
//! safe.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::command::FailureKind;

/// Cancels `token` at the first signal and ends the process at the second. Needs a tokio runtime; an error means that
/// signals cannot be caught here.
pub fn listen(token: CancellationToken) -> std::io::Result<()> {
    let mut signals =
        Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    tokio::spawn(async move {
        signals.next().await;
        say("stopping at the next safe place; once more stops at once, which is safe too");
        token.cancel();
        signals.next().await;
        say("stopped at once; nothing is lost, run it again to go on");
        std::process::exit(i32::from(FailureKind::Interrupted.exit_code()));
    });
    Ok(())
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A warning is on the screen at every level of logging.
fn say(text: &str) {
    tracing::warn!("{text}");
}
