//! QR codes, and badges as SVG and as a page to print. They have presentation attributes only, because
//! the Content-Security-Policy allows no inline style.

use std::fmt::Write;

use barcoders::sym::code128::Code128;
use qrcode::{EcLevel, QrCode};

use crate::domain::{employees::Employee, punch_credentials::BadgeCode, text::html};

/// Light modules around a QR code (ISO/IEC 18004).
const QR_QUIET: usize = 4;
/// Narrow bars of white on both sides of Code 128 (ISO/IEC 15417).
const BARS_QUIET: usize = 10;

/// A grid of dark and light squares.
struct Grid {
    width: usize,
    height: usize,
    /// The path of the dark squares.
    dark: String,
}

impl Grid {
    /// Draws rows of squares with a quiet zone on each side, and above and below them if there are
    /// several rows.
    fn new(rows: &[&[bool]], quiet: usize) -> Self {
        let above = if rows.len() > 1 { quiet } else { 0 };
        let mut dark = String::new();
        for (y, row) in rows.iter().enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|one, next| one == next) {
                if run[0] {
                    let (left, top, length) = (x + quiet, y + above, run.len());
                    // Writing to a string does not fail.
                    let _ = write!(dark, "M{left} {top}h{length}v1h-{length}z");
                }
                x += run.len();
            }
        }
        let columns = rows.first().map_or(0, |row| row.len());
        Self {
            width: columns + 2 * quiet,
            height: rows.len() + 2 * above,
            dark,
        }
    }

    /// Returns the SVG with attributes for its place and size.
    fn svg(&self, place: &str) -> String {
        let Self {
            width,
            height,
            dark,
        } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\"{place} viewBox=\"0 0 {width} {height}\" \
             preserveAspectRatio=\"none\" shape-rendering=\"crispEdges\">\
             <path fill=\"#fff\" d=\"M0 0h{width}v{height}H0z\"/>\
             <path fill=\"#000\" d=\"{dark}\"/></svg>"
        )
    }
}

/// Draws a QR code; `None` if the text does not fit into one, which that of a badge always does.
fn qr(text: &str) -> Option<Grid> {
    let qr = QrCode::with_error_correction_level(text, EcLevel::Q).ok()?;
    let dark: Vec<bool> = qr
        .to_colors()
        .iter()
        .map(|color| color.select(true, false))
        .collect();
    let rows: Vec<&[bool]> = dark.chunks(qr.width()).collect();
    Some(Grid::new(&rows, QR_QUIET))
}

/// Draws the Code 128 of a badge, two digits in a symbol; `None` as for [`qr`].
fn bars(code: &BadgeCode) -> Option<Grid> {
    // The first character selects the character set C.
    let bars = Code128::new(format!("\u{0106}{}", code.reveal())).ok()?;
    let dark: Vec<bool> = bars.encode().into_iter().map(|bar| bar == 1).collect();
    Some(Grid::new(&[&dark], BARS_QUIET))
}

/// Returns a QR code as SVG.
pub fn qr_svg(text: &str) -> Option<String> {
    Some(qr(text)?.svg(" width=\"240\" height=\"240\""))
}

/// Returns the Code 128 of a badge as SVG.
pub fn bars_svg(code: &BadgeCode) -> Option<String> {
    Some(bars(code)?.svg(" width=\"440\" height=\"80\""))
}

/// The size of a badge, that of a bank card (ISO/IEC 7810 ID-1), millimeters.
const CARD: (usize, usize) = (86, 54);
/// The space between badges, millimeters.
const GAP: usize = 8;
/// The columns and rows of a page. It fits on A4 with the margins that browsers leave.
const COLUMNS: usize = 2;
const ROWS: usize = 4;

/// Returns a page to print with the badges of employees; `None` as for [`qr`].
pub fn sheet(badges: &[(Employee, BadgeCode)]) -> Option<String> {
    let (width, height) = (COLUMNS * CARD.0 + GAP, ROWS * CARD.1 + (ROWS - 1) * GAP);
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Badges</title></head><body>",
    );
    for badges in badges.chunks(COLUMNS * ROWS) {
        let _ = write!(
            page,
            "<div><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\">"
        );
        for (number, (employee, code)) in badges.iter().enumerate() {
            let left = number % COLUMNS * (CARD.0 + GAP);
            let top = number / COLUMNS * (CARD.1 + GAP);
            page.push_str(&card(employee, code, left, top)?);
        }
        page.push_str("</svg></div>");
    }
    page.push_str("</body></html>");
    Some(page)
}

/// Draws one badge of a page.
fn card(employee: &Employee, code: &BadgeCode, left: usize, top: usize) -> Option<String> {
    let (width, height) = CARD;
    let mut card = format!(
        "<svg x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\
         <rect x=\"0.2\" y=\"0.2\" width=\"85.6\" height=\"53.6\" rx=\"3\" fill=\"#fff\" stroke=\"#999\" stroke-width=\"0.2\"/>"
    );
    for (line, text) in lines(employee.name.as_str()).iter().enumerate() {
        let (y, text) = (11 + 6 * line, html(text));
        let _ = write!(
            card,
            "<text x=\"5\" y=\"{y}\" font-size=\"5\" font-weight=\"bold\">{text}</text>"
        );
    }
    let number = html(&shortened(employee.code.as_str()));
    let _ = write!(
        card,
        "<text x=\"5\" y=\"24\" font-size=\"4\">{number}</text>"
    );
    card.push_str(&qr(code.reveal())?.svg(" x=\"57\" y=\"3\" width=\"26\" height=\"26\""));
    card.push_str(&bars(code)?.svg(" x=\"5\" y=\"32\" width=\"76\" height=\"13\""));
    let digits: Vec<&str> = (0..BadgeCode::DIGITS / 5)
        .map(|part| &code.reveal()[part * 5..][..5])
        .collect();
    let digits = digits.join(" ");
    let _ = write!(
        card,
        "<text x=\"43\" y=\"50\" font-size=\"3\" text-anchor=\"middle\">{digits}</text></svg>"
    );
    Some(card)
}

/// The most characters of a line on a badge.
const LINE: usize = 19;

/// Returns a name in at most two lines.
fn lines(name: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in name.split(' ') {
        let full = lines.len() == 2;
        match lines.last_mut() {
            Some(line) if full || line.chars().count() + word.chars().count() < LINE => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| shortened(line)).collect()
}

fn shortened(text: &str) -> String {
    match text.chars().count() > LINE {
        true => text.chars().take(LINE - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_two_lines_and_markup_is_text() {
        assert_eq!(lines("Ann"), ["Ann"]);
        assert_eq!(
            lines("Grace Brewster Murray Hopper"),
            ["Grace Brewster", "Murray Hopper"]
        );
        let long = lines("Wolfeschlegelsteinhausenbergerdorff and many more words of a name");
        assert_eq!(long.len(), 2);
        assert!(
            long.iter().all(|line| line.chars().count() <= LINE),
            "{long:?}"
        );
        assert_eq!(html("<b>&"), "&lt;b&gt;&amp;");
    }
}
