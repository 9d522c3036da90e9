use super::Happening;

/// Tells what happens to each request, in the order in which they are sent.
///
/// Closures are scripts, and so are [`Odds`](super::Odds).
pub trait Script<Request>: Send {
    /// What happens to `request`, which is about to be sent.
    fn next(&mut self, request: &Request) -> Happening;
}

impl<Request, F> Script<Request> for F
where
    F: FnMut(&Request) -> Happening + Send,
{
    fn next(&mut self, request: &Request) -> Happening {
        self(request)
    }
}
