//! What operators are woken by.

use std::fs;
use std::path::Path;

use crate::objects::Objects;
use crate::schema::{PodMonitor, PrometheusRule};

/// The metrics that rules may use.
const METRICS: [&str; 6] = [
    "splitdim_build_info",
    "splitdim_commit_duration_seconds",
    "kvstore_commit_duration_seconds",
    "splitdim_oldest_open_transfer_seconds",
    "splitdim_quarantined",
    "splitdim_transfers_total",
];

#[test]
fn what_must_be_told_is_told() {
    let alerts: Vec<_> = rules().into_iter().map(|rule| rule.alert).collect();
    let wanted = [
        "SplitdimQuarantined",
        "SplitdimTransferOpen",
        "SplitdimUnknownOutcomes",
        "SplitdimTransfersNotApplied",
        "SplitdimCommitsSlow",
        "SplitdimAbsent",
    ];
    assert_eq!(alerts, wanted);
}

#[test]
fn rules_use_metrics_that_there_are() {
    for rule in rules() {
        let expression = rule.expr.replace("(splitdim|kvstore)_", "kvstore_");
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics =
            words.filter(|word| word.starts_with("splitdim_") || word.starts_with("kvstore_"));
        let metrics: Vec<_> = metrics
            .map(|word| word.trim_end_matches("_bucket"))
            .collect();
        assert!(!metrics.is_empty(), "{}", rule.alert);
        for metric in metrics {
            assert!(METRICS.contains(&metric), "{}: {metric}", rule.alert);
        }
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let operations = Path::new(env!("CARGO_MANIFEST_DIR")).join("OPERATIONS.md");
    let operations = fs::read_to_string(operations).expect("it can be read");
    for rule in rules() {
        let anchor = format!("OPERATIONS.md#{}", rule.alert.to_lowercase());
        assert_eq!(rule.annotations.runbook, anchor);
        let heading = format!("### {}\n", rule.alert);
        assert!(operations.contains(&heading), "{}", rule.alert);
    }
}

#[test]
fn metrics_are_gathered_from_the_port_that_serves_them() {
    let monitor: PodMonitor = Objects::written("monitoring").get("PodMonitor", "splitdim");
    let selected = &monitor.spec.selector.match_labels;
    assert_eq!(selected["app.kubernetes.io/part-of"], "splitdim");
    let [endpoint] = &monitor.spec.pod_metrics_endpoints[..] else {
        panic!("one port has them: {monitor:?}");
    };
    assert_eq!((&*endpoint.port, &*endpoint.path), ("ops", "/metrics"));
}

fn rules() -> Vec<crate::schema::AlertRule> {
    let rules: PrometheusRule = Objects::written("monitoring").get("PrometheusRule", "splitdim");
    let groups = rules.spec.groups.into_iter();
    groups.flat_map(|group| group.rules).collect()
}
