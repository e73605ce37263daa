//! Time limits of requests, and the rest of the body of a request that was answered early.
//!
//! The limits count from the last byte that arrived, so a large upload over a slow line is not cut
//! off, and one that stalls is.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    HttpState,
    problem::{Code, Problem},
};

/// How long a client may send nothing while the service waits for its body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of an unread body that are read after the answer is known, so that the client can
/// read the answer and keep its connection.
const REST_MOST: usize = 64 << 10;
/// How long that may take.
const REST_TIMEOUT: Duration = Duration::from_millis(500);

/// The body of a request, shared by the handler that reads it and the timer.
#[derive(Clone)]
struct Incoming(Arc<Mutex<Progress>>);

struct Progress {
    /// `None` once it has ended or failed.
    body: Option<BodyDataStream>,
    /// Whether the handler waits for bytes.
    awaited: bool,
    /// When that changed, or bytes arrived.
    since: Instant,
}

impl Incoming {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Progress {
            body: (!body.is_end_stream()).then(|| body.into_data_stream()),
            awaited: false,
            since: Instant::now(),
        })))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the body for the handler.
    fn body(&self) -> Body {
        if self.progress().body.is_none() {
            return Body::empty();
        }
        let incoming = self.clone();
        Body::from_stream(stream::poll_fn(move |context| {
            incoming.progress().poll_next(context)
        }))
    }

    /// Reads on after the answer. Returns whether the body has ended.
    async fn finish(&self) -> bool {
        let Some(mut body) = self.progress().body.take() else {
            return true;
        };
        let rest = async {
            let mut read = 0;
            while let Some(Ok(chunk)) = body.next().await {
                read += chunk.len();
                if read > REST_MOST {
                    return false;
                }
            }
            true
        };
        timeout(REST_TIMEOUT, rest).await.unwrap_or(false)
    }
}

impl Progress {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = body.poll_next_unpin(context);
        if polled.is_ready() || !self.awaited {
            self.since = Instant::now();
        }
        self.awaited = polled.is_pending();
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }
}

/// Ends a request that takes too long. Closes the connection of a client whose body was not read,
/// after telling it so.
pub async fn request_timeout(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    let (limit, body_limit) = (state.settings.timeout, state.settings.body_timeout);
    // Reading the body makes such a client send it.
    let waits_for_leave = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let incoming = Incoming::new(body);
    let request = Request::from_parts(parts, incoming.body());
    let mut response = pin!(next.run(request));
    let mut timer = pin!(sleep_until(Instant::now() + limit));
    // The handler reads the body in this task, so its progress is known whenever this is polled.
    let mut response = poll_fn(|context| {
        if let Poll::Ready(response) = response.as_mut().poll(context) {
            return Poll::Ready(response);
        }
        let (awaited, since) = {
            let progress = incoming.progress();
            (progress.awaited, progress.since)
        };
        let limit = if awaited { body_limit } else { limit };
        if timer.deadline() != since + limit {
            timer.as_mut().reset(since + limit);
        }
        timer.as_mut().poll(context).map(|()| {
            let detail = match awaited {
                true => format!("no bytes of the body arrived for {} s", limit.as_secs()),
                false => format!("the request took longer than {} s", limit.as_secs()),
            };
            Problem::new(Code::TimedOut, detail).into_response()
        })
    })
    .await;
    let finished = match waits_for_leave {
        true => incoming.progress().body.is_none(),
        false => incoming.finish().await,
    };
    if !finished {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
