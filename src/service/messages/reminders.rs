//! Reminders: letters to people who have not punched out, and to the managers who decide.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::{Date, Time},
    tz::TimeZone,
};

use super::letters::{LetterError, Letters, Occasion, counts};
use crate::{
    clock::Clock,
    domain::{
        accounts::Account,
        employees::Employee,
        grants::{Permission, Reach},
        ids::SiteId,
        messages::{Webhook, WebhookState},
        plans::Leave,
    },
    ports::{Page, StoreError},
    repositories::Repositories,
    service::{
        notice::{Notice, NoticeKind},
        notices::{Notices, Sees},
        sites::{SiteMap, Sites},
    },
};

/// How often is looked for what to write about.
const EVERY: SignedDuration = SignedDuration::from_mins(5);

/// How long after its time a summary may be written, and a letter about a shift after its end.
const LATE: SignedDuration = SignedDuration::from_hours(2);
const LATEST: SignedDuration = SignedDuration::from_hours(24);

/// The most names in a letter.
const NAMES: usize = 30;

/// Number of accounts in a page.
const PAGE: usize = 200;

/// What was written while this instance holds the lease; the outbox has it, too.
#[derive(Debug, Default)]
pub struct Written {
    looked: Option<Timestamp>,
    causes: HashSet<String>,
}

/// Something that waits, with the employee whom it is about.
struct Item<'a> {
    word: &'static str,
    employee: &'a Employee,
    since: Timestamp,
}

/// Writes reminders.
#[derive(derive_new::new)]
pub struct Reminders {
    stores: Repositories,
    sites: Arc<Sites>,
    notices: Arc<Notices>,
    letters: Arc<Letters>,
    clock: Arc<dyn Clock>,
    /// When summaries are written, in the time zone of the reader's site.
    summary_at: Time,
}

impl Reminders {
    /// Writes the letters that are due. Does nothing without a mail server.
    ///
    /// # Errors
    /// When a letter could not be written.
    pub async fn remind(&self, written: &mut Written) -> Result<(), LetterError> {
        let now = self.clock.now();
        // A look in the future was before the clock was set back.
        let recent = written.looked.is_some_and(|at| {
            let since = now.duration_since(at);
            (SignedDuration::ZERO..EVERY).contains(&since)
        });
        if recent || !self.letters.is_on() {
            return Ok(());
        }
        let accounts = self.accounts().await?;
        let notices = self.notices.list(Sees::RECORDS).await?;
        let leave = self.requested_leave().await?;
        let (sites, webhooks) = (self.sites.all().await?, self.stores.webhooks.all().await?);
        for account in &accounts {
            self.write_missing_out(account, &notices, &sites, now, written)
                .await?;
            let administers = account.access.reach(Permission::Administer);
            if administers.is_some_and(|reach| reach.covers_everything()) {
                self.write_disabled(account, &webhooks, now, written)
                    .await?;
            }
            if let Some(reach) = account.access.reach(Permission::Correct) {
                let items = items(&notices, &leave, &reach);
                self.write_waiting(account, &items, now, written).await?;
                let zone = zone(&reach, &sites);
                self.write_summary(account, &items, now.to_zoned(zone), written)
                    .await?;
            }
        }
        written.looked = Some(now);
        // The outbox has what is forgotten here.
        if written.causes.len() > 100_000 {
            written.causes.clear();
        }
        Ok(())
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = Page { after, limit: PAGE };
            let found = self.stores.accounts.list(&page).await?;
            after = found.last().map(|last| last.id);
            let full = found.len() == PAGE;
            all.extend(found.into_iter().filter(|account| account.active));
            if !full {
                return Ok(all);
            }
        }
    }

    /// Returns requests for leave with the employees.
    async fn requested_leave(&self) -> Result<Vec<(Leave, Employee)>, StoreError> {
        let leave = self.stores.leave.requested().await?;
        let mut ids: Vec<_> = leave.iter().map(|leave| leave.employee).collect();
        ids.sort_unstable();
        ids.dedup();
        let employees = self.stores.employees.find_many(&ids).await?;
        let employees: BTreeMap<_, _> = employees.into_iter().map(|one| (one.id, one)).collect();
        let with = |leave: Leave| {
            let employee = employees.get(&leave.employee)?;
            let present = employee.deleted_at.is_none();
            present.then(|| (leave, employee.clone()))
        };
        Ok(leave.into_iter().filter_map(with).collect())
    }

    async fn write_missing_out(
        &self,
        account: &Account,
        notices: &[Notice],
        sites: &SiteMap,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), LetterError> {
        let Some(own) = account.access.employee() else {
            return Ok(());
        };
        for notice in notices {
            let about = notice.employee.as_ref().filter(|one| one.id == own);
            let (NoticeKind::MissingOut, Some(day), Some(employee)) =
                (notice.kind, notice.day, about)
            else {
                continue;
            };
            if now.duration_since(notice.since) > LATEST {
                continue;
            }
            let site = sites.or_default(employee.site);
            let zone = site.map_or(TimeZone::UTC, |site| site.zone.time_zone().clone());
            let ended = notice.since.to_zoned(zone).strftime("%H:%M").to_string();
            let link = self.letters.page("/");
            let occasion = Occasion::MissingOut {
                day: day.to_string(),
                ended,
                link: link.as_deref(),
            };
            let cause = format!("missing_out:{day}");
            self.once(account, cause, &occasion, written).await?;
        }
        Ok(())
    }

    /// Writes which webhooks the service disabled.
    async fn write_disabled(
        &self,
        account: &Account,
        webhooks: &[Webhook],
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), LetterError> {
        for webhook in webhooks {
            let WebhookState::Disabled { at, reason } = &webhook.state else {
                continue;
            };
            if now.duration_since(*at) > LATEST {
                continue;
            }
            let page = format!("/messages?webhook={}", webhook.id);
            let link = self.letters.page(&page);
            let occasion = Occasion::WebhookDisabled {
                name: webhook.settings.name.as_str(),
                reason,
                link: link.as_deref(),
            };
            let cause = format!("webhook:{}:{at}", webhook.id);
            self.once(account, cause, &occasion, written).await?;
        }
        Ok(())
    }

    /// Writes what became waiting in the hour before this one.
    async fn write_waiting(
        &self,
        account: &Account,
        items: &[Item<'_>],
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), LetterError> {
        let hour = now.as_second().div_euclid(3600);
        let new = |item: &&Item<'_>| {
            item.word != "missing_out" && item.since.as_second().div_euclid(3600) == hour - 1
        };
        let counts = counted(items.iter().filter(new));
        if counts.is_empty() {
            return Ok(());
        }
        let link = self.letters.page("/inbox");
        let link = link.as_deref();
        let occasion = Occasion::Waiting { counts, link };
        self.once(account, format!("waiting:{hour}"), &occasion, written)
            .await
    }

    async fn write_summary(
        &self,
        account: &Account,
        items: &[Item<'_>],
        now: Zoned,
        written: &mut Written,
    ) -> Result<(), LetterError> {
        let counts = counted(items.iter());
        let (Some(date), false) = (summary_of(&now, self.summary_at), counts.is_empty()) else {
            return Ok(());
        };
        let mut names: Vec<_> = items
            .iter()
            .map(|item| item.employee.name.to_string())
            .collect();
        names.sort();
        names.dedup();
        names.truncate(NAMES);
        let link = self.letters.page("/inbox");
        let occasion = Occasion::Summary {
            counts,
            names,
            link: link.as_deref(),
        };
        self.once(account, format!("summary:{date}"), &occasion, written)
            .await
    }

    async fn once(
        &self,
        account: &Account,
        cause: String,
        occasion: &Occasion<'_>,
        written: &mut Written,
    ) -> Result<(), LetterError> {
        let key = format!("{}:{cause}", account.id);
        if !written.causes.contains(&key) {
            self.letters.once(account, &cause, occasion).await?;
            written.causes.insert(key);
        }
        Ok(())
    }
}

