//! Cameras: adds, changes and removes them, and shows their state and live pictures.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use super::{
    application_cache::AppCache,
    audit::Audit,
    feed::{Feed, News},
    sites::Sites,
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor},
        cameras::{Camera, CameraStatus, Direction, LookEvery, StreamFault, VisitGap, WatchHours},
        grants::{Permission, Reach},
        ids::{CameraId, EmployeeId, SiteId},
        text::{Email, Name, StreamName},
    },
    ports::{FaceBox, Page, PictureStream, Sample, StoreError, StreamError, Streams},
    repositories::{self, Accounts},
};

/// Why a request for a camera failed.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// There is no such camera.
    #[error("there is no such camera")]
    NotFound,
    /// Another camera has the stream.
    #[error("another camera has this stream")]
    StreamTaken,
    /// No account has the address of a viewer.
    #[error("no account has the address {0}: create it first")]
    NoAccount(Email),
    /// go2rtc is not configured with the stream.
    #[error("go2rtc has no stream of this name: add it to its configuration first")]
    UnknownStream,
    /// There is no such site, or it was removed.
    #[error("there is no such site: add it first")]
    UnknownSite,
    /// Other requests changed the camera at every try.
    #[error("other requests are changing this camera at the same time: try again")]
    Raced,
    /// The limit of viewers is reached.
    #[error("{VIEWERS_MOST} others are viewing cameras: try again in a moment")]
    TooManyViewers,
    /// There is no picture.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an admin sets on a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraSettings {
    /// The name.
    pub name: Name,
    /// The name of the stream in go2rtc.
    pub stream: StreamName,
    /// The site where it stands.
    pub site: SiteId,
    /// The direction in which people pass it.
    pub direction: Direction,
    /// The hours in which it is watched; `None` for always.
    pub hours: Option<WatchHours>,
    /// The least time between two analyzed pictures.
    pub every: LookEvery,
    /// The absence after which a visit is a new one.
    pub visit: VisitGap,
    /// Whether it is watched at all.
    pub active: bool,
    /// The accounts that can view it besides admins; `None` for all accounts.
    pub viewers: Option<Vec<Email>>,
}

impl CameraSettings {
    /// Returns a camera with these settings that is not removed.
    fn into_camera(self, id: CameraId, created_at: Timestamp) -> Camera {
        Camera {
            id,
            name: self.name,
            stream: self.stream,
            site: self.site,
            direction: self.direction,
            hours: self.hours,
            every: self.every,
            visit: self.visit,
            active: self.active,
            created_at,
            removed_at: None,
            viewers: self.viewers,
        }
    }
}

/// A camera with its last reported state.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The camera.
    pub camera: Camera,
    /// The last reported state.
    pub status: Option<CameraStatus>,
    /// Whether the report is recent.
    pub fresh: bool,
}

/// A stream in the configuration of go2rtc.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The name.
    pub stream: StreamName,
    /// The camera that uses it.
    pub camera: Option<Camera>,
}

/// The faces in the last analyzed picture of a camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// When the picture was taken.
    pub at: Timestamp,
    /// Width of the picture, pixels.
    pub width: u32,
    /// Height of the picture, pixels.
    pub height: u32,
    /// The faces.
    pub faces: Vec<OverlayFace>,
}

/// A face in an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OverlayFace {
    /// Left edge, pixels.
    pub x: f32,
    /// Upper edge, pixels.
    pub y: f32,
    /// Width, pixels.
    pub width: f32,
    /// Height, pixels.
    pub height: f32,
    /// The employee, once identified.
    pub employee: Option<EmployeeId>,
}

impl OverlayFace {
    /// Makes a face from its bounds.
    pub fn new(bounds: FaceBox, employee: Option<EmployeeId>) -> Self {
        Self {
            x: bounds.x,
            y: bounds.y,
            width: bounds.width,
            height: bounds.height,
            employee,
        }
    }
}

/// The faces that cameras see now, for viewers of live pictures on any instance. The instance that
/// watches a camera publishes them only while there are viewers. They are not records, and expire
/// within seconds.
#[derive(Clone, derive_new::new)]
pub struct Overlays {
    cache: AppCache,
    /// By camera, whether there are viewers, and until when that is known.
    #[new(default)]
    asked: Arc<Mutex<HashMap<CameraId, (Instant, bool)>>>,
}

/// How long faces are published after a viewer requested them.
const ASKED: Duration = Duration::from_secs(12);
/// How often the publisher checks whether there are viewers, and how often viewers announce
/// themselves.
const ASK_EVERY: Duration = Duration::from_secs(2);

impl Overlays {
    /// How long published faces are valid. A camera is analyzed more often.
    pub const LIVES: Duration = Duration::from_secs(12);

