use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::histogram::DURATIONS;
use super::{Histogram, write};

/// What is counted under no other name: there must not be as many names as clients can think of.
const OTHER: &str = "other";

/// The methods that are told apart.
const METHODS: [&str; 8] = [
    "GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", OTHER,
];

/// The statuses that are told apart; the rest is [`OTHER`].
const CODES: [u16; 20] = [
    200, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 413, 414, 422, 428, 429, 431, 500, 503,
    504,
];

/// The requests to a service; none before its routes are known.
#[derive(Debug, Default)]
pub struct RequestMetrics {
    table: OnceLock<Arc<RequestTable>>,
}

/// The requests to a service by route, method and status.
#[derive(Debug)]
pub struct RequestTable {
    routes: Vec<Route>,
    /// One for each route (and for what is none) and method.
    places: Vec<Place>,
}

/// What is known of the requests of a route and a method.
#[derive(Debug)]
struct Place {
    codes: [AtomicU64; CODES.len() + 1],
    durations: Histogram,
}

#[derive(Debug)]
enum Route {
    /// A path.
    Exact(&'static str),
    /// A template that ends with a parameter, which is what comes after `prefix`.
    Below {
        template: &'static str,
        prefix: &'static str,
    },
}

impl RequestMetrics {
    /// The table for the service whose paths have these templates. There is one such service.
    #[must_use]
    pub fn table(&self, templates: Vec<&'static str>) -> Arc<RequestTable> {
        let table = || Arc::new(RequestTable::new(templates));
        Arc::clone(self.table.get_or_init(table))
    }
}

impl RequestTable {
    fn new(templates: Vec<&'static str>) -> Self {
        let routes: Vec<_> = templates.into_iter().map(Route::new).collect();
        let places = (0..(routes.len() + 1) * METHODS.len()).map(|_| Place {
            codes: Default::default(),
            durations: Histogram::new(&DURATIONS),
        });
        Self {
            places: places.collect(),
            routes,
        }
    }

    /// The place for requests of `method` to `path`.
    #[must_use]
    pub fn place(&self, path: &str, method: &str) -> usize {
        let mut routes = self.routes.iter();
        let route = routes.position(|route| route.is_of(path));
        let method = METHODS.iter().position(|known| *known == method);
        route.unwrap_or(self.routes.len()) * METHODS.len() + method.unwrap_or(METHODS.len() - 1)
    }

    /// Counts a request that was answered with `code` after `took`.
    pub fn answered(&self, place: usize, code: u16, took: Duration) {
        let place = &self.places[place];
        let code = CODES.binary_search(&code).unwrap_or(CODES.len());
        place.codes[code].fetch_add(1, Ordering::Relaxed);
        place.durations.observe_duration(took);
    }

    /// The places with requests: their route and method too.
    fn used(&self) -> impl Iterator<Item = (&'static str, &'static str, &Place)> {
        let routes = self.routes.iter().map(Route::template).chain([OTHER]);
        let names = routes.flat_map(|route| METHODS.map(|method| (route, method)));
        names
            .zip(&self.places)
            .filter(|(_, place)| !place.durations.is_empty())
            .map(|((route, method), place)| (route, method, place))
    }
}

impl Route {
    fn new(template: &'static str) -> Self {
        match template.split_once('{') {
            Some((prefix, parameter)) => {
                debug_assert!(parameter.find('}') == Some(parameter.len() - 1));
                Self::Below { template, prefix }
            }
            None => Self::Exact(template),
        }
    }

    fn is_of(&self, path: &str) -> bool {
        match self {
            Self::Exact(template) => *template == path,
            Self::Below { prefix, .. } => path
                .strip_prefix(prefix)
                .is_some_and(|parameter| !parameter.is_empty() && !parameter.contains('/')),
        }
    }

    fn template(&self) -> &'static str {
        match self {
            Self::Exact(template) | Self::Below { template, .. } => template,
        }
    }
}

impl Collector for RequestMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(table) = self.table.get() else {
            return Ok(());
        };
        let counts = table.used().flat_map(|(route, method, place)| {
            let counts = place
                .codes
                .iter()
                .map(|count| count.load(Ordering::Relaxed));
            let codes = CODES.iter().map(u16::to_string).chain([OTHER.to_owned()]);
            codes
                .zip(counts)
                .filter(|(_, count)| *count > 0)
                .map(move |(code, count)| {
                    let labels = [("route", route), ("method", method)].map(owned);
                    let [route, method] = labels;
                    ([route, method, ("code", code)], count)
                })
        });
        write::counters(
            &mut encoder,
            "http_requests",
            "Requests that were answered",
            counts,
        )?;
        let mut encoder = encoder.encode_descriptor(
            "http_request_duration_seconds",
            "How long it took until an answer began",
            None,
            MetricType::Histogram,
        )?;
        for (route, method, place) in table.used() {
            let labels = [("route", route), ("method", method)];
            place.durations.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn owned((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_by_halving() {
        assert!(CODES.is_sorted());
    }

    #[test]
    fn paths_are_counted_by_template() {
        let table = RequestTable::new(vec!["/", "/api/accounts", "/api/v1/transfers/{id}"]);
        let route = |path| table.place(path, "GET") / METHODS.len();
        assert_eq!(route("/"), 0);
        assert_eq!(route("/api/accounts"), 1);
        assert_eq!(route("/api/v1/transfers/7"), 2);
        for path in [
            "",
            "/api/accounts/",
            "/api",
            "/api/v1/transfers/",
            "/api/v1/transfers/7/8",
            "/x",
        ] {
            assert_eq!(route(path), 3, "{path}");
        }
    }

    #[test]
    fn a_method_that_nobody_knows_is_one_of_the_others() {
        let table = RequestTable::new(vec!["/"]);
        let place = |method| table.place("/", method);
        assert_eq!(place("BREW"), place("get"));
        assert_ne!(place("BREW"), place("GET"));
    }
}
