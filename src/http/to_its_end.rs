use tokio::time::timeout;
use tower::BoxError;

use super::ANSWER_WITHIN;
use super::error::Error;
use crate::telemetry;

/// What `work` comes to, or an error `late`. It goes on to its end on a task of its own, whoever hangs up,
/// or was told that it is late.
///
/// # Errors
///
/// [`Error::Internal`] if it panicked.
pub(super) async fn to_its_end<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
    late: impl FnOnce(BoxError) -> E,
) -> Result<Result<T, E>, Error>
where
    T: Send + 'static,
    E: Send + 'static,
{
    match timeout(ANSWER_WITHIN, tokio::spawn(telemetry::carried(work))).await {
        Ok(ended) => ended.map_err(|_| Error::Internal("the work of a request was lost")),
        Err(elapsed) => Ok(Err(late(elapsed.into()))),
    }
}