    fn asked(&self) -> MutexGuard<'_, HashMap<CameraId, (Instant, bool)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether there are viewers, if that is known.
    fn known(&self, camera: CameraId) -> Option<bool> {
        let (until, asked) = *self.asked().get(&camera)?;
        (Instant::now() < until).then_some(asked)
    }

    fn know(&self, camera: CameraId, asked: bool) {
        let until = Instant::now() + ASK_EVERY;
        self.asked().insert(camera, (until, asked));
    }

    fn asked_key(camera: CameraId) -> String {
        format!("asked:{camera}")
    }

    fn key(camera: CameraId) -> String {
        format!("faces:{camera}")
    }

    /// Publishes faces, if there are viewers.
    pub async fn show(&self, camera: CameraId, overlay: &Overlay) {
        let asked = match self.known(camera) {
            Some(asked) => asked,
            None => {
                let asked = self.cache.get(&Self::asked_key(camera)).await;
                self.know(camera, asked.unwrap_or(false));
                asked.unwrap_or(false)
            }
        };
        if asked {
            let key = Self::key(camera);
            self.cache.set_for(&key, overlay, Self::LIVES).await;
        }
    }

    /// Returns the last published faces, and announces a viewer. `None` if there are none yet.
    pub async fn find(&self, camera: CameraId) -> Option<Overlay> {
        if self.known(camera) != Some(true) {
            let key = Self::asked_key(camera);
            self.cache.set_for(&key, &true, ASKED).await;
            self.know(camera, true);
        }
        self.cache.get(&Self::key(camera)).await
    }
}

/// How often a change is tried while other requests change the same camera.
const TRIES: usize = 8;

/// The maximum time until the first picture.
const FIRST_PICTURE: Duration = Duration::from_secs(10);

/// The maximum number of live pictures, and of single ones, that are open at the same time on this
/// instance. Each costs a connection to go2rtc, and for H.264 a transcoding.
const VIEWERS_MOST: usize = 8;

/// The least time between two live pictures.
const LIVE_EVERY: Duration = Duration::from_millis(100);

/// The number of cameras that are read together.
const PAGE: usize = 200;

/// Describes who can view a camera, for the audit trail.
fn viewers_detail(camera: &Camera) -> String {
    match camera.viewers.as_deref() {
        None => "viewers: everybody".to_owned(),
        Some([]) => "viewers: admins".to_owned(),
        Some(some) => {
            let some: Vec<&str> = some.iter().map(Email::as_str).collect();
            format!("viewers: admins, {}", some.join(", "))
        }
    }
}

/// Returns all cameras that are not removed.
pub async fn every_camera(store: &repositories::Cameras) -> Result<Vec<Camera>, StoreError> {
    let (mut cameras, mut after) = (Vec::new(), None);
    loop {
        let page = Page { after, limit: PAGE };
        let found = store.list(&Reach::Everything, None, &page).await?;
        after = found.last().map(|last| last.id);
        let more = found.len() == PAGE;
        cameras.extend(found);
        if !more {
            return Ok(cameras);
        }
    }
}

/// Manages cameras.
pub struct Cameras {
    store: repositories::Cameras,
    accounts: Accounts,
    streams: Arc<dyn Streams>,
    sites: Arc<Sites>,
    overlays: Overlays,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
    /// The permits for live pictures.
    seats: Arc<Semaphore>,
    /// The permits for single pictures.
    glances: Semaphore,
}

impl Cameras {
    /// Makes the service over the repositories and the source of the streams.
    pub fn new(
        (store, accounts): (repositories::Cameras, Accounts),
        streams: Arc<dyn Streams>,
        sites: Arc<Sites>,
        overlays: Overlays,
        audit: Audit,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        Self {
            store,
            accounts,
            streams,
            sites,
            overlays,
            audit,
            clock,
            feed,
            seats: Arc::new(Semaphore::new(VIEWERS_MOST)),
            glances: Semaphore::new(VIEWERS_MOST),
        }
    }

