//! The rules of sites.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        attendance::{
            Rules,
            presets::{Preset, describe},
        },
        ids::SiteId,
    },
    http::{
        auth::{Allowed, Correcting, Surveying},
        extract::{Json, Path},
        page::List,
        problem::Problem,
        views::{
            plans::{EditableRules, SiteRulesView},
            read_date,
        },
    },
    ports::StoreError,
    service::site_rules::{RulesError, RulesService},
};

impl From<RulesError> for Problem {
    fn from(error: RulesError) -> Self {
        match error {
            RulesError::NoSite => Self::not_found("site"),
            RulesError::NotFound => Self::not_found("set of rules"),
            RulesError::Raced => StoreError::Conflict.into(),
            RulesError::Store(error) => error.into(),
        }
    }
}

/// What a rule does.
#[derive(Serialize, ToSchema)]
pub struct RuleText {
    /// The name of the rule.
    #[schema(example = "grace_late")]
    rule: &'static str,
    /// What it does, in English.
    text: String,
}

/// Rules to start from.
#[derive(Serialize, ToSchema)]
#[schema(title = "RulePreset")]
pub struct PresetView {
    /// The name: `default`, `germany`, `eu`, `usa` or `california`.
    #[schema(example = "germany")]
    name: &'static str,
    /// The rules.
    #[schema(value_type = Object)]
    rules: Rules,
    /// What each of them does.
    texts: Vec<RuleText>,
}

impl From<Preset> for PresetView {
    fn from(preset: Preset) -> Self {
        let rules = preset.rules();
        let texts = describe(&rules).into_iter();
        Self {
            name: preset.as_str(),
            texts: texts.map(|(rule, text)| RuleText { rule, text }).collect(),
            rules,
        }
    }
}

/// Lists rules to start from. They are not legal advice.
#[utoipa::path(
    get, path = "/api/rule-presets", tag = "plans",
    responses((status = 200, description = "All presets", body = List<PresetView>)),
)]
pub async fn list_presets(_: Allowed<Surveying>) -> axum::Json<List<PresetView>> {
    let items = Preset::ALL.map(PresetView::from).into();
    axum::Json(List { items, next: None })
}

/// Lists the rules of a site by date. Before the first of them, the defaults hold.
#[utoipa::path(
    get, path = "/api/sites/{id}/rules", tag = "plans",
    params(("id" = String, Path, description = "The site")),
    responses((status = 200, description = "All rules of the site", body = List<SiteRulesView>)),
)]
pub async fn list_rules(
    allowed: Allowed<Surveying>,
    State(rules): State<Arc<RulesService>>,
    Path(site): Path<SiteId>,
) -> Result<axum::Json<List<SiteRulesView>>, Problem> {
    let found = rules.list(allowed.reach(), site).await?;
    let items = found.into_iter().map(Into::into).collect();
    Ok(axum::Json(List { items, next: None }))
}

/// Sets the rules of a site from a date on, until others hold. Days before the date never change.
#[utoipa::path(
    put, path = "/api/sites/{id}/rules/{date}", tag = "plans",
    params(
        ("id" = String, Path, description = "The site"),
        ("date" = String, Path, description = "The first workday", format = Date),
    ),
    request_body = EditableRules,
    responses(
        (status = 200, description = "Replaced", body = SiteRulesView),
        (status = 201, description = "Added", body = SiteRulesView),
        (status = 409, description = "`conflict` if other requests keep changing them at the same time"),
    ),
)]
pub async fn put_rules(
    allowed: Allowed<Correcting>,
    State(rules): State<Arc<RulesService>>,
    Path((site, date)): Path<(SiteId, String)>,
    Json(new): Json<EditableRules>,
) -> Result<(StatusCode, axum::Json<SiteRulesView>), Problem> {
    let date = read_date(&date).map_err(|error| Problem::field("date", error))?;
    let (reach, actor) = (allowed.reach(), allowed.actor());
    let (rules, added) = rules.put(reach, actor, (site, date), new.read()?).await?;
    let status = match added {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, axum::Json(rules.into())))
}

/// Removes the rules of a site that begin on a date. Those before them hold instead.
#[utoipa::path(
    delete, path = "/api/sites/{id}/rules/{date}", tag = "plans",
    params(
        ("id" = String, Path, description = "The site"),
        ("date" = String, Path, description = "The first workday", format = Date),
    ),
    responses((status = 204, description = "Removed")),
)]
pub async fn delete_rules(
    allowed: Allowed<Correcting>,
    State(rules): State<Arc<RulesService>>,
    Path((site, date)): Path<(SiteId, String)>,
) -> Result<StatusCode, Problem> {
    let date = read_date(&date).map_err(|error| Problem::field("date", error))?;
    let (reach, actor) = (allowed.reach(), allowed.actor());
    rules.remove(reach, actor, (site, date)).await?;
    Ok(StatusCode::NO_CONTENT)
}
