use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use resilient::batch::{self, Batch};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service};

use super::posting::Posting;

/// What makes transfers, in one of the two ways. The fast one is named, for a box costs each transfer two
/// allocations.
#[derive(Clone, Debug)]
pub(super) enum Transfers {
    /// In transactions.
    Together(Batch<Posting, ()>),
    /// In single puts.
    Single(Single),
}

type Single = BoxCloneSyncService<Posting, (), BoxError>;

impl Service<Posting> for Transfers {
    type Response = ();
    type Error = BoxError;
    type Future = Making;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Together(batch) => batch.poll_ready(cx),
            Self::Single(single) => single.poll_ready(cx),
        }
    }

    fn call(&mut self, posting: Posting) -> Making {
        match self {
            Self::Together(batch) => Making::Together {
                making: batch.call(posting),
            },
            Self::Single(single) => Making::Single {
                making: single.call(posting),
            },
        }
    }
}

pin_project! {
    /// A transfer that is being made.
    #[project = MakingProj]
    pub(super) enum Making {
        Together { #[pin] making: batch::ResponseFuture<()> },
        Single { #[pin] making: <Single as Service<Posting>>::Future },
    }
}

impl Future for Making {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            MakingProj::Together { making } => making.poll(cx),
            MakingProj::Single { making } => making.poll(cx),
        }
    }
}
