//! SIGTERM and Ctrl-C ask a command to end; it then finishes what it must not leave half done.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// A token that the first signal cancels. A second one ends the process at once: whatever is in flight is
/// void, since the ledger does not name it.
pub(crate) fn cancel_on_signal() -> Result<CancellationToken, Failure> {
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        for round in 0.. {
            let number = tokio::select! {
                _ = terminate.recv() => 15,
                _ = interrupt.recv() => 2,
            };
            if round > 0 {
                std::process::exit(128 + number);
            }
            tracing::info!("ending on request; a second signal ends at once");
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// Calls `raise` at each SIGUSR1.
pub(crate) fn on_flush_signal(raise: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let mut asked = listen(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            tracing::info!("flushing on request");
            raise();
        }
    });
    Ok(())
}

pub(crate) fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| {
        Failure::Said(
            ExitCode::Internal,
            format!("listen for signals failed; reason=`{error}`"),
        )
    })
}
