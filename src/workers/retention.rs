//! Deletes expired records: sessions, kept answers, refused punches, ended jobs and deliveries, cached values, audit entries and
//! pictures; and what a crash may have left of deleted faces.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::{TryStreamExt, pin_mut};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    domain::{
        accounts::Actor, audit::AuditEntry, ids::AuditId, installation::Lease,
        messages::DELIVERIES_KEPT, pictures::PictureKind, refused_punches::RefusedPunch,
    },
    ports::StoreError,
    repositories::{Repositories, StoredCache},
    service::{leased_work::with_lease, sealed_faces},
};

/// How often expired records are deleted.
const EVERY: Duration = Duration::from_secs(3600);
/// When they are deleted first, after the start.
const FIRST: Duration = Duration::from_secs(60);

/// How long the response to a request that wrote no punch is kept for retries.
pub const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How long an ended job is kept.
pub const JOBS_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How long an installation keeps records whose retention it can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ages {
    /// Entries of the audit trail; `None` means forever.
    pub audit: Option<SignedDuration>,
    /// Pictures of punches; `None` if none are kept.
    pub punch_pictures: Option<SignedDuration>,
    /// Unknown faces; `None` if none are kept.
    pub unknown_faces: Option<SignedDuration>,
}

/// The numbers of deleted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Expired sessions.
    pub sessions: u64,
    /// Invitations that expired long ago.
    pub invitations: u64,
    /// Kept responses.
    pub answers: u64,
    /// Refused punches.
    pub refused_punches: u64,
    /// Ended jobs.
    pub jobs: u64,
    /// Ended deliveries of messages.
    pub deliveries: u64,
    /// People of whom a crash between two writes had left templates, photos or pictures.
    pub faces: u64,
    /// Expired values in the store's cache.
    pub cached: u64,
    /// Entries of the audit trail.
    pub audit: u64,
    /// Pictures of punches.
    pub punch_pictures: u64,
    /// Unknown faces.
    pub unknown_faces: u64,
}

/// How long the lease outlives an instance that crashes.
const LEASE: Duration = Duration::from_secs(30);
const NAME: &str = "retention";

/// A pause between two runs after which the clock may have jumped forward. Then everything would
/// look expired.
const JUMP: SignedDuration = SignedDuration::from_hours(3 * 24);

/// How long deletion waits after such a pause, so that an operator can set the clock.
const WAIT: Duration = Duration::from_secs(24 * 3600);

/// Notices a clock that jumps forward, by the moment at which expired records were last deleted.
/// Waits after every long pause, because a service that was off for days looks the same.
#[derive(Debug, Default)]
pub struct JumpGuard {
    noticed: Option<Instant>,
}

impl JumpGuard {
    /// Checks whether expired records may be deleted at `now` by the clock. `at` is the same moment
    /// by a clock that nobody sets; `last` is when an instance last deleted expired records.
    pub fn permits(&mut self, now: Timestamp, at: Instant, last: Option<Timestamp>) -> bool {
        let Some(last) = last.filter(|last| now.duration_since(*last) > JUMP) else {
            self.noticed = None;
            return true;
        };
        let noticed = *self.noticed.get_or_insert(at);
        let waited = at.duration_since(noticed) >= WAIT;
        if !waited {
            warn!(
                %now, %last,
                "expired records were last deleted long ago: if the clock of this machine is wrong, set it; deletion waits for 24 hours"
            );
        }
        waited
    }
}

/// Deletes expired records every hour until the token is canceled, on one instance at a time: the
/// holder of the lease in the store.
pub async fn run(stores: Repositories, clock: Arc<dyn Clock>, ages: Ages, stop: CancellationToken) {
    let (holder, mut guard) = (clock.id().to_string(), JumpGuard::default());
    let mut tick = tokio::time::interval_at(Instant::now() + FIRST, EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let last = match stores.leases.last(NAME).await {
            Ok(last) => last.map(|lease| lease.until),
            Err(cause) => {
                warn!(%cause, "could not delete expired records; retrying in one hour");
                continue;
            }
        };
        if !guard.permits(clock.now(), Instant::now(), last) {
            continue;
        }
        let by = (&stores.leases, &*clock);
        let work = async |_: &Lease| purge(&stores, &*clock, ages).await;
        match with_lease(by, (NAME, &holder), LEASE, work).await {
            Ok(None) => {}
            Ok(Some(Ok(purged))) if purged == Purged::default() => {}
            Ok(Some(Ok(purged))) => info!(
                sessions = purged.sessions,
                invitations = purged.invitations,
                answers = purged.answers,
                refused_punches = purged.refused_punches,
                jobs = purged.jobs,
                deliveries = purged.deliveries,
                faces = purged.faces,
                cached = purged.cached,
                audit = purged.audit,
                punch_pictures = purged.punch_pictures,
                unknown_faces = purged.unknown_faces,
                "deleted expired records"
            ),
            Ok(Some(Err(cause))) | Err(cause) => {
                warn!(%cause, "could not delete expired records; retrying in one hour");
            }
        }
    }
}

/// How often expired values of the store's cache are deleted: some live only for seconds.
const SWEEP: Duration = Duration::from_secs(60);

