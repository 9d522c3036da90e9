//! Reads the text of `/metrics`, and takes nothing that OpenMetrics does not allow.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::http::{Connection, get, header};

type Labels = BTreeMap<String, String>;

/// What a process tells its operators.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) text: String,
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Figures {
    /// Those that the process tells whose operators are served at `address`.
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let mut connection = Connection::open(address).await.expect("it listens");
        let answer = connection.call(&get("/metrics")).await;
        let answer = answer.expect("it answers");
        assert_eq!(answer.status(), 200);
        let kind = header(&answer, "content-type");
        assert_eq!(
            kind,
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        let text = String::from_utf8(answer.body().to_vec()).expect("the figures are text");
        Self::parse(text.clone()).unwrap_or_else(|mistake| panic!("{mistake} in:\n{text}"))
    }

    /// Reads `text`, or says what is wrong with it.
    pub(crate) fn parse(text: String) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("the end is missing")?;
        let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
        let mut lines = body.lines().peekable();
        while let Some(line) = lines.next() {
            let help = line.strip_prefix("# HELP ").ok_or(format!("{line:?}"))?;
            let (family, help) = help.split_once(' ').ok_or(format!("{line:?}"))?;
            if help.is_empty() || !is_name(family) {
                return Err(format!("{line:?}"));
            }
            let kind = lines
                .next()
                .and_then(|line| line.strip_prefix("# TYPE "))
                .and_then(|line| line.strip_prefix(family)?.strip_prefix(' '))
                .ok_or(format!("{family} has no type"))?;
            if kinds.insert(family.to_owned(), kind.to_owned()).is_some() {
                return Err(format!("{family} comes twice"));
            }
            let mut own = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                own.push(sample(line, family, kind).ok_or(format!("{line:?}"))?);
            }
            if kind == "histogram" {
                histograms(family, &own)?;
            }
            for (name, labels, value) in own {
                if samples.insert((name.clone(), labels), value).is_some() {
                    return Err(format!("a series of {name} comes twice"));
                }
            }
        }
        Ok(Self {
            text,
            kinds,
            samples,
        })
    }

    /// The value of a series, if it is there.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter();
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let key = (name.to_owned(), labels.collect());
        self.samples.get(&key).copied()
    }

    /// The value of a series without labels, which must be there.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> f64 {
        let value = self.get(name, &[]);
        value.unwrap_or_else(|| panic!("no {name} in:\n{}", self.text))
    }

    /// Whether there is a series of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|(of, _)| of == name)
    }

    /// The values of all series of a name, added.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let same = self.samples.iter().filter(|((of, _), _)| of == name);
        same.map(|(_, value)| value).sum()
    }

    /// The values that a label has.
    pub(crate) fn values(&self, label: &str) -> BTreeSet<&str> {
        let labels = self
            .samples
            .keys()
            .filter_map(|(_, labels)| labels.get(label));
        labels.map(String::as_str).collect()
    }

    /// What kind of figures a family has.
    pub(crate) fn kind(&self, family: &str) -> Option<&str> {
        self.kinds.get(family).map(String::as_str)
    }
}

fn sample(line: &str, family: &str, kind: &str) -> Option<(String, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, read_labels(labels.strip_suffix('}')?)?),
        None => (series, Labels::new()),
    };
    let suffix = name.strip_prefix(family)?;
    let is_of_kind = match kind {
        "counter" => suffix == "_total",
        "gauge" => suffix.is_empty(),
        "info" => suffix == "_info",
        "histogram" => match suffix {
            "_bucket" => labels.contains_key("le"),
            "_sum" | "_count" => !labels.contains_key("le"),
            _ => false,
        },
        _ => false,
    };
    let value: f64 = value.parse().ok()?;
    let can_be = value.is_finite() && (kind == "gauge" || value >= 0.0);
    (is_of_kind && can_be).then(|| (name.to_owned(), labels, value))
}

/// `name="value"`, separated by commas; none here has a character that is escaped.
fn read_labels(mut text: &str) -> Option<Labels> {
    let mut labels = Labels::new();
    loop {
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = rest.split_once('"')?;
        let is_new = labels.insert(name.to_owned(), value.to_owned()).is_none();
        if !is_name(name) || value.contains('\\') || !is_new {
            return None;
        }
        match rest.strip_prefix(',') {
            Some(more) => text = more,
            None => return rest.is_empty().then_some(labels),
        }
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(plain)
}

/// Whether buckets are in order, cumulative, and agree with the count.
fn histograms(family: &str, samples: &[(String, Labels, f64)]) -> Result<(), String> {
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let mut sums = BTreeSet::new();
    for (name, labels, value) in samples {
        let mut labels = labels.clone();
        match (labels.remove("le"), &name[family.len()..]) {
            (Some(bound), _) => {
                let bound = match &*bound {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse().map_err(|_| format!("a bound of {family}"))?,
                };
                buckets.entry(labels).or_default().push((bound, *value));
            }
            (None, "_count") => drop(counts.insert(labels, *value)),
            (None, _) => drop(sums.insert(labels)),
        }
    }
    if !counts.keys().eq(buckets.keys()) || !counts.keys().eq(&sums) {
        return Err(format!("{family} is not whole"));
    }
    for (labels, buckets) in buckets {
        let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        let last = buckets.last().copied();
        if !buckets.windows(2).all(rises) || last != Some((f64::INFINITY, counts[&labels])) {
            return Err(format!("the buckets of {family} {labels:?}"));
        }
    }
    Ok(())
}
