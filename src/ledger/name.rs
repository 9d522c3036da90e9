use std::fmt;
use std::sync::Arc;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The most characters (Unicode scalar values) that a name has.
const MAX_CHARACTERS: usize = 64;

/// The name of a person: 1 to 64 characters, trimmed and in Unicode's normalization form C, so that
/// one name is not two people; without control characters and those that reorder the text around
/// them; not beginning with `!`, which is the mark of the service's own keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name that `text` spells.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] says which rule it breaks.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let trimmed = text.trim();
        // Before the work that grows with the length: no character composes out of more than a few.
        if trimmed.len() > MAX_BYTES {
            return Err(InvalidName::TooLong);
        }
        if trimmed.is_ascii() || is_nfc_quick(trimmed.chars()) == IsNormalized::Yes {
            Self::check(trimmed)?;
            Ok(Self(trimmed.into()))
        } else {
            let normalized: String = trimmed.nfc().collect();
            let name = normalized.trim();
            Self::check(name)?;
            Ok(Self(name.into()))
        }
    }

    fn check(name: &str) -> Result<(), InvalidName> {
        if name.is_empty() {
            return Err(InvalidName::Empty);
        }
        if name.chars().count() > MAX_CHARACTERS {
            return Err(InvalidName::TooLong);
        }
        if name.starts_with('!') {
            return Err(InvalidName::Reserved);
        }
        if name.contains(|c: char| c.is_control() || reorders_text(c)) {
            return Err(InvalidName::Control);
        }
        Ok(())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text, for a key.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Far more than any text that normalizes to a name: decomposed, a character has at most 18.
const MAX_BYTES: usize = MAX_CHARACTERS * 18 * 4;

/// Embeddings, overrides and isolates (Unicode Standard Annex 9, section 2): text after them can be
/// shown as something else.
fn reorders_text(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing is left after trimming.
    #[error("must not be empty")]
    Empty,
    /// More than 64 characters.
    #[error("must have at most {MAX_CHARACTERS} characters")]
    TooLong,
    /// It begins with `!`.
    #[error("must not begin with '!'")]
    Reserved,
    /// It has control characters, or such that change the direction of text.
    #[error("must not have control characters or characters that override the direction of text")]
    Control,
}