/// Deletes expired values of the store's cache until the token is canceled. Needs no lease, because
/// deleting twice does no harm.
pub async fn sweep(cache: StoredCache, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        if let Err(cause) = cache.purge(clock.now()).await {
            warn!(%cause, "could not delete expired values of the store's cache; retrying in 60s");
        }
    }
}

/// Returns the moment before which records of this age are expired. An age beyond the range of
/// timestamps means forever.
fn expiry(now: Timestamp, age: SignedDuration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// Deletes expired records once.
pub async fn purge(
    stores: &Repositories,
    clock: &dyn Clock,
    ages: Ages,
) -> Result<Purged, StoreError> {
    let now = clock.now();
    let sessions = stores.sessions.purge(now).await?;
    let invitations = delete_expired_invitations(stores, clock).await?;
    let answers = stores.punches.forget_answers(expiry(now, ANSWERS_KEPT));
    let answers = answers.await?;
    let refused_punches = stores
        .refused_punches
        .purge(expiry(now, RefusedPunch::KEPT))
        .await?;
    let jobs = stores.jobs.purge(expiry(now, JOBS_KEPT)).await?;
    let deliveries = stores.deliveries.purge(expiry(now, DELIVERIES_KEPT));
    let deliveries = deliveries.await?;
    let faces = delete_leftovers(stores, clock).await?;
    let cached = stores.cache.purge(now).await?;
    let audit = match ages.audit {
        Some(age) => stores.audit.purge(expiry(now, age)).await?,
        None => 0,
    };
    // If pictures are no longer kept, deletes all of them.
    let pictures = async |kind, age: Option<SignedDuration>| {
        let before = age.map_or(Timestamp::MAX, |age| expiry(now, age));
        stores.pictures.purge(kind, before).await
    };
    let punch_pictures = pictures(PictureKind::Punch, ages.punch_pictures).await?;
    let unknown_faces = pictures(PictureKind::Unknown, ages.unknown_faces).await?;
    Ok(Purged {
        sessions,
        invitations,
        answers,
        refused_punches,
        jobs,
        deliveries,
        faces,
        cached,
        audit,
        punch_pictures,
        unknown_faces,
    })
}

/// How long invitations stay after they expired, so that they can be sent again.
const INVITATIONS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Number of invitations that are read at a time.
const INVITATIONS: usize = 100;

/// Deletes invitations that expired long ago. Each is audited before, because copies of an
/// installation tell by the trail what was deleted.
async fn delete_expired_invitations(
    stores: &Repositories,
    clock: &dyn Clock,
) -> Result<u64, StoreError> {
    let (mut deleted, before) = (0, expiry(clock.now(), INVITATIONS_KEPT));
    loop {
        let expired = stores.invitations.expired(before, INVITATIONS).await?;
        for invitation in &expired {
            let entry = AuditEntry {
                id: AuditId::new(clock.id()),
                at: clock.now(),
                actor: Actor::System,
                action: "invitation.expire".to_owned(),
                subject: invitation.id.to_string(),
                detail: None,
            };
            stores.audit.append(&entry).await?;
            let stored = stores.invitations.read(invitation.id).await?;
            // It may have been sent again at this moment.
            if let Some(stored) = stored.filter(|stored| **stored == *invitation) {
                deleted += u64::from(stores.invitations.remove(&stored).await?);
            }
        }
        if expired.len() < INVITATIONS {
            return Ok(deleted);
        }
    }
}

/// How long a photo may exist without its face: enrollment writes photos first.
const PHOTO_WAITS: SignedDuration = SignedDuration::from_hours(1);

/// Deletes faces of deleted people, and photos and pictures of people without a face, which a crash
/// during an enrollment, a withdrawal of consent or a deletion may leave. Returns the number of
/// people.
async fn delete_leftovers(stores: &Repositories, clock: &dyn Clock) -> Result<u64, StoreError> {
    let (mut people, old) = (0, expiry(clock.now(), PHOTO_WAITS));
    let pages = stores.faces.pages();
    pin_mut!(pages);
    while let Some(page) = pages.try_next().await? {
        let ids: Vec<_> = page.iter().map(|one| one.employee).collect();
        let employees = stores.employees.find_many(&ids).await?;
        let present = employees.iter().filter(|one| one.deleted_at.is_none());
        let present: HashSet<_> = present.map(|one| one.id).collect();
        for enrollment in page {
            let id = enrollment.employee;
            if enrollment.face.is_some() {
                if !present.contains(&id) {
                    sealed_faces::forget(stores, clock, id).await?;
                    people += 1;
                }
                continue;
            }
            let mut left = stores.pictures.delete_by_employee(id).await?;
            if enrollment.changed_at < old {
                left += stores.photos.delete_by_employee(id).await?;
            }
            people += u64::from(left > 0);
        }
    }
    let pages = stores.photos.pages();
    pin_mut!(pages);
    while let Some(page) = pages.try_next().await? {
        for photo in page {
            if photo.created_at < old && stores.faces.find(photo.employee).await?.is_none() {
                people += u64::from(stores.photos.delete(photo.id).await?);
            }
        }
    }
    Ok(people)
}
