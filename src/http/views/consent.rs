//! The consent to the enrollment of a face, as people give it themselves.

use serde::Serialize;
use utoipa::ToSchema;

use super::faces::photo_views;
use crate::{
    domain::employees::{CONSENT_TEXT, CONSENT_VERSION},
    http::{
        field_error::FieldError,
        problem::{Code, Problem},
        upload::Upload,
    },
    service::enrollment::PhotoVerdict,
};

/// The text that people consent to before their faces are enrolled.
#[derive(Serialize, ToSchema)]
#[schema(title = "ConsentText")]
pub struct ConsentTextView {
    /// The version of the text, stored with each consent.
    #[schema(example = "2026-11.5")]
    pub version: String,
    /// The text, to be shown before a face is enrolled.
    pub text: String,
}

impl ConsentTextView {
    /// Returns the current text.
    pub fn current() -> Self {
        Self {
            version: CONSENT_VERSION.to_owned(),
            text: CONSENT_TEXT.to_owned(),
        }
    }
}

/// Returns the problem of a person whose face is enrolled for another one. It does not say for whom.
pub fn alike(photos: &[PhotoVerdict]) -> Problem {
    Problem::new(
        Code::DuplicatePerson,
        "this face is enrolled for another person: ask your manager",
    )
    .with("photos", photo_views(photos))
}

/// Checks that a person who enrolls their own face agreed to the present text.
pub fn check_consent(upload: &Upload) -> Result<(), Problem> {
    match upload.text("consent") {
        Some(CONSENT_VERSION) => Ok(()),
        None | Some("") => Err(Problem::new(
            Code::ConsentRequired,
            "consent is required: send the version of the text that the person agreed to",
        )),
        Some(_) => {
            let values = vec![CONSENT_VERSION];
            Err(Problem::field("consent", FieldError::NotOneOf { values }))
        }
    }
}