/// Returns the date whose summary may be written now: of today or, shortly after midnight, of
/// yesterday.
fn summary_of(now: &Zoned, at: Time) -> Option<Date> {
    let today = now.date();
    let dates = [Some(today), today.yesterday().ok()];
    dates.into_iter().flatten().find(|date| {
        let due = date.to_datetime(at).to_zoned(now.time_zone().clone());
        let since = due.map(|due| now.timestamp().duration_since(due.timestamp()));
        since.is_ok_and(|since| (SignedDuration::ZERO..LATE).contains(&since))
    })
}

/// Returns what waits for an account with a reach.
fn items<'a>(
    notices: &'a [Notice],
    leave: &'a [(Leave, Employee)],
    reach: &Reach,
) -> Vec<Item<'a>> {
    let notices = notices.iter().filter_map(|notice| {
        Some(Item {
            word: notice.kind.as_str(),
            employee: notice.employee.as_ref()?,
            since: notice.since,
        })
    });
    let leave = leave.iter().map(|(leave, employee)| Item {
        word: "leave",
        employee,
        since: leave.made_at,
    });
    let covered = |item: &Item<'_>| reach.covers(item.employee);
    notices.chain(leave).filter(covered).collect()
}

/// Returns how many items of each kind there are, in words.
fn counted<'a>(items: impl Iterator<Item = &'a Item<'a>>) -> String {
    let mut numbers = BTreeMap::<&str, usize>::new();
    for item in items {
        *numbers.entry(item.word).or_default() += 1;
    }
    counts(&numbers.into_iter().collect::<Vec<_>>())
}

/// Returns the time zone of a reader: that of the first site of their reach.
fn zone(reach: &Reach, sites: &SiteMap) -> TimeZone {
    let site = match reach {
        Reach::Everything => SiteId::DEFAULT,
        Reach::Part { sites, .. } => sites.iter().next().copied().unwrap_or(SiteId::DEFAULT),
    };
    let site = sites.or_default(site);
    site.map_or(TimeZone::UTC, |site| site.zone.time_zone().clone())
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    #[test]
    fn a_summary_shortly_before_midnight_is_written_after_it_too() {
        let at = |day: i8, hour, minute| {
            let moment = date(2027, 3, day).at(hour, minute, 0, 0);
            moment.in_tz("Europe/Berlin").unwrap()
        };
        let late = time(23, 58, 0, 0);
        assert_eq!(summary_of(&at(1, 23, 57), late), None);
        assert_eq!(summary_of(&at(1, 23, 59), late), Some(date(2027, 3, 1)));
        assert_eq!(summary_of(&at(2, 0, 1), late), Some(date(2027, 3, 1)));
        assert_eq!(summary_of(&at(2, 1, 59), late), None);
        let early = time(7, 0, 0, 0);
        assert_eq!(summary_of(&at(2, 6, 59), early), None);
        assert_eq!(summary_of(&at(2, 8, 59), early), Some(date(2027, 3, 2)));
    }
}
