//! What requests and answers look like between a client and a `kvstore` server. Old clients and old
//! stores know the bodies only, without epochs.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::http::HeaderName;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Key, Put, Stamp, Value};

/// The paths of a `kvstore`.
pub mod path {
    /// `GET ?id=KEY`.
    pub const GET: &str = "/api/get";
    /// `GET ?prefix=&start=&limit=`.
    pub const LIST: &str = "/api/list";
    /// `POST` of a [`WirePut`](super::WirePut).
    pub const PUT: &str = "/api/put";
    /// `POST` of a list of them.
    pub const TRANSACTION: &str = "/api/transaction";
    /// `GET`, or `GET ?epoch=`.
    pub const RESET: &str = "/api/reset";
}

/// The most puts in a transaction.
pub const MAX_PUTS: usize = 1024;

/// The response header with the epoch.
pub const EPOCH: HeaderName = HeaderName::from_static("kvstore-epoch");

/// The response header with the revision.
pub const REVISION: HeaderName = HeaderName::from_static("kvstore-revision");

/// The member of a 428 with the entries that have other versions than the write named: all of them, or
/// it is not there.
pub const MOVED: &str = "moved";

/// A put as it is sent. What is missing is empty, or 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WirePut {
    #[serde(deserialize_with = "shared_text")]
    key: Key,
    #[serde(default, deserialize_with = "shared_text")]
    value: Value,
    #[serde(default)]
    version: u64,
    /// The epoch that the version was read in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

impl WirePut {
    /// `put`, based on what was read in `epoch`.
    #[must_use]
    pub fn new(put: Put, epoch: Option<u64>) -> Self {
        let Put {
            key,
            value,
            version,
        } = put;
        Self {
            key,
            value,
            version,
            epoch,
        }
    }

    /// The put itself.
    #[must_use]
    pub fn into_put(self) -> Put {
        Put::new(self.key, self.value, self.version)
    }
}

/// Text that is shared from the beginning, instead of being read into a `String` and copied.
fn shared_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    struct SharedText;

    impl Visitor<'_> for SharedText {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(text.into())
        }
    }

    deserializer.deserialize_str(SharedText)
}

/// The query of a get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetQuery<'a> {
    /// The key.
    pub id: Option<Cow<'a, str>>,
}

/// The query of a list; everything may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery<'a> {
    /// What the keys begin with.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub prefix: Cow<'a, str>,
    /// Where to begin, inclusive.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub start: Cow<'a, str>,
    /// How many at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The query of a reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetQuery {
    /// The epoch that is to end, if it must be that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// The entity tag of what was listed at `stamp`: a weak one, since the same may also be sent compressed.
#[must_use]
pub fn etag(stamp: Stamp) -> String {
    format!("W/\"{}-{}\"", stamp.epoch, stamp.revision)
}

/// The stamp that an entity tag names, weak or strong; `None` if it is none of ours.
#[must_use]
pub fn stamp_of(etag: &str) -> Option<Stamp> {
    let tag = etag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let (epoch, revision) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    Some(Stamp {
        epoch: epoch.parse().ok()?,
        revision: revision.parse().ok()?,
    })
}
