//! The keys of the installation, and the vault that seals with them.

use std::{path::PathBuf, sync::Arc};

use zeroize::Zeroizing;

use super::{BootError, make_data_dir, stores};
use crate::{
    clock::{Clock, SystemClock},
    config::{KeyFileError, Settings, TemplateKeys},
    repositories::Repositories,
    service::{
        audit::Audit,
        sealed_faces::{self, Census},
    },
    vault::Vault,
};

/// Returns the path of the generated template key.
pub fn key_file(settings: &Settings) -> PathBuf {
    settings.store.data_dir.join("template.key")
}

/// Returns the vault. Creates a key if there is none and nothing is sealed yet.
pub(super) async fn vault(
    settings: &Settings,
    stores: &Repositories,
    clock: &dyn Clock,
) -> Result<Vault, BootError> {
    if let Some(vault) = present_vault(settings)? {
        return Ok(vault);
    }
    let file = key_file(settings);
    if sealed_faces::any(stores).await? {
        return Err(BootError::KeyLost(file));
    }
    make_data_dir(&settings.store.data_dir)?;
    let keys = TemplateKeys::read_or_create(&file, clock.secret())?;
    Ok(Vault::new(&keys.sealing, &keys.older))
}

/// Returns the vault with the existing keys; `None` if there is no key yet.
///
/// # Errors
/// When the key file cannot be used.
pub fn present_vault(settings: &Settings) -> Result<Option<Vault>, BootError> {
    Ok(present_keys(settings)?.as_ref().map(vault_with))
}

/// Returns a vault with these keys.
pub fn vault_with(keys: &TemplateKeys) -> Vault {
    Vault::new(&keys.sealing, &keys.older)
}

/// Returns the existing keys: those of the settings, else those of the key file.
///
/// # Errors
/// When the key file cannot be used.
pub fn present_keys(settings: &Settings) -> Result<Option<TemplateKeys>, KeyFileError> {
    match &settings.privacy.template_key {
        Some(keys) => Ok(Some(keys.clone())),
        None => TemplateKeys::read(&key_file(settings)),
    }
}

/// Creates a key and writes it before the others into the key file, so that it seals from now on.
///
/// # Errors
/// When the file cannot be written.
pub fn add_key(settings: &Settings, keys: &TemplateKeys) -> Result<(), KeyFileError> {
    let new = Zeroizing::new(SystemClock.secret());
    keys.preceded_by(new).replace(&key_file(settings))
}

/// Counts the faces in the store, and those that the existing keys can open.
///
/// # Errors
/// When the store does not respond, or the key file cannot be used.
pub async fn census(settings: &Settings) -> Result<Census, BootError> {
    let vault = present_vault(settings)?;
    let stores = stores::open(settings).await?.stores;
    let census = sealed_faces::census(&stores, vault.as_ref()).await;
    stores.engine.close().await;
    Ok(census?)
}

/// Deletes all enrolled faces, even if no key opens them; returns the number of people. The service
/// must not be running.
///
/// # Errors
/// When the store does not respond.
pub async fn delete_faces(settings: &Settings) -> Result<usize, BootError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stores = stores::open(settings).await?.stores;
    let audit = Audit::new(stores.audit.clone(), clock.clone());
    let deleted = sealed_faces::delete_all(&stores, &audit, &*clock).await;
    stores.engine.close().await;
    Ok(deleted?)
}
