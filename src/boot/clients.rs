//! The clients of other services, from the settings: the identity provider, go2rtc, the mail server,
//! the broker of MQTT and webhooks.

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::{BootError, Records};
use crate::{
    cameras::{Access, Go2rtc},
    config::Settings,
    http_client::Trust,
    identity::{OpenIdProvider, ProviderSettings},
    ports::{Broker, MailSending, Streams},
    senders::{Allowed, MailSender, MqttBroker, WebhookSender},
    service::single_sign_on::SignOnProvider,
};

/// Returns the identity provider of the settings, without contacting it.
pub(super) fn sign_on(settings: &Settings) -> Result<Option<SignOnProvider>, BootError> {
    let trust = trust(settings)?;
    let settings = &settings.sign_on;
    let (Some(issuer), Some(client_id)) = (&settings.issuer, &settings.client_id) else {
        return Ok(None);
    };
    let provider = ProviderSettings {
        issuer: issuer.clone(),
        client_id: client_id.clone(),
        client_secret: settings.client_secret.clone(),
        groups_claim: settings.groups_claim.clone(),
    };
    let provider = OpenIdProvider::new(provider, &trust)?;
    Ok(Some(SignOnProvider {
        provider: Arc::new(provider),
        name: settings.name.clone(),
        roles: settings.roles.clone(),
    }))
}

/// Creates the client of go2rtc, without connecting.
///
/// # Errors
/// When the URL is invalid.
pub fn streams(settings: &Settings) -> Result<Arc<dyn Streams>, BootError> {
    let cameras = &settings.cameras;
    let access = Access {
        url: cameras.url.clone(),
        user: cameras.user.clone().zip(cameras.password.clone()),
    };
    Ok(Arc::new(Go2rtc::new(access)?))
}

/// The name of the fact with the name under which instances connect to the broker of MQTT.
const MQTT_CLIENT: &str = "mqtt.client";

/// Creates the client of the broker of MQTT, without connecting; `None` without a broker.
///
/// # Errors
/// When its URL is invalid, or the store fails.
pub(super) async fn broker(
    settings: &Settings,
    records: &Records,
) -> Result<Option<Arc<dyn Broker>>, BootError> {
    let Some(url) = &settings.messages.mqtt_url else {
        return Ok(None);
    };
    // All instances have one name, so that the broker ends the connection of the last one, with its
    // will, before it accepts the next.
    let facts = &records.stores.facts;
    let id = match facts.get(MQTT_CLIENT).await? {
        Some(id) => id,
        None => {
            let id = format!("rollcall-{}", records.clock.id().simple());
            facts.set(MQTT_CLIENT, &id).await?;
            id
        }
    };
    let broker = MqttBroker::new(url.expose_secret(), &id, &trust(settings)?);
    let broker = broker.map_err(BootError::Mail)?;
    Ok(Some(Arc::new(broker)))
}

/// Creates the client of the mail server, without connecting; `None` without a mail server.
///
/// # Errors
/// When its settings are invalid.
pub fn mail_sender(settings: &Settings) -> Result<Option<Arc<dyn MailSending>>, BootError> {
    let messages = &settings.messages;
    let Some((url, from)) = messages.smtp_url.as_ref().zip(messages.mail_from.as_ref()) else {
        return Ok(None);
    };
    let sender = MailSender::new(url.expose_secret(), from, &trust(settings)?);
    let sender = sender.map_err(BootError::Mail)?;
    Ok(Some(Arc::new(sender)))
}

/// Creates the client that sends messages to webhooks.
pub(super) fn webhook_sender(settings: &Settings) -> Result<WebhookSender, BootError> {
    let allow = settings.messages.webhook_allow.clone();
    let allowed = Allowed {
        networks: allow.networks,
        hosts: allow.hosts,
    };
    WebhookSender::new(allowed, &trust(settings)?).map_err(BootError::Webhooks)
}

/// Returns the authorities whose certificates clients accept.
pub(super) fn trust(settings: &Settings) -> Result<Trust, BootError> {
    let Some(path) = &settings.server.extra_ca else {
        return Ok(Trust::default());
    };
    Trust::with_file(path).map_err(|cause| BootError::ExtraCa {
        path: path.clone(),
        cause,
    })
}
