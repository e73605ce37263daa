//! Files for payroll programs: figures under the wage types of a layout.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use async_stream::try_stream;
use csv::{IntoInnerError, QuoteStyle, Terminator, WriterBuilder};
use encoding_rs::WINDOWS_1252;
use futures::{Stream, StreamExt};
use jiff::civil::Date;

use super::{
    attendance::{Exports, Selection, is_approved, sheet_of, state_of},
    table::{Cell, Column, ExportError, Form, Paged, Table, neutral},
};
use crate::{
    domain::{
        accounts::Actor,
        attendance::{Adjusted, Adjustment, DateRange, Day, ExceptionCode, Week, time::Seconds},
        employees::Employee,
        grants::Reach,
        plans::{
            Entry,
            payroll_layouts::{
                DecimalSign, FigureName, FileEncoding, HeaderLine, Layout, LayoutColumn,
                LayoutField, Per, Quote, Separator, WageType, WageTypeOf, examples,
            },
        },
    },
    ports::StoreError,
    service::workdays::OnRecord,
};

/// What is paid to an employee for a day, or for all dates.
#[derive(Debug, Clone, PartialEq)]
pub struct Pay {
    employee: Employee,
    site: String,
    dates: DateRange,
    amounts: BTreeMap<WageType, Seconds>,
    /// How far the timesheets are.
    states: BTreeSet<&'static str>,
    exceptions: BTreeSet<ExceptionCode>,
}

/// A payroll export that has begun.
pub struct Payroll {
    /// The name of the layout.
    pub name: String,
    /// Writes the file.
    pub writer: PayrollWriter,
    /// What is paid.
    pub pages: Paged<Pay>,
}

impl Exports {
    /// Begins a payroll export, and writes it to the audit trail. The layout is an own one by its
    /// ID, or an example by its word.
    ///
    /// # Errors
    /// If there is no such layout, if the site or the employee is not covered, or the store fails.
    /// Later failures are items of the pages.
    pub async fn begin_payroll(
        self: &Arc<Self>,
        actor: Actor,
        reach: &Reach,
        layout: &str,
        selection: Selection,
        how: &str,
    ) -> Result<Payroll, ExportError> {
        let (name, layout) = self.layout(layout).await?;
        let how = format!("{how}, {name}");
        self.check(actor, reach, &selection, "export.payroll", &how)
            .await?;
        let range = selection.range;
        let writer = PayrollWriter {
            layout: layout.clone(),
            range,
        };
        let pages = Box::pin(self.clone().pay_pages(layout, selection, reach.clone()));
        Ok(Payroll {
            name,
            writer,
            pages,
        })
    }

    /// Returns a layout with its name.
    async fn layout(&self, id: &str) -> Result<(String, Layout), ExportError> {
        if let Some(example) = examples().iter().find(|example| example.id == id) {
            return Ok((example.id.clone(), example.layout.clone()));
        }
        let id = id.parse().map_err(|_| ExportError::UnknownLayout)?;
        let found = self.stores.payroll_layouts.find(id).await?;
        let found = found.filter(Entry::is_present);
        let found = found.ok_or(ExportError::UnknownLayout)?.settings;
        Ok((found.name.to_string(), found.layout))
    }

