//! Concurrent attempts of which one may succeed.

use futures::future::join_all;
use rollcall::ports::StoreError;

/// Number of concurrent attempts.
pub const RACERS: usize = 50;

/// Makes all attempts at once; returns their results.
pub async fn race<T, F>(racer: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tries = (0..RACERS).map(|number| tokio::spawn(racer(number)));
    let answers = join_all(tries).await;
    answers.into_iter().map(Result::unwrap).collect()
}

/// Checks that one attempt succeeded, and that the others were conflicts.
pub fn one_wins(answers: &[Result<(), StoreError>]) {
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let lost = |answer: &&Result<(), StoreError>| **answer == Err(StoreError::Conflict);
    let lost = answers.iter().filter(lost).count();
    assert_eq!((won, lost), (1, answers.len() - 1), "{answers:?}");
}
