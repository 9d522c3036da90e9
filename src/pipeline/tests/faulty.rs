//! A store behind a network that loses, doubles, delays and reorders.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;
use tower::{Service, ServiceExt, service_fn};

use crate::kv::{KvError, KvRequest, KvResponse, KvService};

/// What the network does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, and so does the answer.
    Fine,
    /// It is refused before it was sent.
    Refused,
    /// It is lost on the way, and nobody can tell.
    Lost,
    /// It arrives, and its answer is lost.
    Unanswered,
    /// It arrives twice, and the second answer comes back.
    Doubled,
    /// It arrives when nobody waits for it any more.
    Late,
}

/// `store` behind a network: `fate` tells what becomes of each request, and how long it takes.
pub(super) fn faulty(
    store: KvService,
    fate: impl FnMut(&KvRequest) -> (Fate, Duration) + Send + 'static,
) -> KvService {
    let fate = Arc::new(Mutex::new(fate));
    KvService::new(service_fn(move |request: KvRequest| {
        let (fate, delay) = fate.lock().unwrap()(&request);
        let store = store.clone();
        async move {
            sleep(delay).await;
            match fate {
                Fate::Fine => send(store, request).await,
                Fate::Refused => Err(KvError::Unavailable("refused".into())),
                Fate::Lost => Err(lost(&request)),
                Fate::Unanswered => {
                    let _ = send(store, request.clone()).await;
                    Err(lost(&request))
                }
                Fate::Doubled => {
                    let _ = send(store.clone(), request.clone()).await;
                    send(store, request).await
                }
                Fate::Late => {
                    let error = lost(&request);
                    tokio::spawn(async move {
                        sleep(delay * 40).await;
                        let _ = send(store, request).await;
                    });
                    Err(error)
                }
            }
        }
    }))
}

async fn send(mut store: KvService, request: KvRequest) -> Result<KvResponse, KvError> {
    store.ready().await?.call(request).await
}

/// No answer: a read has certainly changed nothing.
fn lost(request: &KvRequest) -> KvError {
    match request {
        KvRequest::Get { .. } | KvRequest::List { .. } => KvError::Unavailable("lost".into()),
        _ => KvError::Unknown("lost".into()),
    }
}
