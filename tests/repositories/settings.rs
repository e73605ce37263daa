//! Settings: if several instances decide one at once, one succeeds.

use rollcall::repositories::Repositories;

use crate::{TRICKY, races::race};

pub async fn settings_are_decided_once_until_they_are_released(stores: &Repositories) {
    let settings = &stores.settings;
    for text in TRICKY {
        assert_eq!(settings.get(text).await, Ok(None));
        assert_eq!(settings.claim(text, text).await, Ok(true));
        assert_eq!(settings.claim(text, "").await, Ok(false));
        assert_eq!(settings.get(text).await, Ok(Some(text.to_owned())));
    }
    settings.release(TRICKY[0]).await.unwrap();
    settings.release(TRICKY[0]).await.unwrap();
    assert_eq!(settings.get(TRICKY[0]).await, Ok(None));
    assert_eq!(settings.claim(TRICKY[0], "again").await, Ok(true));
    assert_eq!(
        settings.get(TRICKY[1]).await,
        Ok(Some(TRICKY[1].to_owned()))
    );
}

pub async fn of_many_claims_one_wins(stores: &Repositories) {
    let settings = &stores.settings;
    for _ in 0..2 {
        let claims = race(|number| {
            let settings = settings.clone();
            async move { settings.claim("set-up", &number.to_string()).await.unwrap() }
        });
        let claims = claims.await;
        assert_eq!(claims.iter().filter(|won| **won).count(), 1);
        let winner = claims.iter().position(|won| *won).unwrap();
        assert_eq!(settings.get("set-up").await, Ok(Some(winner.to_string())));
        settings.release("set-up").await.unwrap();
        assert_eq!(settings.get("set-up").await, Ok(None));
    }
}
