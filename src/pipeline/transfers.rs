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
    Transaction(Batch<Posting, ()>),
    /// In single puts.
    Saga(Saga),
}

type Saga = BoxCloneSyncService<Posting, (), BoxError>;

impl Service<Posting> for Transfers {
    type Response = ();
    type Error = BoxError;
    type Future = Making;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Transaction(batch) => batch.poll_ready(cx),
            Self::Saga(saga) => saga.poll_ready(cx),
        }
    }

    fn call(&mut self, posting: Posting) -> Making {
        match self {
            Self::Transaction(batch) => Making::Transaction {
                making: batch.call(posting),
            },
            Self::Saga(saga) => Making::Saga {
                making: saga.call(posting),
            },
        }
    }
}

pin_project! {
    /// A transfer that is being made.
    #[project = MakingProj]
    pub(super) enum Making {
        Transaction { #[pin] making: batch::ResponseFuture<()> },
        Saga { #[pin] making: <Saga as Service<Posting>>::Future },
    }
}

impl Future for Making {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            MakingProj::Transaction { making } => making.poll(cx),
            MakingProj::Saga { making } => making.poll(cx),
        }
    }
}
