//! A trace as it is told from service to service (Trace Context, W3C).

use axum::http::HeaderName;
use uuid::Uuid;

/// The header that names a trace, and who asks on its behalf.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header that holds what other tracing systems have noted of a trace.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The bytes of a `traceparent` of the version that is known: `00-<trace>-<parent>-<flags>`.
const LENGTH: usize = 55;

/// The one flag that is known: whoever asked keeps what it finds out.
const SAMPLED: u8 = 1;

/// A request that several services work for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    flags: u8,
    state: Option<Box<str>>,
}

impl Trace {
    /// The trace that the value of a `traceparent` names. `None` if it is none; then a trace begins
    /// here.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let version = hex(bytes.get(..2)?)?;
        let is_whole = match version {
            0 => bytes.len() == LENGTH,
            0xff => false,
            // A later version may say more.
            _ => bytes.len() == LENGTH || bytes.get(LENGTH) == Some(&b'-'),
        };
        let dashed = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if !is_whole || !dashed {
            return None;
        }
        let (id, parent) = (hex(&bytes[3..35])?, hex(&bytes[36..52])?);
        let flags = u8::try_from(hex(&bytes[53..LENGTH])?).ok()?;
        (id != 0 && parent != 0).then_some(Self {
            id,
            flags: flags & SAMPLED,
            state: None,
        })
    }

    /// The same with what other tracing systems have noted of it (`tracestate`).
    #[must_use]
    pub fn with_state(self, state: &str) -> Self {
        Self {
            state: Some(state.into()),
            ..self
        }
    }

    /// A trace that begins here. Nobody has asked to keep what becomes of it.
    #[must_use]
    pub fn of(id: Uuid) -> Self {
        Self {
            id: id.as_u128(),
            flags: 0,
            state: None,
        }
    }

    /// Its id, as it is written.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", self.id)
    }

    /// A `traceparent` for a service that is asked on behalf of this request.
    #[must_use]
    pub fn parent_of_next(&self) -> String {
        let mut digits = Uuid::encode_buffer();
        let mut parent = String::with_capacity(LENGTH);
        parent.push_str("00-");
        parent.push_str(Uuid::from_u128(self.id).simple().encode_lower(&mut digits));
        parent.push('-');
        // Its lower half is random but for two bits, which are never both zero.
        let span = Uuid::now_v7().simple().encode_lower(&mut digits);
        parent.push_str(&span[16..]);
        parent.push_str(if self.flags == SAMPLED { "-01" } else { "-00" });
        parent
    }

    /// What is to be passed on with it, as it came.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// The number that `digits` are, which must be hexadecimal in lower case.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_taken_over_and_passed_on_with_another_parent() {
        let trace = Trace::parse(PARENT).unwrap();
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let next = trace.parent_of_next();
        assert_eq!(Trace::parse(&next), Some(trace.clone()));
        assert_ne!(next[36..52], PARENT[36..52]);
        assert_ne!(next, trace.parent_of_next());
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = format!("01{}-and-more", &PARENT[2..]);
        assert_eq!(Trace::parse(&later), Trace::parse(PARENT));
    }

    #[test]
    fn what_is_no_trace_is_not_taken_over() {
        let long = format!("{PARENT}-more");
        for text in [
            "",
            "00",
            &PARENT[..54],
            &long,
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "ä0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        ] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }
}
