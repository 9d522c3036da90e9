use axum::extract::FromRequestParts;
use axum::http::header::{HOST, ORIGIN, REFERER};
use axum::http::request::Parts;
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use super::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a proxy says that was asked for, where it asks for something else.
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether a browser says that another site's page has sent the request. Clients that are no browsers say
/// nothing, and are believed (Fetch Metadata Request Headers, W3C).
///
/// Browsers say it over HTTPS and to this machine only. Elsewhere they say where the page is, if that page lets them.
pub(super) fn is_of_another_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        return sites.any(|site| site != "same-origin" && site != "none");
    }
    let page = headers.get(ORIGIN).or_else(|| headers.get(REFERER));
    page.is_some_and(|page| !is_here(page, headers))
}

/// Whether a page at the address `page` is of the host that a request is sent to.
fn is_here(page: &HeaderValue, headers: &HeaderMap) -> bool {
    let page: Option<Uri> = page.to_str().ok().and_then(|page| page.parse().ok());
    let Some((scheme, authority)) = page
        .as_ref()
        .and_then(|page| Some((page.scheme()?, page.authority()?)))
    else {
        return false;
    };
    // Browsers leave it out, and some proxies write it.
    let usual_port = if *scheme == Scheme::HTTPS {
        ":443"
    } else {
        ":80"
    };
    let plain = |host| str::strip_suffix(host, usual_port).unwrap_or(host);
    let hosts = headers.get_all(HOST).iter();
    hosts
        .chain(headers.get_all(X_FORWARDED_HOST).iter())
        .filter_map(|hosts| hosts.to_str().ok())
        .flat_map(|hosts| hosts.split(','))
        .any(|host| plain(host.trim()).eq_ignore_ascii_case(plain(authority.as_str())))
}

/// That a request was not sent by another site's page through the browser of somebody who may change what is
/// kept here. 403 if it was.
#[derive(Clone, Copy, Debug)]
pub struct OwnSite;

impl<S: Sync> FromRequestParts<S> for OwnSite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match is_of_another_site(&parts.headers) {
            false => Ok(Self),
            true => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "What changes something must not come from another site's page.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_of_another_site_if_it_is_of_another_host() {
        for (said, is_another) in [
            (&[][..], false),
            (&[("origin", "http://a.example:8080")], false),
            (&[("origin", "http://A.Example:8080")], false),
            (&[("origin", "http://a.example")], true),
            (&[("origin", "http://a.example:8081")], true),
            (&[("origin", "http://other.example:8080")], true),
            (&[("origin", "http://a.example:8080.other.example")], true),
            (&[("origin", "null")], true),
            (&[("origin", "")], true),
            (&[("referer", "http://a.example:8080/page?q=1")], false),
            (&[("referer", "http://other.example/a.example:8080")], true),
            (&[("referer", "/page")], true),
            // An origin tells more than where a page says that it is.
            (
                &[
                    ("origin", "http://other.example"),
                    ("referer", "http://a.example:8080/"),
                ],
                true,
            ),
            // Whose browser tells who sends it, as a proxy may have changed the host.
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "http://other.example"),
                ],
                false,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://a.example:8080"),
                ],
                true,
            ),
            (
                &[
                    ("x-forwarded-host", "b.example, c.example"),
                    ("origin", "http://c.example"),
                ],
                false,
            ),
            (
                &[
                    ("x-forwarded-host", "b.example"),
                    ("origin", "http://c.example"),
                ],
                true,
            ),
            // Proxies that write the port that browsers leave out.
            (
                &[
                    ("x-forwarded-host", "b.example:80"),
                    ("origin", "http://b.example"),
                ],
                false,
            ),
            (
                &[
                    ("x-forwarded-host", "b.example:443"),
                    ("origin", "https://b.example"),
                ],
                false,
            ),
            (
                &[
                    ("x-forwarded-host", "b.example:443"),
                    ("origin", "http://b.example"),
                ],
                true,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("a.example:8080"));
            for &(name, value) in said {
                headers.append(name, HeaderValue::from_static(value));
            }
            assert_eq!(is_of_another_site(&headers), is_another, "{said:?}");
        }
    }
}