    fn pay_pages(
        self: Arc<Self>,
        layout: Layout,
        selection: Selection,
        reach: Reach,
    ) -> impl Stream<Item = Result<Vec<Pay>, ExportError>> + Send {
        try_stream! {
            let mut after = None;
            loop {
                let (employees, next) = self.employees(&reach, &selection, after).await?;
                if !employees.is_empty() {
                    yield self.pay(&layout, &selection, &employees).await?;
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
    }

    async fn pay(
        &self,
        layout: &Layout,
        selection: &Selection,
        employees: &[Employee],
    ) -> Result<Vec<Pay>, StoreError> {
        let (sites, range) = (self.sites.all().await?, selection.range);
        let records = self.workdays.on_record_of_all(employees, range).await?;
        let mut pays = Vec::new();
        for (employee, record) in employees.iter().zip(records) {
            let days = self
                .workdays
                .days_of(employee, &record, range)
                .await?
                .derived;
            let wanted = days.days.iter().filter_map(|day| {
                let state = state_of(&record, day, &days.weeks);
                (!selection.approved_only || is_approved(state)).then_some((day, state))
            });
            let pay = |date, state, amounts, exceptions| Pay {
                employee: employee.clone(),
                site: sites.name(employee.site).to_owned(),
                dates: DateRange {
                    from: date,
                    to: date,
                },
                amounts,
                states: BTreeSet::from([state]),
                exceptions,
            };
            let worked = wanted.map(|(day, state)| {
                let overtime = pays_overtime(&record, day.day);
                let amounts = amounts(layout, day, &days.weeks, overtime);
                let exceptions = day.exceptions.iter().copied().collect();
                pay(day.day, state, amounts, exceptions)
            });
            let settled = settled_in(&record, range).map(|(date, state, adjustment)| {
                let overtime = paid_overtime(&record, date, adjustment);
                let amounts = amounts_of(layout, adjustment, overtime);
                pay(date, state, amounts, BTreeSet::new())
            });
            let of_days = worked.chain(settled);
            let mut of_days: Vec<_> = match layout.per {
                Per::Day => of_days.collect(),
                Per::Period => of_days.reduce(Pay::and).into_iter().collect(),
            };
            for pay in &mut of_days {
                if layout.per == Per::Period {
                    pay.dates = range;
                }
                pay.amounts.retain(|_, amount| hundredths(*amount) != 0);
            }
            pays.extend(of_days.into_iter().filter(|pay| !pay.amounts.is_empty()));
            // Deriving takes its time; other requests get their turn.
            tokio::task::yield_now().await;
        }
        Ok(pays)
    }
}

impl Pay {
    /// Returns the sum of what is paid to an employee for two days.
    fn and(mut self, other: Self) -> Self {
        for (wage_type, amount) in other.amounts {
            *self.amounts.entry(wage_type).or_default() += amount;
        }
        self.states.extend(other.states);
        self.exceptions.extend(other.exceptions);
        self
    }
}

/// Checks whether overtime on a date is paid: not if its timesheet was approved without it. A
/// timesheet that was not read is too old to ask.
fn pays_overtime(record: &OnRecord, date: Date) -> bool {
    let approval = sheet_of(record, date).and_then(|sheet| sheet.progress.approval());
    approval.is_none_or(|approval| approval.overtime)
}

/// Returns the overtime of an adjustment that is paid. More overtime is, if the timesheet that
/// settles it was approved with overtime; less is taken back, if it had been paid.
fn paid_overtime(record: &OnRecord, settled_on: Date, adjustment: &Adjustment) -> Seconds {
    let (Adjusted::Day(date) | Adjusted::Week(date)) = adjustment.of;
    let decided = match adjustment.overtime > 0 {
        true => settled_on,
        false => date,
    };
    match pays_overtime(record, decided) {
        true => adjustment.overtime,
        false => 0,
    }
}

/// Returns the adjustments of earlier, locked periods that are paid with timesheets whose last date
/// is in a range, with that date and the state of the timesheet.
fn settled_in(
    record: &OnRecord,
    range: DateRange,
) -> impl Iterator<Item = (Date, &'static str, &Adjustment)> {
    let sheets = record.timesheets.iter();
    let sheets = sheets.filter(move |sheet| range.contains(sheet.to));
    sheets.flat_map(|sheet| {
        let settled = sheet.progress.approval().into_iter();
        let settled = settled.flat_map(|approval| &approval.settled);
        settled.map(|adjustment| (sheet.to, sheet.progress.as_str(), adjustment))
    })
}

/// Returns what is paid of an adjustment. That of a week has the difference in its overtime only.
fn amounts_of(
    layout: &Layout,
    adjustment: &Adjustment,
    paid_overtime: Seconds,
) -> BTreeMap<WageType, Seconds> {
    let of_week = matches!(adjustment.of, Adjusted::Week(_));
    let by_name = |of: &BTreeMap<_, _>, name: &str| of.get(name).copied().unwrap_or_default();
    let mut amounts = BTreeMap::new();
    for WageTypeOf { figure, wage_type } in &layout.wage_types {
        let amount = match figure.as_str() {
            FigureName::REGULAR => adjustment.worked - adjustment.overtime,
            "worked" => adjustment.worked - adjustment.overtime + paid_overtime,
            FigureName::WEEK_OVERTIME if of_week => paid_overtime,
            "overtime" if !of_week => paid_overtime,
            FigureName::WEEK_OVERTIME | "overtime" => 0,
            name => match name.split_once('.') {
                Some(("bands", name)) => by_name(&adjustment.bands, name),
                Some((_, name)) => by_name(&adjustment.leave_by_kind, name),
                None => {
                    let mut figures = adjustment.figures().into_iter();
                    let found = figures.find(|(figure, _)| *figure == name);
                    found.map_or(0, |(_, amount)| amount)
                }
            },
        };
        *amounts.entry(wage_type.clone()).or_default() += amount;
    }
    amounts
}

/// Returns hundredths of an hour, rounded half up, as section 13 of the specification says.
fn hundredths(seconds: Seconds) -> i64 {
    (seconds.abs() * 100 + 1800) / 3600 * seconds.signum()
}

/// Returns what is paid of a day. Overtime of a week belongs to its last workday.
fn amounts(
    layout: &Layout,
    day: &Day,
    weeks: &[Week],
    pays_overtime: bool,
) -> BTreeMap<WageType, Seconds> {
    let weeks = weeks.iter().filter(|week| week.ends == day.day);
    let week_overtime: Seconds = weeks.map(|week| week.overtime).sum();
    let mut amounts = BTreeMap::new();
    for WageTypeOf { figure, wage_type } in &layout.wage_types {
        let amount = match figure.as_str() {
            FigureName::REGULAR => day.worked - day.overtime - week_overtime,
            FigureName::WEEK_OVERTIME | "overtime" if !pays_overtime => 0,
            "worked" if !pays_overtime => day.worked - day.overtime - week_overtime,
            FigureName::WEEK_OVERTIME => week_overtime,
            name => match name.split_once('.') {
                Some(("bands", name)) => day.bands.get(name).copied().unwrap_or_default(),
                Some((_, name)) => day.leave_by_kind.get(name).copied().unwrap_or_default(),
                None => {
                    let mut figures = day.figures().into_iter();
                    let found = figures.find(|(figure, _)| *figure == name);
                    found.map_or(0, |(_, amount)| amount)
                }
            },
        };
        *amounts.entry(wage_type.clone()).or_default() += amount;
    }
    amounts
}

/// Returns what is paid as a table, with the state of the timesheets, to be checked before the file
/// is sent.
pub fn preview(payroll: Payroll) -> Table {
    let columns = [
        ("employee_code", Form::Text),
        ("employee_name", Form::Text),
        ("site_name", Form::Text),
        ("from", Form::Date),
        ("to", Form::Date),
        ("wage_type", Form::Text),
        ("quantity", Form::Difference),
        ("timesheet", Form::Text),
        ("exceptions", Form::Text),
    ];
    let rows = |pay: Pay| {
        let codes = pay.exceptions.iter().map(|code| code.as_str());
        let (codes, states) = (codes.collect::<Vec<_>>(), pay.states.iter().copied());
        let states = states.collect::<Vec<_>>();
        let rows = pay.amounts.iter().map(|(wage_type, amount)| {
            vec![
                Cell::text(&pay.employee.code),
                Cell::text(&pay.employee.name),
                Cell::text(&pay.site),
                Cell::Date(pay.dates.from),
                Cell::Date(pay.dates.to),
                Cell::text(wage_type),
                Cell::Seconds(*amount),
                Cell::Codes(states.clone()),
                Cell::Codes(codes.clone()),
            ]
        });
        rows.collect::<Vec<_>>()
    };
    let pages = payroll
        .pages
        .map(move |page| page.map(|pays| pays.into_iter().flat_map(rows).collect()));
    Table {
        columns: columns.map(|(name, form)| Column::new(name, form)).to_vec(),
        pages: Box::pin(pages),
    }
}

/// Writes the file of a layout.
#[derive(Debug, Clone)]
pub struct PayrollWriter {
    layout: Layout,
    range: DateRange,
}

impl PayrollWriter {
    /// Returns the content type of the file.
    pub fn content_type(&self) -> &'static str {
        match self.layout.encoding {
            FileEncoding::Utf8 => "text/csv; charset=utf-8",
            FileEncoding::Windows1252 => "text/csv; charset=windows-1252",
        }
    }

    /// Returns the extension of the file: `txt` where programs do not expect a spreadsheet.
    pub fn extension(&self) -> &'static str {
        match self.layout.separator {
            Separator::Comma => "csv",
            Separator::Semicolon | Separator::Tab => "txt",
        }
    }

    /// Returns the lines before the rows.
    pub fn begin(&self) -> Vec<u8> {
        let date = |date: Date| self.layout.date_format.write(date);
        let (from, to) = (date(self.range.from), date(self.range.to));
        let lines = self.layout.header.iter().map(|line| {
            let line = line.as_str().replace("{from}", &from);
            line.replace("{to}", &to) + "\r\n"
        });
        self.encoded(lines.collect())
    }

    /// Returns some rows.
    ///
    /// # Errors
    /// Never, because the bytes are kept in memory.
    pub fn rows(&self, pays: &[Pay]) -> io::Result<Vec<u8>> {
        let layout = &self.layout;
        let mut writer = WriterBuilder::new()
            .delimiter(self.separator())
            .quote_style(match layout.quote {
                Quote::Needed => QuoteStyle::Necessary,
                Quote::Always => QuoteStyle::Always,
                Quote::Never => QuoteStyle::Never,
            })
            .terminator(Terminator::CRLF)
            .from_writer(Vec::new());
        for pay in pays {
            let all: Vec<_> = pay.amounts.iter().collect();
            let rows = match layout.one_row {
                true => vec![&all[..]],
                false => all.chunks(1).collect(),
            };
            for amounts in rows {
                let cell = |column: &LayoutColumn| self.cell(column, pay, amounts);
                writer.write_record(layout.columns.iter().map(cell))?;
            }
        }
        let bytes = writer.into_inner().map_err(IntoInnerError::into_error)?;
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        Ok(self.encoded(text))
    }

    fn separator(&self) -> u8 {
        match self.layout.separator {
            Separator::Comma => b',',
            Separator::Semicolon => b';',
            Separator::Tab => b'\t',
        }
    }

    fn cell(&self, column: &LayoutColumn, pay: &Pay, amounts: &[(&WageType, &Seconds)]) -> String {
        let (layout, employee) = (&self.layout, &pay.employee);
        let date = |date: Date| layout.date_format.write(date);
        let shown = || {
            let all = amounts.iter().copied();
            all.filter(move |(wage_type, _)| column.shows(wage_type))
        };
        let name = employee.name.as_str();
        let (first, last) = name.rsplit_once(' ').unwrap_or(("", name));
        let cell = match column.field {
            LayoutField::Text => column
                .text
                .as_ref()
                .map_or("", HeaderLine::as_str)
                .to_owned(),
            LayoutField::EmployeeCode => neutral(employee.code.as_str()),
            LayoutField::EmployeeName => neutral(name),
            LayoutField::FirstName => neutral(first),
            LayoutField::LastName => neutral(last),
            LayoutField::SiteName => neutral(&pay.site),
            LayoutField::Date => date(pay.dates.to),
            LayoutField::From => date(self.range.from),
            LayoutField::To => date(self.range.to),
            LayoutField::WageType => {
                let shown: Vec<_> = shown().map(|(wage_type, _)| wage_type.as_str()).collect();
                neutral(&shown.join(" "))
            }
            LayoutField::Quantity if shown().next().is_none() => String::new(),
            LayoutField::Quantity => {
                let seconds: Seconds = shown().map(|(_, amount)| *amount).sum();
                let (all, sign) = (hundredths(seconds), if seconds < 0 { "-" } else { "" });
                let hours = format!("{sign}{}.{:02}", all.abs() / 100, all.abs() % 100);
                match layout.decimal {
                    DecimalSign::Point => hours,
                    DecimalSign::Comma => hours.replace('.', ","),
                }
            }
        };
        match layout.quote {
            Quote::Needed | Quote::Always => cell,
            // A quotation mark or a separator would shift the cells after it.
            Quote::Never => cell.replace(['"', '\r', '\n', char::from(self.separator())], " "),
        }
    }

    /// Returns a text in the encoding of the file.
    fn encoded(&self, text: String) -> Vec<u8> {
        match self.layout.encoding {
            FileEncoding::Utf8 => text.into_bytes(),
            FileEncoding::Windows1252 => {
                let known = |c: char| !WINDOWS_1252.encode(c.encode_utf8(&mut [0; 4])).2;
                let text: String = text
                    .chars()
                    .map(|c| if known(c) { c } else { '?' })
                    .collect();
                WINDOWS_1252.encode(&text).0.into_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, civil::date};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        employees::EmployeeSettings,
        ids::SiteId,
        text::{Code, Name},
    };

    fn pay(name: &str, amounts: &[(&str, Seconds)]) -> Pay {
        let (name, code) = (Name::parse(name).unwrap(), Code::parse("7").unwrap());
        let wage_type = |text: &str| WageType::try_from(text.to_owned()).unwrap();
        let (from, to) = (date(2026, 3, 1), date(2026, 3, 31));
        let amounts = amounts
            .iter()
            .map(|(name, amount)| (wage_type(name), *amount));
        Pay {
            employee: Employee {
                id: Uuid::nil().into(),
                settings: EmployeeSettings::new(name, code, SiteId::DEFAULT),
                created_at: Timestamp::UNIX_EPOCH,
                deleted_at: None,
                erasure_requested_at: None,
            },
            site: "Harbor".to_owned(),
            dates: DateRange { from, to },
            amounts: amounts.collect(),
            states: BTreeSet::from(["locked"]),
            exceptions: BTreeSet::new(),
        }
    }

    fn written(example: &str, pays: &[Pay]) -> Vec<u8> {
        let mut examples = examples().iter();
        let layout = &examples.find(|one| one.id == example).unwrap().layout;
        let writer = PayrollWriter {
            layout: layout.clone(),
            range: pays[0].dates,
        };
        let mut file = writer.begin();
        file.extend(writer.rows(pays).unwrap());
        file
    }

    #[test]
    fn lodas_has_sections_commas_and_its_encoding() {
        let pays = [pay("Jörg; Λ", &[("100", 161 * 3600 + 900), ("110", -1800)])];
        let file = written("datev_lodas", &pays);
        let file = String::from_utf8(file).unwrap();
        assert!(file.starts_with("[Allgemein]\r\nZiel=LODAS\r\n"), "{file}");
        let rows = "[Bewegungsdaten]\r\n\
            1;01/03/2026;161,25;1;100;7;\r\n1;01/03/2026;-0,50;1;110;7;\r\n";
        assert!(file.ends_with(rows), "{file}");

        let mut layout = examples()[0].layout.clone();
        layout.header = vec!["{from} bis {to} für".to_owned().try_into().unwrap()];
        layout.columns = serde_json::from_str(r#"[{ "field": "employee_name" }, {}]"#).unwrap();
        let range = pays[0].dates;
        let writer = PayrollWriter { layout, range };
        assert_eq!(writer.begin(), b"01/03/2026 bis 31/03/2026 f\xfcr\r\n");
        assert_eq!(
            writer.rows(&pays).unwrap(),
            b"J\xf6rg  ?;\r\nJ\xf6rg  ?;\r\n"
        );
    }

    #[test]
    fn wage_types_can_have_columns_of_their_own() {
        let amounts = [("HOL", 8 * 3600), ("OT", 5400), ("REG", 160 * 3600)];
        let file = written("adp", &[pay("Ann Lee", &amounts)]);
        let rows = "Co Code,Batch ID,File #,Reg Hours,O/T Hours,Hours 3 Code,Hours 3 Amount\r\n\
            ABC,TIME,7,,,HOL,8.00\r\nABC,TIME,7,,1.50,,\r\nABC,TIME,7,160.00,,,\r\n";
        assert_eq!(String::from_utf8(file).unwrap(), rows);
        let amounts = [("overtime", 5400), ("regular", 160 * 3600)];
        let file = written(
            "gusto",
            &[pay("Ann Marie Lee", &amounts), pay("=Cher", &amounts[1..])],
        );
        let rows = "last_name,first_name,gusto_employee_id,regular_hours,overtime_hours\r\n\
            Lee,Ann Marie,7,160.00,1.50\r\n'=Cher,,7,160.00,\r\n";
        assert_eq!(String::from_utf8(file).unwrap(), rows);
    }
}
