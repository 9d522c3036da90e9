//! What a layer owes that waits for the service below it to be ready.

use std::fmt::Debug;
use std::task::Poll;

use tower::{BoxError, Layer, Service};
use tower_test::mock::{self, Mock};

use super::failing::Failed;
use super::waiting::{ended, next};

/// A service that is only called when it was ready: else it panics.
type Below = Mock<&'static str, &'static str>;

/// Calls go to the very instance that was ready, and each asks for readiness anew.
pub(crate) async fn calls_go_to_the_instance_that_was_ready<L>(layer: L)
where
    L: Layer<Below>,
    L::Service: Service<&'static str, Response = &'static str, Error: Debug>,
{
    let (mut service, mut handle) = mock::spawn_layer(layer);
    handle.allow(0);
    for call in ["one", "two", "three"] {
        assert!(service.poll_ready().is_pending(), "{call}");
        handle.allow(1);
        assert!(
            matches!(service.poll_ready(), Poll::Ready(Ok(()))),
            "{call}"
        );
        let response = service.call(call);
        let (request, reply) = next(&mut handle).await.expect("a request");
        assert_eq!(request, call);
        reply.send_response("answer");
        assert_eq!(ended(response).await.expect("an answer"), "answer");
    }
}

/// An error of readiness passes as it is, and nothing is sent.
pub(crate) fn errors_of_readiness_pass<L>(layer: L)
where
    L: Layer<Below>,
    L::Service: Service<&'static str, Error = BoxError>,
{
    let (mut service, mut handle) = mock::spawn_layer(layer);
    handle.send_error(Failed("not ready"));
    let Poll::Ready(Err(error)) = service.poll_ready() else {
        panic!("no error")
    };
    assert_eq!(error.downcast_ref(), Some(&Failed("not ready")));
    assert!(handle.poll_request().is_pending());
}
