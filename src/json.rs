//! JSON, as clients send it.

use std::fmt;
use std::str::Utf8Error;

use serde::Deserialize;

/// Reads the JSON that `body` is. It is checked to be text once, instead of string by string, and all of it: what
/// nobody asks for too.
///
/// # Errors
///
/// [`Misread`]; its messages are for the client.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Misread> {
    let text = str::from_utf8(body).map_err(|error| Misread::NoJson(Place::of(body, error)))?;
    serde_json::from_str(text).map_err(|error| {
        let place = Place {
            line: error.line(),
            column: error.column(),
        };
        match error.is_data() {
            true => Misread::Other(place),
            false if text.trim_ascii().is_empty() => Misread::Empty,
            false => Misread::NoJson(place),
        }
    })
}

/// Why a body is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misread {
    #[error("The body is empty.")]
    Empty,
    #[error("The body is not JSON: see {0}.")]
    NoJson(Place),
    #[error("The body is JSON of another form: see {0}.")]
    Other(Place),
}

/// Where in a body: its line, from 1, and the byte in that line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// Where `body` stops being text.
    fn of(body: &[u8], error: Utf8Error) -> Self {
        let text = &body[..error.valid_up_to()];
        let mut lines = text.split(|byte| *byte == b'\n');
        // There is always one, if only an empty one.
        let last = lines.next_back().unwrap_or_default();
        Self {
            line: lines.count() + 1,
            column: last.len() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column } = self;
        write!(f, "line {line}, column {column}")
    }
}
