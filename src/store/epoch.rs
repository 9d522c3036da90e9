use std::time::{SystemTime, UNIX_EPOCH};

/// How much further on than anything before an import begins: then it is none of a few resets, after which nobody has
/// anything.
pub(crate) const IMPORT_GAP: u64 = 1000;

/// The epoch that a new store begins with: the milliseconds since 1970. So no two stores that come
/// one after the other in the same place (restored elsewhere, or kept in memory and restarted) ever
/// have the same epoch, and what was read from one never matches the other.
///
/// Unit tests count from 0.
pub(super) fn first() -> u64 {
    if cfg!(test) {
        return 0;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // Before 1970 the clock is not set at all.
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or_default()
    })
}
