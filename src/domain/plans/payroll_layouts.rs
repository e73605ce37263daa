//! Layouts of files for payroll programs.

use std::{fmt, sync::LazyLock};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::entry::{BY_NAME, Settings};
use crate::domain::{
    attendance::Day,
    ids::{PayrollLayoutId, SiteId},
    record::{Changes, Kind},
    text::SiteName,
};

/// A layout under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PayrollLayout {
    /// The name, unique without regard to case.
    pub name: SiteName,
    /// The layout.
    pub layout: Layout,
}

/// How the file of a payroll program is made: rows of an employee, a date or a period, a wage type
/// and a quantity in hours. In JSON, what is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// What a row is for.
    pub per: Per,
    /// Whether all wage types are in one row, each in columns of its own.
    #[serde(default)]
    pub one_row: bool,
    /// What separates cells.
    #[serde(default)]
    pub separator: Separator,
    /// The decimal sign of quantities.
    #[serde(default)]
    pub decimal: DecimalSign,
    /// How dates are written.
    #[serde(default)]
    pub date_format: DateFormat,
    /// Which cells are in quotation marks.
    #[serde(default)]
    pub quote: Quote,
    /// The encoding of the file.
    #[serde(default)]
    pub encoding: FileEncoding,
    /// The lines before the rows, in which `{from}` and `{to}` are the dates of the export.
    #[serde(default)]
    pub header: Vec<HeaderLine>,
    /// The columns.
    pub columns: Vec<LayoutColumn>,
    /// The wage types of figures. A figure without one makes no row.
    pub wage_types: Vec<WageTypeOf>,
}

/// The wage type of a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WageTypeOf {
    /// The figure.
    pub figure: FigureName,
    /// The wage type.
    pub wage_type: WageType,
}

impl Layout {
    /// The most lines of a header.
    pub const HEADER_MOST: usize = 40;
    /// The most columns.
    pub const COLUMNS_MOST: usize = 60;
    /// The most wage types.
    pub const WAGE_TYPES_MOST: usize = 100;
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$case_doc])* $case),+
        }
    )+};
}

words! {
    /// What a row is for.
    Per {
        /// A workday.
        Day,
        /// All dates of the export.
        #[default]
        Period,
    }
    /// What separates cells.
    Separator {
        /// A comma.
        #[default]
        Comma,
        /// A semicolon.
        Semicolon,
        /// A tab.
        Tab,
    }
    /// A decimal sign.
    DecimalSign {
        /// A point.
        #[default]
        Point,
        /// A comma.
        Comma,
    }
    /// Which cells are in quotation marks.
    Quote {
        /// Those that need them.
        #[default]
        Needed,
        /// All.
        Always,
        /// None. What would need them is replaced by spaces.
        Never,
    }
    /// The encoding of a file.
    FileEncoding {
        /// UTF-8.
        #[default]
        Utf8,
        /// Windows-1252, which payroll programs for Windows expect. Other characters are question
        /// marks.
        Windows1252,
    }
    /// What a column contains.
    LayoutField {
        /// Always the same text.
        #[default]
        Text,
        /// The code of the employee.
        EmployeeCode,
        /// The name of the employee.
        EmployeeName,
        /// The name without its last word.
        FirstName,
        /// The last word of the name.
        LastName,
        /// The name of the employee's site.
        SiteName,
        /// The workday; the last date in a row for a period.
        Date,
        /// The first date of the export.
        From,
        /// The last date of the export.
        To,
        /// The wage type.
        WageType,
        /// The hours, with two decimals.
        Quantity,
    }
}

/// A column of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutColumn {
    /// What it contains.
    pub field: LayoutField,
    /// The text of a column that is always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<HeaderLine>,
    /// For wage types and quantities: empty for other wage types than these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<WageType>,
    /// For wage types and quantities: empty for these wage types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<WageType>,
}

