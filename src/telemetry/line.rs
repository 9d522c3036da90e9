use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::context::{self, Context};

/// Writes lines as `format` does; those that belong to a request end with its id and its trace.
#[derive(Debug)]
pub(super) struct Lines<Kind> {
    format: Format<Kind>,
    end: fn(&mut String, &Context),
}

impl Lines<Full> {
    pub(super) fn text(format: Format<Full>) -> Self {
        Self {
            format,
            end: |line, request| {
                let (id, trace) = (request.id(), request.trace().id());
                line.push_str(&format!(" request_id={id} trace_id={trace}"));
            },
        }
    }
}

impl Lines<Json> {
    pub(super) fn json(format: Format<Json>) -> Self {
        Self {
            format,
            end: |line, request| {
                // The line is an object, and neither of the two has a character to be escaped.
                if line.pop() == Some('}') {
                    let (id, trace) = (request.id(), request.trace().id());
                    line.push_str(&format!(r#","request_id":"{id}","trace_id":"{trace}"}}"#));
                }
            },
        }
    }
}

impl<S, N, Kind> FormatEvent<S, N> for Lines<Kind>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    Format<Kind>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(request) = context::current() else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        line.truncate(line.trim_end_matches('\n').len());
        (self.end)(&mut line, &request);
        writeln!(writer, "{line}")
    }
}
