use siphasher::sip::SipHasher13;

/// Bytes of a seal.
pub(super) const LENGTH: usize = 8;

/// Seals what this store writes around the database, so that it can be told from what was torn, or
/// damaged, or is of another store. The key is the store's own, and random: nothing that a client has
/// written into a value looks like ours.
///
/// The seal is SipHash-1-3 (Aumasson and Bernstein, 2012).
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal(SipHasher13);

impl Seal {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(key))
    }

    /// The seal of `content`.
    pub(super) fn of(&self, content: &[u8]) -> [u8; LENGTH] {
        self.0.hash(content).to_le_bytes()
    }

    /// What was sealed, if `sealed` is a seal and that.
    pub(super) fn open<'a>(&self, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (seal, content) = sealed.split_first_chunk()?;
        (self.of(content) == *seal).then_some(content)
    }
}