impl LayoutColumn {
    /// Checks whether the column shows a wage type.
    pub fn shows(&self, wage_type: &WageType) -> bool {
        (self.only.is_empty() || self.only.contains(wage_type)) && !self.except.contains(wage_type)
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $error:ident = $rule:literal => $valid:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        /// The error for another text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($rule)]
        pub struct $error;

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                let valid: fn(&str) -> bool = $valid;
                match text.chars().any(char::is_control) || !valid(&text) {
                    true => Err($error),
                    false => Ok(Self(text)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

/// The prefixes of figures that have a name of their own.
const NAMED: [&str; 2] = ["bands.", "leave_by_kind."];

texts! {
    /// A line of a header, or a text of a column; at most 500 characters.
    HeaderLine, NotALine = "must be at most 500 characters on one line" =>
        |text| text.chars().count() <= 500;
    /// The number or code of a wage type; 1 to 64 characters.
    WageType, NotAWageType = "must be 1 to 64 characters" =>
        |text| (1..=64).contains(&text.chars().count());
    /// How a date is written: a text in which `DD`, `MM`, `YYYY` and `YY` are replaced.
    DateFormat, NotADateFormat = "must be a text such as DD.MM.YYYY, at most 32 characters" =>
        |text| (1..=32).contains(&text.chars().count()) && text.contains("YY");
    /// The name of a figure: one of those of a day, `regular` (worked without overtime),
    /// `week_overtime`, `bands.NAME` or `leave_by_kind.NAME`.
    FigureName, NotAFigure = "must be the name of a figure, such as worked, bands.night or leave_by_kind.Vacation" =>
        |text| Day::FIGURES.contains(&text)
            || [FigureName::REGULAR, FigureName::WEEK_OVERTIME].contains(&text)
            || NAMED.iter().any(|prefix| {
                text.strip_prefix(prefix).is_some_and(|name| (1..=64).contains(&name.chars().count()))
            });
}

impl FigureName {
    /// Worked time without overtime.
    pub const REGULAR: &str = "regular";
    /// Overtime of a week beyond that of its days.
    pub const WEEK_OVERTIME: &str = "week_overtime";
}

impl Default for DateFormat {
    fn default() -> Self {
        Self("YYYY-MM-DD".to_owned())
    }
}

impl DateFormat {
    /// Writes a date.
    pub fn write(&self, date: Date) -> String {
        let year = format!("{:04}", date.year());
        let text = self.0.replace("YYYY", &year);
        let text = text.replace("YY", &year[2..]);
        let text = text.replace("MM", &format!("{:02}", date.month()));
        text.replace("DD", &format!("{:02}", date.day()))
    }
}

impl Settings for PayrollLayout {
    const KIND: &'static Kind =
        &Kind::archived("payroll_layouts", "payroll layout", &[BY_NAME]).changing(Changes::Audited);

    type Id = PayrollLayoutId;

    fn name(&self) -> &SiteName {
        &self.name
    }

    fn home(&self) -> Option<SiteId> {
        None
    }

    fn sites(&self) -> &[SiteId] {
        &[]
    }

    fn detail(&self) -> String {
        let wage_types = self.layout.wage_types.len();
        format!("{}, {wage_types} wage types", self.name)
    }
}

/// A layout that shows what a payroll program expects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The word in the API.
    pub id: String,
    /// What it is for, and what must be changed in it.
    pub about: String,
    /// The layout.
    pub layout: Layout,
}

/// The examples. They must be checked with the payroll office.
pub fn examples() -> &'static [Example] {
    static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
        let examples = include_str!("payroll_examples.json");
        serde_json::from_str(examples).unwrap_or_default()
    });
    &EXAMPLES
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_date_is_written_as_the_format_says() {
        let written = |format: &str| {
            let format = DateFormat::try_from(format.to_owned());
            format.map(|format| format.write(date(2026, 3, 2)))
        };
        assert_eq!(written("DD.MM.YYYY").unwrap(), "02.03.2026");
        assert_eq!(written("MM/DD/YY").unwrap(), "03/02/26");
        assert_eq!(written("YYYYMMDD").unwrap(), "20260302");
        assert_eq!(written("DD.MM."), Err(NotADateFormat));
    }

    #[test]
    fn a_figure_has_a_known_name() {
        let read = |text: &str| FigureName::try_from(text.to_owned()).is_ok();
        for name in [
            "worked",
            "regular",
            "week_overtime",
            "bands.night",
            "leave_by_kind.Urlaub ä",
        ] {
            assert!(read(name), "{name}");
        }
        for name in ["", "work", "bands.", "leave", "other_bands"] {
            assert_eq!(read(name), name == "leave", "{name}");
        }
    }

    #[test]
    fn every_example_can_be_read_and_has_a_quantity() {
        let ids: Vec<_> = examples()
            .iter()
            .map(|example| example.id.as_str())
            .collect();
        let expected = [
            "datev_lodas",
            "datev_lohn_und_gehalt",
            "adp",
            "gusto",
            "xero",
            "sage",
        ];
        assert_eq!(ids, expected);
        for Example { id, layout, .. } in examples() {
            let has = |field| layout.columns.iter().any(|column| column.field == field);
            assert!(has(LayoutField::Quantity), "{id}");
            assert!(!layout.wage_types.is_empty(), "{id}");
        }
    }
}
