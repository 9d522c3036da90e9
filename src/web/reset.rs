//! Who may reset.

use std::fmt;
use std::hint::black_box;

use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::response::IntoResponse;

use super::Problem;
use super::site::is_of_another_site;

/// Who may reset. Whatever it says, a reset is a GET (which is owed to old clients), and none of which a
/// browser tells that its user does not wish it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resets {
    /// Everybody.
    #[default]
    Open,
    /// Whoever shows the token: 401 for others.
    Token(Token),
    /// Nobody: 403.
    Off,
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Resets {
    /// The answer to a request for a reset that is not to be made.
    #[must_use]
    pub fn refusal(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        // Here and not by the router, which would let HEAD through as a kind of GET: it must change nothing.
        if method != Method::GET {
            return Some((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")]).into_response());
        }
        if *self == Self::Off {
            let detail = "Resets are switched off here.";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail).into_response());
        }
        if !is_wanted(headers) {
            let detail = "A reset must not come from another site, nor from a browser that loads pages in advance.";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail).into_response());
        }
        match self {
            Self::Token(token) if !token.is_shown_by(headers) => {
                let detail = "A reset needs the operator's token: Authorization: Bearer TOKEN.";
                let mut refusal = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
                let bearer = HeaderValue::from_static("Bearer");
                refusal.headers_mut().insert(WWW_AUTHENTICATE, bearer);
                Some(refusal)
            }
            _ => None,
        }
    }
}

impl Token {
    /// A token, if it can be sent as one: visible ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let can_be_sent = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        can_be_sent.then(|| Self(text.into()))
    }

    fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            return false;
        };
        match shown.to_str().ok().and_then(|shown| shown.split_once(' ')) {
            Some((scheme, token)) => scheme.eq_ignore_ascii_case("Bearer") && self.is(token.trim()),
            None => false,
        }
    }

    /// Compares in a time that tells how long the token is, and nothing else of it.
    fn is(&self, other: &str) -> bool {
        let bytes = self.0.bytes().zip(other.bytes());
        let differences = bytes.fold(0, |differences, (one, other)| {
            black_box(differences | (one ^ other))
        });
        self.0.len() == other.len() && black_box(differences) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Whether a GET that changes something is its user's wish, as far as a browser tells: not sent by
/// another site, nor to load a page in advance. Clients that are no browsers tell nothing, and are
/// believed (Fetch Metadata Request Headers, W3C).
fn is_wanted(headers: &HeaderMap) -> bool {
    let prefetch = headers.get_all("sec-purpose").iter().any(|purpose| {
        purpose
            .as_bytes()
            .windows(8)
            .any(|part| part.eq_ignore_ascii_case(b"prefetch"))
    });
    !is_of_another_site(headers) && !prefetch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_equal_to_itself_only() {
        let token = Token::new("s3cret").unwrap();
        assert!(token.is("s3cret"));
        for other in ["", "s3cre", "s3cret1", "S3cret", "s3creT", "xxxxxx"] {
            assert!(!token.is(other), "{other}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_none() {
        for text in ["", " ", "two words", "line\n", "ä"] {
            assert_eq!(Token::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_token_is_not_told() {
        let resets = Resets::Token(Token::new("s3cret").unwrap());
        assert!(!format!("{resets:?}").contains("s3cret"));
    }
}
