//! SIGTERM: the kubelet's word that the pod ends within its grace period of 30 s.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::termination_message::TerminationMessage;
use crate::command::FailureKind;
use crate::pipeline::error::RunErrorKind;

/// A run that has not come to a safe place by then is ended: any instruction is a safe one for the data, and the
/// kubelet's SIGKILL would leave no message.
const GRACE: Duration = Duration::from_secs(25);

/// What an ended run says.
const STOPPED: &str =
    "stopped before the run was done; nothing is lost and it is safe to repeat: the next pod goes on where it was";

/// Cancels `token` at the first SIGTERM or SIGINT, and ends the process when the grace is over. Needs a tokio runtime;
/// an error means that signals cannot be caught here.
pub fn listen(token: CancellationToken, termination_message: TerminationMessage) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to end: stopping at the next safe place");
        token.cancel();
        tokio::time::sleep(GRACE).await;
        tracing::warn!("no safe place within {} s: ending at once, which is safe too", GRACE.as_secs());
        termination_message.failed(RunErrorKind::Interrupted, STOPPED);
        std::process::exit(i32::from(FailureKind::Interrupted.exit_code()));
    });
    Ok(())
}
