//! The dashboard and the alerts, checked against the metrics of the program and the documentation.

use promql_parser::{
    label::Matchers,
    parser::{self, Expr, LabelModifier},
    util::{ExprVisitor, walk_expr},
};

use super::*;

/// Labels that Prometheus itself adds.
const OF_PROMETHEUS: &[&str] = &["instance", "job"];

/// Returns the documented metrics with their labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = text("docs/OPERATIONS.md");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `rollcall_")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`');
        let labels = cells.next()?.split(',').map(str::trim);
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        Some((format!("rollcall_{name}"), labels.collect()))
    });
    rows.collect()
}

/// Returns the metrics in the source.
fn made() -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    let mut folders = vec![project("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(path).unwrap();
            for kind in ["counter!(", "gauge!(", "histogram!("] {
                for after in source.split(kind).skip(1) {
                    let name = after.trim_start().strip_prefix('"').unwrap_or_default();
                    if name.starts_with("rollcall_") {
                        made.insert(name.split('"').next().unwrap().to_owned());
                    }
                }
            }
        }
    }
    made
}

/// The metrics of an expression, with all labels in it.
#[derive(Default)]
struct Asked {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
}

impl Asked {
    fn matchers(&mut self, matchers: &Matchers) {
        assert!(matchers.or_matchers.is_empty());
        let names = matchers.matchers.iter().map(|matcher| matcher.name.clone());
        self.labels.extend(names);
    }
}

impl ExprVisitor for Asked {
    type Error = String;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, String> {
        match expr {
            Expr::VectorSelector(selector) => {
                self.metrics.extend(selector.name.clone());
                self.matchers(&selector.matchers);
            }
            Expr::MatrixSelector(selector) => {
                self.metrics.extend(selector.vs.name.clone());
                self.matchers(&selector.vs.matchers);
            }
            Expr::Aggregate(aggregate) => {
                if let Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) =
                    &aggregate.modifier
                {
                    self.labels.extend(labels.labels.iter().cloned());
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// Parses an expression, and checks that its metrics and labels are documented.
fn assert_known(what: &str, expression: &str) {
    let expression = expression
        .replace("$job", "rollcall")
        .replace("$instance", ".*");
    let parsed = parser::parse(&expression).unwrap_or_else(|why| panic!("{what}: {why}"));
    let mut asked = Asked::default();
    walk_expr(&mut asked, &parsed).unwrap();
    assert!(!asked.metrics.is_empty(), "{what} asks for nothing");
    let documented = documented();
    let mut labels: BTreeSet<&str> = OF_PROMETHEUS.iter().copied().collect();
    for metric in &asked.metrics {
        if metric == "up" {
            continue;
        }
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| metric.strip_suffix(part))
            .filter(|name| name.ends_with("_seconds"))
            .unwrap_or(metric);
        if metric.ends_with("_bucket") {
            labels.insert("le");
        }
        let known = documented.get(name);
        let known =
            known.unwrap_or_else(|| panic!("{what} uses {metric}, which is not documented"));
        labels.extend(known.iter().map(String::as_str));
    }
    for label in &asked.labels {
        assert!(labels.contains(label.as_str()), "{what} names {label}");
    }
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let documented: BTreeSet<_> = documented().into_keys().collect();
    assert_eq!(made(), documented);
}

#[test]
fn the_dashboard_uses_existing_metrics() {
    let dashboard: Value = serde_json::from_str(&text("deploy/monitoring/grafana.json")).unwrap();
    let (mut ids, mut asked) = (BTreeSet::new(), 0);
    for panel in items(&dashboard["panels"]) {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let title = string(panel, "title");
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
        assert!(right <= 24, "{title} does not fit");
        for target in items(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert_known(title, string(target, "expr"));
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    // The dashboard shows every metric.
    let shown = dashboard.to_string();
    for name in documented().keys() {
        assert!(shown.contains(name.as_str()), "{name} is not shown");
    }
}

#[test]
fn every_alert_uses_existing_metrics_and_is_explained() {
    let rules = yaml("deploy/monitoring/alerts.yml");
    let docs = text("docs/OPERATIONS.md");
    let explained: BTreeSet<_> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `Rollcall")?.split('`').next())
        .map(|name| format!("Rollcall{name}"))
        .collect();
    let mut alerts = BTreeSet::new();
    for group in items(&rules["groups"]) {
        for rule in items(&group["rules"]) {
            let name = string(rule, "alert");
            assert_known(name, string(rule, "expr"));
            assert!(["page", "warn"].contains(&string(&rule["labels"], "severity")));
            assert!(!string(&rule["annotations"], "summary").is_empty());
            alerts.insert(name.to_owned());
        }
    }
    assert!(alerts.len() >= 10);
    assert_eq!(alerts, explained);
}
