//! The texts to which people consent. Each version is kept for good, so that a consent shows what was
//! agreed to after the text has changed.

use crate::{
    domain::employees::{CONSENT_TEXT, CONSENT_VERSION},
    ports::StoreError,
    repositories::Repositories,
};

/// Returns the name of the setting that has the text of a version.
fn name(version: &str) -> String {
    format!("consent_text:{version}")
}

/// Keeps the present text, so that it is on record before anybody agrees to it. Returns false if the
/// store has another text of the same version.
///
/// # Errors
/// When the store fails.
pub async fn keep(stores: &Repositories) -> Result<bool, StoreError> {
    let settings = &stores.settings;
    if settings.claim(&name(CONSENT_VERSION), CONSENT_TEXT).await? {
        return Ok(true);
    }
    let kept = settings.get(&name(CONSENT_VERSION)).await?;
    Ok(kept.as_deref() == Some(CONSENT_TEXT))
}

/// Returns the text of a version; `None` if it is not known.
///
/// # Errors
/// When the store fails.
pub async fn find(stores: &Repositories, version: &str) -> Result<Option<String>, StoreError> {
    let kept = stores.settings.get(&name(version)).await?;
    let present = || (version == CONSENT_VERSION).then(|| CONSENT_TEXT.to_owned());
    Ok(kept.or_else(present))
}
