use axum::Router;
use axum::routing::MethodRouter;
use tower_http::compression::CompressionLayer;

/// A router that remembers the templates of its paths, so that requests can be counted by them.
#[derive(Debug)]
pub struct Routes<S = ()> {
    router: Router<S>,
    templates: Vec<&'static str>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            router: Router::new(),
            templates: Vec::new(),
        }
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, template: &'static str, methods: MethodRouter<S>) -> Self {
        self.templates.push(template);
        Self {
            router: self.router.route(template, methods),
            ..self
        }
    }

    /// The same paths, with the router changed: by a layer, or by a state.
    #[must_use]
    pub fn map<T>(self, change: impl FnOnce(Router<S>) -> Router<T>) -> Routes<T> {
        Routes {
            router: change(self.router),
            templates: self.templates,
        }
    }
}

impl Routes {
    /// The router, and the templates of its paths.
    pub(super) fn into_parts(self) -> (Router, Vec<&'static str>) {
        (self.router, self.templates)
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// `methods`, whose answers are compressed for clients that ask for it.
pub fn compressed<S: Clone + Send + Sync + 'static>(methods: MethodRouter<S>) -> MethodRouter<S> {
    methods.layer(CompressionLayer::new())
}