    /// Adds a camera. go2rtc must have its stream. If go2rtc does not respond, the camera is added
    /// anyway, and its state shows the problem.
    pub async fn add(&self, actor: Actor, new: CameraSettings) -> Result<Camera, CameraError> {
        self.check_stream(&new.stream).await?;
        self.check_viewers(new.viewers.as_deref()).await?;
        self.check_site(new.site).await?;
        let camera = new.into_camera(CameraId::new(self.clock.id()), self.clock.now());
        // Before the change, so that the trail contains every camera.
        self.audit
            .record(
                actor,
                "camera.add",
                camera.id,
                Some(viewers_detail(&camera)),
            )
            .await?;
        match self.store.insert(&camera).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Err(CameraError::StreamTaken),
            Err(error) => return Err(error.into()),
        }
        self.feed.publish(News::Camera(camera.id)).await;
        Ok(camera)
    }

    async fn check_stream(&self, stream: &StreamName) -> Result<(), CameraError> {
        match self.streams.names().await {
            Ok(names) if !names.contains(stream) => Err(CameraError::UnknownStream),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Checks that cameras can belong to a site.
    async fn check_site(&self, site: SiteId) -> Result<(), CameraError> {
        match self.sites.is_present(site).await? {
            true => Ok(()),
            false => Err(CameraError::UnknownSite),
        }
    }

    /// Checks that each viewer has an account, because a wrong address would be noticed too late.
    async fn check_viewers(&self, viewers: Option<&[Email]>) -> Result<(), CameraError> {
        for email in viewers.unwrap_or_default() {
            if self.accounts.find_by_email(email).await?.is_none() {
                return Err(CameraError::NoAccount(email.clone()));
            }
        }
        Ok(())
    }

    /// Returns a camera that an account can see and that is not removed. Others do not exist for the
    /// account.
    pub async fn seen_by(&self, id: CameraId, by: &Account) -> Result<Camera, CameraError> {
        let camera = self.find(id).await?;
        let shown = camera.shown_to(by);
        shown.then_some(camera).ok_or(CameraError::NotFound)
    }

    /// Returns whether an account may see a camera and what it saw, also after it was removed. Of
    /// one that is not in the store, only admins may.
    pub async fn shows(&self, id: CameraId, by: &Account) -> Result<bool, CameraError> {
        let camera = self.store.find(id).await?;
        Ok(match camera {
            Some(camera) => camera.shown_to(by),
            None => by.permits(Permission::Administer),
        })
    }

    /// Returns a camera that is not removed.
    async fn find(&self, id: CameraId) -> Result<Camera, CameraError> {
        let camera = self.store.find(id).await?;
        camera
            .filter(|camera| camera.removed_at.is_none())
            .ok_or(CameraError::NotFound)
    }

    /// Returns a camera that an account can see, with its state.
    pub async fn watched(&self, id: CameraId, by: &Account) -> Result<Watched, CameraError> {
        let camera = self.seen_by(id, by).await?;
        let watched = self.with_statuses(vec![camera]).await?.pop();
        watched.ok_or(CameraError::NotFound)
    }

    /// Returns a page of the cameras that an account can see and that are not removed, with their
    /// states; only at `site` if it is given.
    pub async fn list(
        &self,
        site: Option<SiteId>,
        page: &Page<CameraId>,
        by: &Account,
    ) -> Result<Vec<Watched>, StoreError> {
        let Some(reach) = by.access.reach(Permission::Survey) else {
            return Ok(Vec::new());
        };
        let (mut shown, mut after, limit) = (Vec::new(), page.after, page.limit);
        while shown.len() < limit {
            let page = Page { after, limit };
            let found = self.store.list(&reach, site, &page).await?;
            after = found.last().map(|last| last.id);
            let more = found.len() == limit;
            shown.extend(found.into_iter().filter(|camera| camera.shown_to(by)));
            if !more {
                break;
            }
        }
        shown.truncate(limit);
        self.with_statuses(shown).await
    }

    async fn with_statuses(&self, cameras: Vec<Camera>) -> Result<Vec<Watched>, StoreError> {
        let ids: Vec<_> = cameras.iter().map(|camera| camera.id).collect();
        let mut statuses = self.store.statuses(&ids).await?;
        let now = self.clock.now();
        let cameras = cameras.into_iter().map(|camera| {
            let status = statuses.iter().position(|(id, _)| *id == camera.id);
            let status = status.map(|place| statuses.swap_remove(place).1);
            Watched {
                fresh: status.as_ref().is_some_and(|status| status.fresh(now)),
                camera,
                status,
            }
        });
        Ok(cameras.collect())
    }

    /// Returns cameras by their IDs, also removed ones, for the names behind punches.
    pub async fn find_many(&self, ids: &[CameraId]) -> Result<Vec<Camera>, StoreError> {
        self.store.find_many(ids).await
    }

    /// Changes the settings of a camera to what `edit` returns for it. A new stream must pass the
    /// same check as in [`add`](Self::add).
    ///
    /// `edit` is called again when the camera changes at the same moment.
    pub async fn change<E: From<CameraError>>(
        &self,
        actor: Actor,
        id: CameraId,
        edit: impl Fn(&Camera) -> Result<CameraSettings, E>,
    ) -> Result<Camera, E> {
        let edited = |camera: &Camera| -> Result<Camera, E> {
            Ok(edit(camera)?.into_camera(id, camera.created_at))
        };
        let old = self.find(id).await?;
        let new = edited(&old)?;
        if new.stream != old.stream {
            self.check_stream(&new.stream).await?;
        }
        if new.site != old.site {
            self.check_site(new.site).await?;
        }
        let other_viewers = new.viewers != old.viewers;
        if other_viewers {
            self.check_viewers(new.viewers.as_deref()).await?;
        }
        let who = other_viewers.then(|| viewers_detail(&new));
        let recorded = self.audit.record(actor, "camera.change", id, who).await;
        recorded.map_err(CameraError::from)?;
        self.exchange(id, edited).await
    }

    /// Removes a camera: Rollcall stops watching it, and its stream is free. Old punches still show
    /// its name.
    pub async fn remove(&self, actor: Actor, id: CameraId) -> Result<(), CameraError> {
        self.find(id).await?;
        self.audit.record(actor, "camera.remove", id, None).await?;
        let at = self.clock.now();
        let removed = |camera: &Camera| {
            Ok::<_, CameraError>(Camera {
                active: false,
                removed_at: Some(at),
                ..camera.clone()
            })
        };
        self.exchange(id, removed).await.map(drop)
    }

    /// Replaces a camera by what `change` returns for it as it is now, and announces that.
    async fn exchange<E: From<CameraError>>(
        &self,
        id: CameraId,
        change: impl Fn(&Camera) -> Result<Camera, E>,
    ) -> Result<Camera, E> {
        for _ in 0..TRIES {
            let old = self.find(id).await?;
            let new = change(&old)?;
            match self.store.exchange(&old, &new).await {
                Ok(true) => {
                    self.feed.publish(News::Camera(id)).await;
                    return Ok(new);
                }
                Ok(false) => {}
                Err(StoreError::Conflict) => return Err(CameraError::StreamTaken.into()),
                Err(error) => return Err(CameraError::from(error).into()),
            }
        }
        Err(CameraError::Raced.into())
    }

    /// Returns the streams in the configuration of go2rtc, each with the camera that uses it.
    pub async fn streams(&self) -> Result<Vec<Configured>, CameraError> {
        let names = self.streams.names().await?;
        let cameras = every_camera(&self.store).await?;
        let configured = names.into_iter().map(|stream| Configured {
            camera: cameras.iter().find(|one| one.stream == stream).cloned(),
            stream,
        });
        Ok(configured.collect())
    }

    /// Returns the present picture.
    pub async fn picture(&self, id: CameraId, by: &Account) -> Result<Sample, CameraError> {
        let camera = self.seen_by(id, by).await?;
        let seat = self.glances.try_acquire();
        let _seat = seat.map_err(|_| CameraError::TooManyViewers)?;
        Ok(self.open(&camera).await?.1)
    }

    /// Returns live pictures, once the first one has arrived.
    pub async fn live(&self, id: CameraId, by: &Account) -> Result<Live, CameraError> {
        let camera = self.seen_by(id, by).await?;
        let seat = self.seats.clone().try_acquire_owned();
        let seat = seat.map_err(|_| CameraError::TooManyViewers)?;
        let (stream, first) = self.open(&camera).await?;
        Ok(Live {
            stream,
            first: Some(first),
            not_before: Instant::now(),
            _seat: seat,
        })
    }

    /// Opens the stream of a camera and returns it with its first picture.
    async fn open(&self, camera: &Camera) -> Result<(Box<dyn PictureStream>, Sample), StreamError> {
        let opened = async {
            let mut stream = self.streams.open(&camera.stream).await?;
            let first = stream.next().await?;
            Ok((stream, first))
        };
        match timeout(FIRST_PICTURE, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(StreamError {
                fault: StreamFault::Unreachable,
                cause: format!("no picture arrived within {} s", FIRST_PICTURE.as_secs()),
            }),
        }
    }

    /// Returns the faces in the last analyzed picture of a camera; `None` if it is too old.
    pub async fn faces(&self, id: CameraId, by: &Account) -> Result<Option<Overlay>, CameraError> {
        self.seen_by(id, by).await?;
        Ok(self.overlays.find(id).await)
    }
}

/// A viewer of live pictures. Dropping it closes the stream.
pub struct Live {
    stream: Box<dyn PictureStream>,
    first: Option<Sample>,
    not_before: Instant,
    _seat: OwnedSemaphorePermit,
}

impl Live {
    /// Returns the newest picture, at least a tenth of a second after the last one.
    pub async fn next(&mut self) -> Result<Sample, StreamError> {
        sleep_until(self.not_before).await;
        let picture = match self.first.take() {
            Some(first) => first,
            None => self.stream.next().await?,
        };
        self.not_before = Instant::now() + LIVE_EVERY;
        Ok(picture)
    }
}
