//! The table, in Markdown.

use crate::Outcome;
use crate::host;
use crate::pair::{Measurement, Pair};
use crate::row::{MAX_STOLEN, Row};
use crate::settings::Settings;
use crate::subject;
use crate::usage::Memory;

/// Where and how it was measured.
pub(crate) fn header(settings: &Settings) -> Outcome<String> {
    Ok(format!(
        "Machine: {}, shared with wrk; data on {}.  \n\
         Measured with `wrk -t1`, {} pairs of {} s in turn; medians. The ratio is requests/s of splitdim over \
         the bare server's, pair by pair: median (lowest to highest).\n",
        host::description()?,
        host::file_system(subject::DATA_PARENT)?,
        settings.pairs,
        settings.seconds,
    ))
}

/// The rows, two lines each, and below them what else is to be known of one.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| Row | Server | Requests/s | p50 ms | p99 ms | CPU µs/request | RSS MiB (peak) | Requests | Ratio |"
            .to_owned(),
        "|---|---|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for row in rows {
        let baseline: Vec<_> = row.pairs.iter().map(|pair| pair.baseline).collect();
        let subject: Vec<_> = row.pairs.iter().map(|pair| pair.subject).collect();
        lines.push(format!(
            "| {} | bare axum | {} | |",
            row.name,
            cells(&baseline, row.baseline_memory)
        ));
        lines.push(format!(
            "| | {} | {} | {} |",
            row.subject.program(),
            cells(&subject, row.subject_memory),
            with_range(row.pairs.iter().map(Pair::ratio).collect())
        ));
    }
    let notes: Vec<_> = rows.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(notes);
    }
    lines.join("\n") + "\n"
}

/// From requests per second to the requests of all pairs that count: splitdim's memory grows with what it was told.
fn cells(measurements: &[Measurement], memory: Memory) -> String {
    let median_of =
        |value: fn(&Measurement) -> f64| median(measurements.iter().map(value).collect());
    let requests: u64 = measurements.iter().map(|one| one.counts.requests).sum();
    format!(
        "{} | {:.2} | {:.2} | {:.1} | {:.1} ({:.1}) | {}",
        grouped(median_of(|one| one.counts.rate).round() as u64),
        median_of(|one| one.counts.p50.as_secs_f64() * 1e3),
        median_of(|one| one.counts.p99.as_secs_f64() * 1e3),
        median_of(Measurement::cpu_per_request),
        mebibytes(memory.resident),
        mebibytes(memory.peak),
        grouped(requests),
    )
}

/// The median of `ratios`, and the lowest and the highest of them.
pub(crate) fn with_range(ratios: Vec<f64>) -> String {
    let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("**{:.2}** ({lowest:.2} to {highest:.2})", median(ratios))
}

fn notes(row: &Row) -> Vec<String> {
    let mut notes = Vec::new();
    if row.body_size > 0 {
        notes.push(format!(
            "- {}: a body of {} bytes from both.",
            row.name,
            grouped(row.body_size as u64)
        ));
    }
    if let Some(requests) = row.store_requests {
        notes.push(format!(
            "- {}: {requests:.2} requests to the store a transfer.",
            row.name
        ));
    }
    if row.repeats > 0 {
        notes.push(format!(
            "- {}: pairs measured again because more than {:.0} % of the processors' time was stolen: {}.",
            row.name,
            MAX_STOLEN * 100.0,
            row.repeats
        ));
    }
    let disturbed = row
        .pairs
        .iter()
        .filter(|pair| pair.stolen > MAX_STOLEN)
        .count();
    if disturbed > 0 {
        notes.push(format!(
            "- {}: **disturbed**: in {disturbed} of the {} pairs above more than {:.0} % was stolen all the same.",
            row.name,
            row.pairs.len(),
            MAX_STOLEN * 100.0
        ));
    }
    notes
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

pub(crate) fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
