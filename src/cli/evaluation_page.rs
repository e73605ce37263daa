//! The report of `rollcall models evaluate` as one HTML file without scripts.

use std::fmt::Write;

use super::evaluate::{HEADINGS, Report, cells, confusion, heading};
use crate::{
    domain::text::html,
    service::evaluation::{Row, Share, Tally},
};

const STYLE: &str = "
:root { color-scheme: light dark; --single: light-dark(#0b57d0, #8ab4f8); --burst: light-dark(#b3261e, #f2b8b5); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); white-space: nowrap; }
svg { max-width: 45rem; width: 100%; height: auto; font-size: 13px; }
svg text { fill: currentColor; }
.grid { stroke: currentColor; stroke-opacity: .2; }
.curve { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.f1 { stroke: var(--single); } .dot.f1 { fill: var(--single); }
.f3 { stroke: var(--burst); stroke-dasharray: 7 4; } .dot.f3 { fill: var(--burst); stroke-dasharray: none; }
";

/// Renders the report.
pub(super) fn render(report: &Report<'_>) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Evaluation of {0}</title>\n<style>{STYLE}</style>\n<h1>Evaluation of {0}</h1>\n",
        html(report.pack)
    );
    list(&mut page, &report.summary());
    page += &curves(&report.evaluation.tallies);
    for tally in &report.evaluation.tallies {
        let _ = writeln!(page, "<h2>{}</h2>", heading(tally.frames));
        table(&mut page, tally);
        let confusions: Vec<_> = tally.confusions.iter().map(confusion).collect();
        list(&mut page, &confusions);
    }
    page += "<p>In brackets: 95 % confidence intervals, in percent.\n";
    let left_out = report.left_out();
    if !left_out.is_empty() {
        page += "<h2>Photos that could not be used</h2>\n";
        list(&mut page, &left_out);
    }
    page
}

fn list(page: &mut String, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    page.push_str("<ul>\n");
    for line in lines {
        let _ = writeln!(page, "<li>{}", html(line));
    }
    page.push_str("</ul>\n");
}

fn table(page: &mut String, tally: &Tally) {
    page.push_str("<div><table>\n<tr>");
    for heading in HEADINGS {
        let _ = write!(page, "<th scope=\"col\">{heading}");
    }
    for row in tally.rows() {
        let [fpir, shares @ ..] = cells(row);
        let _ = write!(page, "\n<tr><th scope=\"row\">{fpir}");
        for share in shares {
            let _ = write!(page, "<td>{share}");
        }
    }
    page.push_str("\n</table></div>\n");
}

/// The size of the curves' area and its margins, in pixels.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 20.0;

/// An axis over decades, from 1 down to 10^−`decades`.
#[derive(Clone, Copy)]
struct Axis {
    decades: i32,
}

impl Axis {
    /// Returns an axis on which one case is visible.
    fn new(shares: impl Iterator<Item = Share>) -> Self {
        let most = shares.map(|share| share.of).max().unwrap_or_default();
        let decades = (most.max(10) as f64).log10().ceil() as i32;
        Self { decades }
    }

    /// Returns the place of a rate, 0..1. Lower rates, and 0, are at the edge.
    fn place(self, rate: f64) -> f64 {
        let decades = f64::from(self.decades);
        (1.0 + rate.log10() / decades).max(0.0)
    }

    /// Returns the rates of the grid.
    fn marks(self) -> impl Iterator<Item = f64> {
        (0..=self.decades).map(|decade| 10f64.powi(-decade))
    }
}

/// Draws the detection error tradeoff: FNIR over FPIR, on logarithmic axes.
fn curves(tallies: &[Tally]) -> String {
    let rows = || tallies.iter().flat_map(|tally| &tally.curve);
    let across = Axis::new(rows().map(Row::measured_fpir));
    let up = Axis::new(rows().map(Row::fnir));
    let x = |rate: f64| LEFT + WIDTH * across.place(rate);
    let y = |rate: f64| TOP + HEIGHT * (1.0 - up.place(rate));
    let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
    let mut svg = format!(
        "<h2>Errors</h2>\n<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"FNIR over FPIR\">\n",
        right + 20.0,
        bottom + 50.0
    );
    for rate in across.marks() {
        let (x, label) = (x(rate), bottom + 20.0);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text x=\"{x:.1}\" y=\"{label}\" text-anchor=\"middle\">{}</text>",
            mark(rate)
        );
    }
    for rate in up.marks() {
        let (y, label) = (y(rate), LEFT - 8.0);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            y + 4.0,
            mark(rate)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">strangers named (FPIR)</text>\
         <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">enrolled people not named rightly (FNIR)</text>",
        LEFT + WIDTH / 2.0,
        bottom + 42.0,
        TOP + HEIGHT / 2.0
    );
    for (number, tally) in tallies.iter().enumerate() {
        let place = |row: &Row| {
            let (fpir, fnir) = (row.measured_fpir().value()?, row.fnir().value()?);
            Some((x(fpir), y(fnir)))
        };
        let mut line = String::new();
        for (x, y) in tally.curve.iter().filter_map(place) {
            let _ = write!(
                line,
                "{}{x:.1} {y:.1}",
                if line.is_empty() { 'M' } else { 'L' }
            );
        }
        if line.is_empty() {
            continue;
        }
        let frames = tally.frames;
        let _ = writeln!(svg, "<path class=\"curve f{frames}\" d=\"{line}\"/>");
        for row in tally.rows() {
            let Some((x, y)) = place(row) else { continue };
            let [fpir, ..] = cells(row);
            let _ = writeln!(
                svg,
                "<circle class=\"dot f{frames}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}, FPIR {fpir}</title></circle>",
                heading(frames)
            );
        }
        let key = TOP + 18.0 + 20.0 * number as f64;
        let _ = writeln!(
            svg,
            "<path class=\"curve f{frames}\" d=\"M{} {}h34\"/><text x=\"{}\" y=\"{key}\">{}</text>",
            right - 150.0,
            key - 4.0,
            right - 108.0,
            heading(frames)
        );
    }
    svg += "</svg>\n<p>Measured rates on logarithmic axes; lower is better. A rate of 0 is at the edge. \
            The dots are the rates at the accepted FPIRs of the tables.\n";
    svg
}

/// Returns a decade in percent.
fn mark(rate: f64) -> String {
    format!("{} %", (rate * 1e8).round() / 1e6)
}
