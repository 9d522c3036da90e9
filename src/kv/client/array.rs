use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower::BoxError;

/// A JSON array that arrives in parts: its elements can be taken as soon as they are there, so that a long one is
/// nowhere as a whole. Elements must be arrays, objects or strings, which show their own end.
#[derive(Debug, Default)]
pub(super) struct Array {
    /// What has arrived of elements that were not taken.
    text: Vec<u8>,
    stands: Stands,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stands {
    #[default]
    Begin,
    /// An element, or the end of an array without any.
    First,
    Element,
    /// A comma, or the end.
    Behind,
    /// Nothing.
    Ended,
}

/// What arrived is no array of such elements.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("what was answered is no JSON array")]
    NoArray,
    #[error("an answer was cut off")]
    CutOff,
}

impl Array {
    /// The elements that are complete with `part`, after those that were taken before.
    ///
    /// # Errors
    ///
    /// What has arrived is no such array.
    pub(super) fn take<T: DeserializeOwned>(&mut self, part: &[u8]) -> Result<Vec<T>, BoxError> {
        self.text.extend_from_slice(part);
        let mut elements = Vec::new();
        let mut rest = &self.text[..];
        loop {
            rest = rest.trim_ascii_start();
            let Some(&next) = rest.first() else { break };
            self.stands = match (self.stands, next) {
                (Stands::Begin, b'[') => Stands::First,
                (Stands::Behind, b',') => Stands::Element,
                (Stands::First | Stands::Behind, b']') => Stands::Ended,
                (Stands::First | Stands::Element, b'{' | b'[' | b'"') => {
                    let Some((element, behind)) = first_of(rest)? else {
                        break;
                    };
                    elements.push(element);
                    rest = behind;
                    self.stands = Stands::Behind;
                    continue;
                }
                _ => return Err(Malformed::NoArray.into()),
            };
            rest = &rest[1..];
        }
        let taken = self.text.len() - rest.len();
        self.text.drain(..taken);
        Ok(elements)
    }

    /// Whether nothing more can come.
    ///
    /// # Errors
    ///
    /// More was to come.
    pub(super) fn end(&self) -> Result<(), BoxError> {
        match self.stands {
            Stands::Ended => Ok(()),
            _ => Err(Malformed::CutOff.into()),
        }
    }
}

/// The element that `text` begins with, and what is behind it; `None` if its end is not there yet.
fn first_of<'a, T: Deserialize<'a>>(text: &'a [u8]) -> serde_json::Result<Option<(T, &'a [u8])>> {
    let mut elements = serde_json::Deserializer::from_slice(text).into_iter();
    match elements.next() {
        Some(Ok(element)) => Ok(Some((element, &text[elements.byte_offset()..]))),
        Some(Err(error)) if !error.is_eof() => Err(error),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(parts: &[&[u8]]) -> Result<Vec<String>, BoxError> {
        let mut array = Array::default();
        let mut all = Vec::new();
        for part in parts {
            all.extend(array.take::<String>(part)?);
        }
        array.end()?;
        Ok(all)
    }

    proptest! {
        #[test]
        fn wherever_it_is_cut_it_is_the_same(
            elements in proptest::collection::vec(any::<String>(), 0..6),
            pretty: bool,
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let json = match pretty {
                true => serde_json::to_vec_pretty(&elements),
                false => serde_json::to_vec(&elements),
            }
            .unwrap();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(json.len() + 1)).collect();
            cuts.extend([0, json.len()]);
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|ends| &json[ends[0]..ends[1]]).collect();
            prop_assert_eq!(read(&parts).unwrap(), elements);
            // One that is not there to its end is an error.
            let begin: Vec<_> = json[..json.len() - 1].chunks(3).collect();
            prop_assert!(read(&begin).is_err());
        }
    }

    #[test]
    fn what_is_no_array_is_an_error() {
        for text in [
            "",
            "{}",
            "null",
            "[,]",
            "[\"a\",]",
            "[\"a\"]]",
            "[\"a\" \"b\"]",
            "[\"a\"",
            "[\"a",
            "[1]",
            "[[]]",
            "[]x",
        ] {
            assert!(read(&[text.as_bytes()]).is_err(), "{text}");
        }
    }
}
