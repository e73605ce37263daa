//! Payroll layouts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{
        plans::{
            Entry, PayrollLayout,
            payroll_layouts::{DecimalSign, Example, Layout, LayoutField, Quote, Separator},
        },
        text::SiteName,
    },
    http::{
        field_error::FieldError,
        problem::{Fields, Problem},
    },
};

/// How the file of a payroll program is made.
#[derive(ToSchema)]
#[schema(title = "PayrollForm")]
#[expect(dead_code, reason = "describes the layout, which the domain reads")]
pub struct LayoutForm {
    /// What a row is for: `day`, or `period` for all dates of the export.
    #[schema(example = "period")]
    per: String,
    /// Whether all wage types are in one row, each in columns of its own.
    #[schema(default = false)]
    one_row: Option<bool>,
    /// `comma`, `semicolon` or `tab`.
    #[schema(default = "comma")]
    separator: Option<String>,
    /// `point` or `comma`.
    #[schema(default = "point")]
    decimal: Option<String>,
    /// A text in which `DD`, `MM`, `YYYY` and `YY` are replaced.
    #[schema(default = "YYYY-MM-DD")]
    date_format: Option<String>,
    /// Which cells are in quotation marks: `needed`, `always` or `never`.
    #[schema(default = "needed")]
    quote: Option<String>,
    /// `utf8` or `windows1252`.
    #[schema(default = "utf8")]
    encoding: Option<String>,
    /// The lines before the rows, at most 40, in which `{from}` and `{to}` are the dates.
    header: Option<Vec<String>>,
    /// The columns, 1 to 60.
    columns: Vec<ColumnForm>,
    /// The wage types of figures, 1 to 100.
    wage_types: Vec<WageTypeForm>,
}

/// The wage type of a figure.
#[derive(ToSchema)]
#[schema(title = "PayrollWageType")]
#[expect(dead_code, reason = "describes a wage type, which the domain reads")]
pub struct WageTypeForm {
    /// A figure of a day, `regular` (worked without overtime), `week_overtime`, `bands.NAME` or
    /// `leave_by_kind.NAME`. A figure without a wage type makes no row.
    #[schema(example = "regular")]
    figure: String,
    /// The number or code in the payroll program.
    #[schema(example = "100")]
    wage_type: String,
}

/// A column of a payroll file.
#[derive(ToSchema)]
#[schema(title = "PayrollColumn")]
#[expect(dead_code, reason = "describes a column, which the domain reads")]
pub struct ColumnForm {
    /// `text`, `employee_code`, `employee_name`, `first_name`, `last_name`, `site_name`, `date`,
    /// `from`, `to`, `wage_type`, or `quantity` in hours with two decimals.
    #[schema(example = "quantity")]
    field: String,
    /// The text of a column that is always the same.
    text: Option<String>,
    /// For `wage_type` and `quantity`: empty for other wage types than these.
    only: Option<Vec<String>>,
    /// For `wage_type` and `quantity`: empty for these wage types.
    except: Option<Vec<String>>,
}

/// The settings of a payroll layout.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "PayrollLayoutSettings")]
pub struct EditablePayrollLayout {
    /// The name, 1 to 64 characters, unique without regard to case.
    #[schema(example = "Payroll office")]
    name: String,
    /// The layout.
    #[schema(value_type = LayoutForm)]
    layout: Layout,
}

impl From<&PayrollLayout> for EditablePayrollLayout {
    fn from(layout: &PayrollLayout) -> Self {
        Self {
            name: layout.name.to_string(),
            layout: layout.layout.clone(),
        }
    }
}

impl EditablePayrollLayout {
    /// Parses the settings.
    pub fn read(self) -> Result<PayrollLayout, Problem> {
        let (mut fields, layout) = (Fields::default(), self.layout);
        let name = fields.required("name", SiteName::parse(&self.name));
        for (field, count, least, most) in [
            ("header", layout.header.len(), 0, Layout::HEADER_MOST),
            ("columns", layout.columns.len(), 1, Layout::COLUMNS_MOST),
            (
                "wage_types",
                layout.wage_types.len(),
                1,
                Layout::WAGE_TYPES_MOST,
            ),
        ] {
            if !(least..=most).contains(&count) {
                let error = FieldError::WrongCount { least, most };
                fields.add(&format!("layout.{field}"), error);
            }
        }
        let commas = (layout.separator, layout.decimal) == (Separator::Comma, DecimalSign::Comma);
        if commas && layout.quote == Quote::Never {
            fields.add("layout.quote", FieldError::Excluded { by: "decimal" });
        }
        for (number, column) in layout.columns.iter().enumerate() {
            let field = |name: &str| format!("layout.columns[{number}].{name}");
            let by = "field";
            if column.text.is_some() && column.field != LayoutField::Text {
                fields.add(&field("text"), FieldError::Excluded { by });
            }
            let of_wage_types = [LayoutField::WageType, LayoutField::Quantity];
            let filtered = !column.only.is_empty() || !column.except.is_empty();
            if filtered && !of_wage_types.contains(&column.field) {
                let name = if column.only.is_empty() {
                    "except"
                } else {
                    "only"
                };
                fields.add(&field(name), FieldError::Excluded { by });
            }
        }
        let Some(name) = name else {
            return Err(fields.problem());
        };
        fields.check()?;
        Ok(PayrollLayout { name, layout })
    }
}

/// A payroll layout.
#[derive(Serialize, ToSchema)]
#[schema(title = "PayrollLayout")]
pub struct PayrollLayoutView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    #[serde(flatten)]
    settings: EditablePayrollLayout,
}

impl From<&Entry<PayrollLayout>> for PayrollLayoutView {
    fn from(entry: &Entry<PayrollLayout>) -> Self {
        Self {
            id: entry.id.to_string(),
            settings: (&entry.settings).into(),
        }
    }
}

/// An example of a payroll layout.
#[derive(Serialize, ToSchema)]
#[schema(title = "PayrollExample")]
pub struct PayrollExampleView {
    /// The word for it.
    #[schema(example = "datev_lodas")]
    id: &'static str,
    /// What it is for, and what must be changed in it.
    about: &'static str,
    /// The layout.
    #[schema(value_type = LayoutForm)]
    layout: &'static Layout,
}

impl From<&'static Example> for PayrollExampleView {
    fn from(example: &'static Example) -> Self {
        Self {
            id: &example.id,
            about: &example.about,
            layout: &example.layout,
        }
    }
}
