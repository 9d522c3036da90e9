use std::error::Error;
use std::future::{self, Future};

use tokio::task::JoinHandle;

use super::ServeError;

/// Waits for `server`, then for the `writing` of the store in this process, if there is one: it
/// ends when nobody can write any more. If it fails, that is the end: whoever waits for an answer
/// must not get one, since it is not known what the device holds.
///
/// # Errors
///
/// What either ended with.
pub async fn until_written<Fault: Error + Send + Sync + 'static>(
    server: impl Future<Output = Result<(), ServeError>>,
    mut writing: Option<JoinHandle<Result<(), Fault>>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut ended = false;
    let failed = async {
        if let Some(writing) = &mut writing {
            match writing.await {
                // Nobody can write any more; the server has only to finish.
                Ok(Ok(())) => ended = true,
                failed => return failed,
            }
        }
        future::pending().await
    };
    tokio::select! {
        served = server => served?,
        failure = failed => failure??,
    }
    match writing {
        Some(writing) if !ended => Ok(writing.await??),
        _ => Ok(()),
    }
}
