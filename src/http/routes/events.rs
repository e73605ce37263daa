//! The live feed as Server-Sent Events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_stream::stream;
use axum::{
    extract::{FromRef, State},
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use axum_extra::extract::CookieJar;
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    cameras::StateView,
    punches::{Namers, Names},
};
use crate::{
    domain::{
        accounts::{Account, Permission},
        attendance::Punch,
        ids::{CameraId, PunchId},
    },
    http::{
        HttpState,
        auth::{Allowed, Reading},
        problem::{Fields, Problem},
        session,
    },
    service::{
        accounts::Accounts,
        cameras::{CameraError, Cameras},
        feed::{Feed, News},
        punching::Punching,
    },
};

/// How many punches a follower who comes back is told at most; with more, `reset` says that
/// the lists are to be read again.
const REPLAY_MOST: usize = 500;

/// How far a replay reaches back beyond the last event: clocks of instances differ.
const OVERLAP: SignedDuration = SignedDuration::from_secs(5);

/// How often a follower hears at least something, so that nobody on the way hangs up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often is looked whether the follower may still follow.
pub(super) const CHECK: Duration = Duration::from_secs(15);

/// What is needed to tell of punches and cameras.
#[derive(Clone)]
struct Teller {
    punching: Arc<Punching>,
    cameras: Arc<Cameras>,
    namers: Namers,
}

impl Teller {
    async fn punches(&self, punches: &[Punch]) -> Result<Vec<Event>, Problem> {
        let behind = punches.iter().collect::<Vec<_>>();
        let names = Names::behind(&behind, &self.namers).await?;
        Ok(punches
            .iter()
            .filter_map(|punch| {
                let event = Event::default().event("punch").id(event_id(punch));
                event.json_data(names.view(punch)).ok()
            })
            .collect())
    }

    /// One punch as an event; none when it is not there.
    async fn punch(&self, id: PunchId) -> Result<Vec<Event>, Problem> {
        let found = self.punching.find(id).await?;
        self.punches(found.as_slice()).await
    }

    /// How a camera is now, for those who may see it; that it is removed is no state.
    async fn camera(&self, id: CameraId, by: &Account) -> Result<Vec<Event>, Problem> {
        if !self.cameras.concerns(id, by).await? {
            return Ok(Vec::new());
        }
        let state = match self.cameras.watched(id, by).await {
            Ok(watched) => StateView::of(&watched),
            Err(CameraError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        let data = json!({ "id": id.to_string(), "state": state });
        Ok(vec![plain("camera", &data)])
    }

    /// What was recorded since an event, oldest first; `None` when that is too much.
    async fn since(&self, at: Timestamp, last: PunchId) -> Result<Option<Vec<Event>>, Problem> {
        let from = at.saturating_sub(OVERLAP).unwrap_or(Timestamp::MIN);
        let mut found = self.punching.recorded_since(from, REPLAY_MOST + 1).await?;
        if found.len() > REPLAY_MOST {
            return Ok(None);
        }
        found.retain(|punch| punch.id != last);
        self.punches(&found).await.map(Some)
    }
}

/// `TIME-ID`: when the punch was recorded, Unix milliseconds, and its identity.
fn event_id(punch: &Punch) -> String {
    format!("{}-{}", punch.recorded_at.as_millisecond(), punch.id)
}

fn read_event_id(text: &str) -> Option<(Timestamp, PunchId)> {
    let (at, id) = text.split_once('-')?;
    let at = Timestamp::from_millisecond(at.parse().ok()?).ok()?;
    Some((at, id.parse().ok()?))
}

/// Whose session it is, if it is still one that may read. Nobody's, too, while the store cannot
/// say.
pub(super) async fn follower(accounts: &Accounts, token: Option<&str>) -> Option<Account> {
    let account = accounts.authenticate(token?).await.ok().flatten()?;
    account.role.permits(Permission::Read).then_some(account)
}

fn plain(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Follows what happens, as it happens.
///
/// Events are `punch` (the punch, as `GET /api/punches/{id}` answers it), `employee` and
/// `device` (`{"id"}`: read it again), `camera` (`{"id", "state"}`: it was changed, or is in
/// another state; read it again), and `reset` (something was missed: read the lists again). A punch may come twice; its `id` tells. Whoever comes back with `Last-Event-ID`
/// first gets the punches recorded meanwhile.
#[utoipa::path(
    get, path = "/api/events", tag = "punches",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was heard")),
    responses(
        (status = 200, description = "A stream that does not end", content_type = "text/event-stream", body = String),
        (status = 422, description = "`invalid`"),
    ),
    security(("session" = [])),
)]
pub async fn follow_events(
    allowed: Allowed<Reading>,
    State(state): State<HttpState>,
    State(feed): State<Feed>,
    jar: CookieJar,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let last = match headers.get("last-event-id") {
        Some(value) => {
            let read = value.to_str().ok().and_then(read_event_id);
            let mut fields = Fields::default();
            let last = fields.take("Last-Event-ID", read.ok_or("is not the id of an event"));
            fields.check()?;
            last
        }
        None => None,
    };
    let teller = Teller {
        punching: state.app.punching.clone(),
        cameras: state.app.cameras.clone(),
        namers: Namers::from_ref(&state),
    };
    // Followed before the store is read, so that nothing falls between the two.
    let mut following = feed.follow();
    let missed = match last {
        Some((at, id)) => teller.since(at, id).await?,
        None => Some(Vec::new()),
    };
    let stopping = state.stopping.clone();
    let accounts = state.app.accounts.clone();
    let token = session::token(&jar).map(str::to_owned);
    let mut account = allowed.account()?.clone();
    let events = stream! {
        match missed {
            Some(events) => {
                // The first line tells that the stream stands.
                yield Ok(Event::default().comment("following"));
                for event in events {
                    yield Ok(event);
                }
            }
            None => yield Ok(plain("reset", &json!({}))),
        }
        let mut check = tokio::time::interval_at(tokio::time::Instant::now() + CHECK, CHECK);
        loop {
            let news = tokio::select! {
                news = following.next() => news,
                () = stopping.cancelled() => break,
                _ = check.tick() => {
                    // Signed out, disabled or of another role meanwhile.
                    match follower(&accounts, token.as_deref()).await {
                        Some(now) => account = now,
                        None => break,
                    }
                    continue;
                }
            };
            let events = match news {
                Some(News::Punch(id)) => teller.punch(id).await,
                Some(News::Employee(id)) => Ok(vec![plain("employee", &json!({"id": id.to_string()}))]),
                Some(News::Device(id)) => Ok(vec![plain("device", &json!({"id": id.to_string()}))]),
                Some(News::Camera(id)) => teller.camera(id, &account).await,
                // Not everybody who follows may see those.
                Some(News::Job(_)) => Ok(Vec::new()),
                Some(News::Missed) => Ok(vec![plain("reset", &json!({}))]),
                None => break,
            };
            // The store is away: whoever follows reads it later.
            let events = events.unwrap_or_else(|_| vec![plain("reset", &json!({}))]);
            for event in events {
                yield Ok(event);
            }
        }
    };
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_read_back() {
        let id = PunchId::new(uuid::Uuid::from_u128(7));
        let text = format!("1700000000123-{id}");
        let at = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        assert_eq!(read_event_id(&text), Some((at, id)));
        for wrong in ["", "1", "x-y", "1-2", "-1"] {
            assert_eq!(read_event_id(wrong), None, "{wrong}");
        }
    }
}
