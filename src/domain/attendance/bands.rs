//! Worked time in windows of the wall clock: night, Sunday, holiday.

use std::collections::BTreeMap;

use jiff::{
    civil::{Date, Time},
    tz::TimeZone,
};

use super::{
    calendar::{HolidayPart, Holidays},
    rules::Band,
    steps::Step,
    stretch::{Stretch, overlap, put_in},
    time::{Seconds, dates, instant, local_date, next_date, shifted},
};

/// Returns what of some worked time lies in each band, by real days of the calendar in a zone. An
/// automatic break has no place on the clock, so a band is at most `worked`.
pub(super) fn bands(
    bands: &[Band],
    time: &[Stretch],
    worked: Seconds,
    zone: &TimeZone,
    holidays: &Holidays,
    steps: &mut Vec<Step>,
) -> BTreeMap<String, Seconds> {
    let mut figures: BTreeMap<String, Seconds> =
        bands.iter().map(|band| (band.name.clone(), 0)).collect();
    let (Some(from), Some(to)) = (
        time.iter().map(|piece| piece.from).min(),
        time.iter().map(|piece| piece.to).max(),
    ) else {
        return figures;
    };
    // A window that opened on the day before may still be open.
    let first = shifted(local_date(zone, from), -1);
    let last = local_date(zone, to);
    let dates: Vec<_> = dates(first, last)
        .filter(|date| is_real(zone, *date))
        .collect();
    for (name, figure) in &mut figures {
        let mut windows = Vec::new();
        for band in bands.iter().filter(|band| band.name == *name) {
            for date in &dates {
                if opens(band, *date, holidays) {
                    put_in(&mut windows, window(band, *date, zone));
                }
            }
        }
        let amount = time.iter().map(|piece| overlap(*piece, &windows)).sum();
        *figure = worked.min(amount);
        let name = name.clone();
        if amount > worked {
            steps.push(Step::BandLimited {
                name,
                amount,
                worked,
            });
        } else if amount > 0 {
            steps.push(Step::Band { name, amount });
        }
    }
    figures
}

/// Returns whether the calendar of the zone has the date, which Apia's of 30 December 2011 had not.
fn is_real(zone: &TimeZone, date: Date) -> bool {
    let midnight = |date: Date| instant(zone, date.to_datetime(Time::midnight()));
    midnight(date) < midnight(next_date(date))
}

fn opens(band: &Band, date: Date, holidays: &Holidays) -> bool {
    let holiday = || holidays.on(date) == Some(HolidayPart::Whole);
    band.days.is_empty() || band.days.iter().any(|day| day.is(date, holiday()))
}

fn window(band: &Band, date: Date, zone: &TimeZone) -> Stretch {
    let overnight = band.to.seconds() <= band.from.seconds();
    let last = if overnight { next_date(date) } else { date };
    Stretch::new(
        instant(zone, band.from.on(date)),
        instant(zone, band.to.on(last)),
    )
}
