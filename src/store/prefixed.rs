use std::cmp::Ordering;

use equivalent::{Comparable, Equivalent};

use super::Key;

/// The bytes that are compared first.
const LENGTH: usize = size_of::<u64>();

/// A key of a map, with its first eight bytes beside it as a number. Sorted as the text is; but what two keys
/// differ in is mostly in the number, so that a search in the map need not look at the text of each key that it
/// passes, which is somewhere else in memory.
///
/// Known as a poor man's normalized key: Goetz Graefe, "Modern B-Tree Techniques", section 3.
#[derive(Clone, Debug)]
pub(super) struct Prefixed<Text> {
    prefix: u64,
    text: Text,
}

impl Prefixed<Key> {
    pub(super) fn new(text: Key) -> Self {
        Self {
            prefix: prefix(&text),
            text,
        }
    }

    pub(super) fn key(&self) -> &Key {
        &self.text
    }
}

impl<'a> Prefixed<&'a str> {
    /// To look for `text`.
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            prefix: prefix(text),
            text,
        }
    }
}

/// What is missing counts as zeros. Where such a number is equal to that of a longer text, the texts decide.
fn prefix(text: &str) -> u64 {
    let mut bytes = [0; LENGTH];
    let length = text.len().min(LENGTH);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

impl Ord for Prefixed<Key> {
    fn cmp(&self, other: &Self) -> Ordering {
        let texts = || self.text.cmp(&other.text);
        self.prefix.cmp(&other.prefix).then_with(texts)
    }
}

impl PartialOrd for Prefixed<Key> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Prefixed<Key> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Prefixed<Key> {}

impl Comparable<Prefixed<Key>> for Prefixed<&str> {
    fn compare(&self, other: &Prefixed<Key>) -> Ordering {
        let texts = || self.text.cmp(&*other.text);
        self.prefix.cmp(&other.prefix).then_with(texts)
    }
}

impl Equivalent<Prefixed<Key>> for Prefixed<&str> {
    fn equivalent(&self, other: &Prefixed<Key>) -> bool {
        self.compare(other).is_eq()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn they_are_sorted_as_their_texts_are(
            beginning in "[\u{0}\u{1}a\u{7f}ä😀]{0,9}",
            one in "[\u{0}\u{1}a\u{7f}ä]{0,3}",
            other in "[\u{0}\u{1}a\u{7f}ä]{0,3}",
        ) {
            let [one, other] = [one, other].map(|end| beginning.clone() + &end);
            let expected = one.cmp(&other);
            let [key, other_key] = [&one, &other].map(|text| Prefixed::new(text.as_str().into()));
            prop_assert_eq!(key.cmp(&other_key), expected);
            prop_assert_eq!(key == other_key, expected.is_eq());
            prop_assert_eq!(Prefixed::of(&one).compare(&other_key), expected);
            prop_assert_eq!(Prefixed::of(&one).equivalent(&other_key), expected.is_eq());
        }
    }

    #[test]
    fn short_texts_are_told_apart_by_their_numbers() {
        let numbers = ["", "\u{1}", "a", "ab", "b", "bcdefgh", "bcdefghi"].map(prefix);
        assert!(numbers.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn where_the_numbers_are_equal_the_texts_decide() {
        for [less, more] in [
            ["x", "x\0"],
            ["12345678", "12345678\0"],
            ["12345678a", "12345678b"],
        ] {
            assert_eq!(prefix(less), prefix(more));
            assert!(Prefixed::new(less.into()) < Prefixed::new(more.into()));
            assert_eq!(
                Prefixed::of(less).compare(&Prefixed::new(more.into())),
                Ordering::Less
            );
        }
    }
}
