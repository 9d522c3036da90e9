use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// What the process ends with at a second signal: the usual status of one that was interrupted.
const EXIT_INTERRUPTED: i32 = 130;

/// Ends at the first SIGTERM or SIGINT since it was made. A second one ends the process at once, if it comes after
/// that was seen.
///
/// # Errors
///
/// The operating system's, if it does not let signals be caught.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let mut next =
            async move || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        next().await;
        tokio::spawn(async move {
            next().await;
            tracing::warn!("a second signal: ending at once, with what runs unfinished");
            std::process::exit(EXIT_INTERRUPTED);
        });
    })
}
