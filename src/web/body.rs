use std::error::Error as _;
use std::mem;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use http_body_util::BodyExt;

use super::Problem;

/// A part of so many bytes is large.
const LARGE: usize = 4 * 1024;

/// A body that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It has more bytes.
    TooLong {
        /// Than these.
        most: usize,
    },
    /// It has no end.
    Broken,
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLong { most } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The body must have at most {most} bytes."),
            ),
            Unread::Broken => Self::new(
                StatusCode::BAD_REQUEST,
                "The body could not be read to its end: it was cut off, or its chunks are malformed.",
            ),
        }
    }
}

/// Reads a body of at most `most` bytes. Where its length is told, a longer one is not even read. It takes little
/// more memory in many parts than in one.
///
/// # Errors
///
/// [`Unread`].
pub async fn read(mut body: Body, most: usize) -> Result<Bytes, Unread> {
    if body.size_hint().lower() > most as u64 {
        return Err(Unread::TooLong { most });
    }
    // Nearly always all of it comes at once, and is read where it is.
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    let mut length = first.len();
    let mut parts = Parts::default();
    loop {
        if length > most {
            return Err(Unread::TooLong { most });
        }
        let Some(part) = next(&mut body).await? else {
            break;
        };
        if parts.is_empty() {
            parts.push(&first);
        }
        length += part.len();
        parts.push(&part);
    }
    Ok(if parts.is_empty() {
        first
    } else {
        parts.join(length)
    })
}

/// A body that comes in parts. Large ones are kept as they are, since a buffer that grows leaves its smaller selves
/// behind; small ones are put together, since each takes more than its bytes.
#[derive(Debug, Default)]
struct Parts {
    large: Vec<Bytes>,
    small: Vec<u8>,
}

impl Parts {
    fn is_empty(&self) -> bool {
        self.large.is_empty() && self.small.is_empty()
    }

    fn push(&mut self, part: &Bytes) {
        let is_large = part.len() >= LARGE;
        if (is_large && !self.small.is_empty()) || self.small.len() >= LARGE {
            self.large.push(mem::take(&mut self.small).into());
        }
        match is_large {
            true => self.large.push(part.clone()),
            false => self.small.extend_from_slice(part),
        }
    }

    /// All of it, `length` bytes.
    fn join(self, length: usize) -> Bytes {
        let mut whole = Vec::with_capacity(length);
        for part in self.large {
            whole.extend_from_slice(&part);
        }
        whole.extend_from_slice(&self.small);
        whole.into()
    }
}

/// The next part of `body`; `None` at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Unread> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(error = error.source(), "a body could not be read");
            Unread::Broken
        })?;
        // What else there is are trailers.
        if let Ok(part) = frame.into_data() {
            return Ok(Some(part));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use http_body_util::channel::Channel;

    use super::*;

    const MOST: usize = 8 * 1024;

    /// A body that comes in these parts. `None` stands for trailers.
    async fn body(parts: &[Option<&'static str>]) -> Body {
        let (mut sender, body) = Channel::<Bytes>::new(parts.len().max(1));
        for part in parts {
            let sent = match part {
                Some(text) => sender.send_data(Bytes::from_static(text.as_bytes())).await,
                None => sender.send_trailers(HeaderMap::new()).await,
            };
            sent.expect("there is room for all parts");
        }
        Body::new(body)
    }

    #[tokio::test]
    async fn a_body_is_read_whole_in_whatever_parts_it_comes() {
        let whole = "0123456789";
        let ways: [&[Option<&str>]; 7] = [
            &[Some(whole)],
            &[Some(whole), Some("")],
            &[Some(""), Some(whole)],
            &[Some(""), Some("0"), Some(""), Some("123456789")],
            &[Some("01234"), Some("56789"), None],
            &[Some("0"), Some("1"), Some("23456789")],
            &[Some(""), Some(""), Some(whole), None],
        ];
        for parts in ways {
            let read = read(body(parts).await, 10).await;
            assert_eq!(read.ok().as_deref(), Some(whole.as_bytes()), "{parts:?}");
        }
        for parts in [&[][..], &[Some("")], &[Some(""), Some(""), None], &[None]] {
            let read = read(body(parts).await, 10).await;
            assert_eq!(read.ok().as_deref(), Some(&[][..]), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn a_body_may_have_so_many_bytes_and_not_one_more_in_whatever_parts_it_comes() {
        let full: &str = "x".repeat(MOST).leak();
        let (half, rest) = full.split_at(MOST / 2);
        for parts in [&[Some(full)][..], &[Some(""), Some(half), Some(rest)]] {
            let mut parts = parts.to_vec();
            assert_eq!(
                read(body(&parts).await, MOST)
                    .await
                    .map(|body| body.len())
                    .ok(),
                Some(MOST)
            );
            parts.push(Some("x"));
            let read = read(body(&parts).await, MOST).await;
            assert!(
                matches!(read, Err(Unread::TooLong { .. })),
                "{}",
                parts.len()
            );
        }
    }

    #[tokio::test]
    async fn small_and_large_parts_come_together_in_their_order() {
        let all: &str = (0..40_000)
            .map(|at| char::from(b'a' + (at % 23) as u8))
            .collect::<String>()
            .leak();
        for sizes in [&[1][..], &[5000], &[1, 5000], &[3000, 3000, 1, 9000, 7]] {
            let (mut rest, mut parts) = (all, Vec::new());
            for size in sizes.iter().cycle() {
                let (part, others) = rest.split_at(rest.len().min(*size));
                parts.push(Some(part));
                rest = others;
                if rest.is_empty() {
                    break;
                }
            }
            let read = read(body(&parts).await, all.len()).await;
            assert_eq!(read.ok().as_deref(), Some(all.as_bytes()), "{sizes:?}");
        }
    }
}
