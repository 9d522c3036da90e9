use std::error::Error;
use std::future::Future;

use tokio::task::JoinHandle;

use super::ServeError;
/// Waits for `server`, then for the store's `writer`, which ends when nobody can write any more. If
/// the writer fails, that is the end: whoever waits for an answer must not get one, since it is not
/// known what the device holds.
///
/// # Errors
///
/// What either ended with.
pub async fn until_written<Fault: Error + 'static>(
    server: impl Future<Output = Result<(), ServeError>>,
    mut writer: JoinHandle<Result<(), Fault>>,
) -> Result<(), Box<dyn Error>> {
    tokio::select! {
        served = server => served?,
        failed = &mut writer => {
            return Err(match failed {
                Ok(Err(fault)) => fault.into(),
                Ok(Ok(())) => "the store's writer ended early".into(),
                Err(panic) => panic.into(),
            });
        }
    }
    Ok(writer.await??)
}
