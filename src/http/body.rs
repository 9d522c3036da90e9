//! The body of a transfer: JSON, whatever its content type says.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::{self, Misread};
use crate::ledger::{Amount, InvalidAmount, InvalidName, MAX_BALANCE, Name, SamePerson, Transfer};
use crate::web::Object;

/// Reads the transfer that `body` describes.
///
/// # Errors
///
/// [`InvalidTransfer`] names the first field that is wrong.
pub(super) fn parse(body: &[u8]) -> Result<Transfer, InvalidTransfer> {
    let Object(Fields {
        sender,
        receiver,
        amount,
    }) = json::read(body).map_err(|misread| match misread {
        Misread::Other(_) => InvalidTransfer::NoTransfer,
        no_json => InvalidTransfer::NoJson(no_json),
    })?;
    let sender = name("sender", sender)?;
    let receiver = name("receiver", receiver)?;
    let amount = match amount {
        Field::Missing => return Err(InvalidTransfer::Missing("amount")),
        Field::Integer(units) => Amount::new(units)?,
        Field::Beyond => return Err(InvalidAmount::TooLarge.into()),
        Field::Text(_) | Field::Other => return Err(InvalidTransfer::NoInteger),
    };
    Ok(Transfer::new(sender, receiver, amount)?)
}

fn name(field: &'static str, value: Field<'_>) -> Result<Name, InvalidTransfer> {
    match value {
        Field::Text(text) => Name::new(&text).map_err(|error| InvalidTransfer::Name(field, error)),
        Field::Missing => Err(InvalidTransfer::Missing(field)),
        _ => Err(InvalidTransfer::NoText(field)),
    }
}

/// A body that is no transfer. The messages are for the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTransfer {
    #[error("{0}")]
    NoJson(Misread),
    #[error(
        "The body must be a JSON object with \"sender\", \"receiver\" and \"amount\", each once."
    )]
    NoTransfer,
    #[error("The field \"{0}\" is missing.")]
    Missing(&'static str),
    #[error("The field \"{0}\" must be a string.")]
    NoText(&'static str),
    #[error("The field \"amount\" must be an integer from 1 to {MAX_BALANCE}.")]
    NoInteger,
    #[error("The field \"{0}\" {1}.")]
    Name(&'static str, InvalidName),
    #[error("The field \"amount\" {0}.")]
    Amount(#[from] InvalidAmount),
    #[error("The field \"receiver\" {0}.")]
    SamePerson(#[from] SamePerson),
}

impl InvalidTransfer {
    /// The field that is wrong.
    pub(super) fn field(&self) -> Option<&'static str> {
        match self {
            Self::NoJson(_) | Self::NoTransfer => None,
            Self::Missing(field) | Self::NoText(field) | Self::Name(field, _) => Some(field),
            Self::NoInteger | Self::Amount(_) => Some("amount"),
            Self::SamePerson(_) => Some("receiver"),
        }
    }
}

#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    sender: Field<'a>,
    #[serde(borrow, default)]
    receiver: Field<'a>,
    #[serde(borrow, default)]
    amount: Field<'a>,
}

/// A value, as far as a transfer needs it.
#[derive(Default)]
enum Field<'a> {
    #[default]
    Missing,
    Text(Cow<'a, str>),
    Integer(i64),
    /// An integer past 63 bits.
    Beyond,
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Field::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Field::Beyond, Field::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}
