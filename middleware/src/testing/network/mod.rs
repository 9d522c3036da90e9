//! A service as its client sees it, behind a network that loses, doubles, delays and reorders.
//!
//! A [`Script`] tells the [`Fate`] of each request, and how long everything takes: a closure, or
//! [`Odds`] with a seed, which repeat themselves exactly. What the errors are is the user's to say.
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//! use resilient::testing::network::{Fate, Happening, Network};
//! use tower::{Service, ServiceExt, service_fn};
//!
//! static BALANCE: AtomicU32 = AtomicU32::new(0);
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let bank = service_fn(|n: u32| async move { Ok(BALANCE.fetch_add(n, Ordering::Relaxed) + n) });
//! let mut fates = [Fate::Refused, Fate::Lost, Fate::Unanswered, Fate::Late, Fate::Doubled].into_iter();
//! let script = move |_: &u32| Happening {
//!     late_by: Duration::from_secs(9),
//!     ..Happening::new(fates.next().unwrap_or(Fate::Fine))
//! };
//! let mut bank = Network::new(bank, script, |_: &u32| "not sent", |_: &u32| "who knows");
//!
//! assert_eq!(bank.call(1).await, Err("not sent"));
//! assert_eq!(bank.call(10).await, Err("who knows"));
//! assert_eq!(bank.call(100).await, Err("who knows")); // but it was booked
//! assert_eq!(bank.call(1_000).await, Err("who knows")); // it will be
//! assert_eq!(bank.call(10_000).await, Ok(20_100)); // twice
//! tokio::time::sleep(Duration::from_secs(10)).await;
//! assert_eq!(BALANCE.load(Ordering::Relaxed), 21_100);
//! # }
//! ```
//!
//! A network by chance, the same each time for the same seed:
//!
//! ```
//! # use std::time::Duration;
//! use resilient::testing::network::{Delays, InvalidOdds, NetworkLayer, Odds, Percent};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! /// How many of a hundred requests are answered.
//! async fn answered(seed: u64) -> Result<usize, InvalidOdds> {
//!     let odds = Odds::new(
//!         Percent { refused: 10, lost: 10, unanswered: 10, doubled: 10, late: 10 },
//!         Delays { before: Duration::ZERO..=Duration::from_millis(20), ..Delays::default() },
//!         seed,
//!     )?;
//!     let echo = NetworkLayer::new(odds, |_: &u32| "not sent", |_: &u32| "who knows")
//!         .layer(service_fn(|n: u32| async move { Ok(n) }));
//!     let mut answered = 0;
//!     for n in 0..100 {
//!         answered += usize::from(echo.clone().oneshot(n).await.is_ok());
//!     }
//!     Ok(answered)
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), InvalidOdds> {
//! assert_eq!(answered(7).await?, answered(7).await?);
//! # assert!((35..=85).contains(&answered(7).await?));
//! # Ok(())
//! # }
//! ```
//!
//! # Clone
//!
//! Clones, and the services of one layer, share the script: they are clients of one network. Each
//! request goes to a clone of the inner service of its own.
//!
//! # Order
//!
//! It goes directly above the service that stands for the other end, below everything that a client
//! does about a network: retries, timeouts.
//!
//! A network is always ready. The inner service is asked for readiness when a request arrives, and
//! an error of its readiness is the answer.
//!
//! # Cancel safety
//!
//! The script is asked when a request is called, and nothing is sent before the first poll. To drop
//! the call is to hang up: a request that is under way does not arrive, one that has arrived is
//! dropped, as web servers do (with [`Detach`](crate::detach) below, it is finished). Only a
//! [`Late`](Fate::Late) request still arrives, counted from then on.
//!
//! # Panics
//!
//! Calls must be made inside a tokio runtime with time. A panic of the script passes to its caller.

mod delivery;
mod fate;
mod future;
mod layer;
mod odds;
mod script;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tower::{Service, ServiceExt};

pub use fate::{Fate, Happening};
pub use future::ResponseFuture;
pub use layer::NetworkLayer;
pub use odds::{Delays, InvalidOdds, Odds, Percent};
pub use script::Script;

use delivery::{deliver, deliver_late, pause};

/// Puts `S` behind a network that does what the script `X` tells; errors come from `R` (refused) and
/// `L` (lost). See the [module](crate::testing::network).
pub struct Network<S, X, R, L> {
    inner: S,
    script: Arc<Mutex<X>>,
    refused: R,
    lost: L,
}

impl<S, X, R, L> Network<S, X, R, L> {
    /// Puts `inner` behind a network that does what `script` tells. `refused` makes the error of a
    /// request that was not sent, `lost` that of one which nobody can tell about.
    pub fn new(inner: S, script: X, refused: R, lost: L) -> Self {
        Self {
            inner,
            script: Arc::new(Mutex::new(script)),
            refused,
            lost,
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives the inner service back.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, X, R, L, Request> Service<Request> for Network<S, X, R, L>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    X: Script<Request>,
    R: Fn(&Request) -> S::Error,
    L: Fn(&Request) -> S::Error,
    Request: Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Happening {
            fate,
            before,
            after,
            late_by,
        } = self
            .script
            .lock()
            // A script that panicked has panicked in its caller's task: others go on.
            .unwrap_or_else(PoisonError::into_inner)
            .next(&request);
        // Made here, since only the future of the call need be `Send`, not what makes errors.
        let error = match fate {
            Fate::Fine | Fate::Doubled => None,
            Fate::Refused => Some((self.refused)(&request)),
            Fate::Lost | Fate::Unanswered | Fate::Late => Some((self.lost)(&request)),
        };
        let inner = self.inner.clone();
        ResponseFuture::new(async move {
            // Dropped with this future: at its end, or when its caller hangs up.
            let _waiting = (fate == Fate::Late).then(|| {
                let request = inner.clone().oneshot(request.clone());
                deliver_late(request, late_by)
            });
            pause(before).await;
            let answer = deliver(inner, request, fate).await;
            pause(after).await;
            match (error, answer) {
                (Some(error), _) => Err(error),
                (None, Some(answer)) => answer,
                (None, None) => unreachable!("what is fine or doubled arrives"),
            }
        })
    }
}

impl<S: Clone, X, R: Clone, L: Clone> Clone for Network<S, X, R, L> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            script: Arc::clone(&self.script),
            refused: self.refused.clone(),
            lost: self.lost.clone(),
        }
    }
}

impl<S: fmt::Debug, X, R, L> fmt::Debug for Network<S, X, R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
