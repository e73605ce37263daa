//! A store that fails, loses answers, or runs something else first, when a test wants it to.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt, ready};
use rollcall::{
    domain::record::{Index, Kind},
    ports::{Parts, Range, RecordEngine, Revision, StoreError, Stored, Write},
};
use tokio::task::yield_now;

/// A call to the store.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    Read,
    Put(&'a Write),
    Delete,
}

type Lost = dyn Fn(&'static Kind, Call<'_>) -> Option<StoreError> + Send + Sync;

type Before =
    dyn Fn(&'static Kind, Call<'_>) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync;

/// A record engine in front of another one. Other tasks run before and after each call, as with a
/// real server or disk, so that tests of races reach every step.
pub struct FailingEngine {
    engine: Arc<dyn RecordEngine>,
    before: Mutex<Option<Arc<Before>>>,
    lost: Mutex<Option<Arc<Lost>>>,
}

impl FailingEngine {
    pub fn over(engine: Arc<dyn RecordEngine>) -> Self {
        Self {
            engine,
            before: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// Runs a function before each call; its error is the result of the call.
    pub fn before(
        &self,
        run: impl Fn(&'static Kind, Call<'_>) -> BoxFuture<'static, Result<(), StoreError>>
        + Send
        + Sync
        + 'static,
    ) {
        *self.before.lock().unwrap() = Some(Arc::new(run));
    }

    /// Fails the calls for which the function returns an error.
    pub fn fail(
        &self,
        error: impl Fn(&'static Kind, Call<'_>) -> Option<StoreError> + Send + Sync + 'static,
    ) {
        self.before(move |kind, call| ready(error(kind, call).map_or(Ok(()), Err)).boxed());
    }

    /// Loses the answers of the writes for which there is an error, after they are done.
    pub fn lose_answers(
        &self,
        error: impl Fn(&'static Kind, Call<'_>) -> Option<StoreError> + Send + Sync + 'static,
    ) {
        *self.lost.lock().unwrap() = Some(Arc::new(error));
    }

    async fn begin(&self, kind: &'static Kind, call: Call<'_>) -> Result<(), StoreError> {
        let before = self.before.lock().unwrap().clone();
        let before = before.map(|before| before(kind, call));
        yield_now().await;
        match before {
            Some(before) => before.await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl RecordEngine for FailingEngine {
    async fn get(
        &self,
        kind: &'static Kind,
        ids: &[String],
        parts: Parts,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        self.begin(kind, Call::Read).await?;
        let answer = self.engine.get(kind, ids, parts).await;
        yield_now().await;
        answer
    }

    async fn scan(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
        limit: usize,
        parts: Parts,
    ) -> Result<Vec<Stored>, StoreError> {
        self.begin(kind, Call::Read).await?;
        let answer = self.engine.scan(kind, index, range, limit, parts).await;
        yield_now().await;
        answer
    }

    async fn put(&self, write: Write) -> Result<Option<Revision>, StoreError> {
        self.begin(write.kind, Call::Put(&write)).await?;
        let lost = self.lost.lock().unwrap().clone();
        let lost = lost.and_then(|lost| lost(write.kind, Call::Put(&write)));
        let answer = self.engine.put(write).await;
        yield_now().await;
        match lost {
            Some(error) => Err(error),
            None => answer,
        }
    }

    async fn delete(
        &self,
        kind: &'static Kind,
        records: &[(String, Option<Revision>)],
    ) -> Result<u64, StoreError> {
        self.begin(kind, Call::Delete).await?;
        let answer = self.engine.delete(kind, records).await;
        yield_now().await;
        answer
    }

    async fn count(
        &self,
        kind: &'static Kind,
        index: Index,
        range: &Range,
    ) -> Result<u64, StoreError> {
        self.begin(kind, Call::Read).await?;
        let answer = self.engine.count(kind, index, range).await;
        yield_now().await;
        answer
    }

    fn description(&self) -> String {
        self.engine.description()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.engine.ping().await
    }

    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        self.engine.clear_traces().await
    }

    async fn close(&self) {
        self.engine.close().await;
    }
}
