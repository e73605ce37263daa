//! Faces in images, their quality, and verdicts on photos.

use serde::Serialize;
use utoipa::ToSchema;

use super::{employees::ConsentView, number, time};
use crate::{
    domain::{faces::Template, quality::Quality},
    ports::FaceBox,
    service::{
        cameras::OverlayFace,
        employees::Enrolled,
        enrollment::{PhotoFlaw, PhotoVerdict},
    },
};

/// The box of a face in the upright image, pixels.
#[derive(Serialize, ToSchema)]
#[schema(title = "Box")]
pub struct BoxView {
    /// The left edge.
    x: f64,
    /// The upper edge.
    y: f64,
    /// The width.
    width: f64,
    /// The height.
    height: f64,
}

impl From<FaceBox> for BoxView {
    fn from(bounds: FaceBox) -> Self {
        Self {
            x: number(bounds.x),
            y: number(bounds.y),
            width: number(bounds.width),
            height: number(bounds.height),
        }
    }
}

impl From<&OverlayFace> for BoxView {
    fn from(face: &OverlayFace) -> Self {
        Self {
            x: number(face.x),
            y: number(face.y),
            width: number(face.width),
            height: number(face.height),
        }
    }
}

/// Measurements of a face.
#[derive(Serialize, ToSchema)]
#[schema(title = "Quality")]
pub struct QualityView {
    /// Width of the face, pixels.
    #[schema(example = 212.0)]
    width: f64,
    /// Turn to the side, degrees.
    yaw: f64,
    /// Nod, degrees.
    pitch: f64,
    /// Tilt, degrees.
    roll: f64,
    /// Variance of the Laplacian; a low value means blurred.
    sharpness: f64,
    /// Mean luma, 0 to 255.
    brightness: f64,
    /// Standard deviation of luma.
    contrast: f64,
    /// Share of the face inside the image, 0 to 1.
    inside: f64,
    /// Score of the detector, 0 to 1.
    score: f64,
}

impl From<Quality> for QualityView {
    fn from(quality: Quality) -> Self {
        let Quality {
            width,
            yaw,
            pitch,
            roll,
            sharpness,
            brightness,
            contrast,
            inside,
            score,
        } = quality;
        Self {
            width: number(width),
            yaw: number(yaw),
            pitch: number(pitch),
            roll: number(roll),
            sharpness: number(sharpness),
            brightness: number(brightness),
            contrast: number(contrast),
            inside: number(inside),
            score: number(score),
        }
    }
}

/// The verdict on one photo.
#[derive(Serialize, ToSchema)]
#[schema(title = "PhotoVerdict")]
pub struct PhotoView {
    /// The position in the request, from 0.
    index: usize,
    /// Whether the photo became a template.
    accepted: bool,
    /// The code of the reason for the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "too_small")]
    reason: Option<&'static str>,
    /// Why the photo was refused, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "too small: 38 px, needs 80: come closer")]
    detail: Option<String>,
    /// The measurements of the face.
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<QualityView>,
}

/// Returns the verdicts as the API returns them.
pub fn photo_views(photos: &[PhotoVerdict]) -> Vec<PhotoView> {
    let view = |photo: &PhotoVerdict| PhotoView {
        index: photo.index,
        accepted: photo.flaw.is_none(),
        reason: photo.flaw.as_ref().map(PhotoFlaw::reason),
        detail: photo.flaw.as_ref().map(PhotoFlaw::detail),
        quality: photo.quality.map(Into::into),
    };
    photos.iter().map(view).collect()
}

/// A template.
#[derive(Serialize, ToSchema)]
#[schema(title = "Template")]
pub struct TemplateView {
    /// The ID.
    #[schema(format = "uuid")]
    id: String,
    /// The embedding model that made it.
    model: String,
    /// Whether it was made from a punch, not from an enrollment photo.
    grown: bool,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// The measurements of the photo.
    quality: QualityView,
}

/// The enrolled face of an employee.
#[derive(Serialize, ToSchema)]
#[schema(title = "Templates")]
pub struct TemplatesView {
    /// The templates, oldest first.
    items: Vec<TemplateView>,
    /// The number of stored photos.
    photos: u64,
    /// The consent.
    consent: Option<ConsentView>,
}

impl From<&Enrolled> for TemplatesView {
    fn from(enrolled: &Enrolled) -> Self {
        let view = |template: &Template| TemplateView {
            id: template.id.to_string(),
            model: template.model.to_string(),
            grown: template.grown,
            created_at: time(template.created_at),
            quality: template.quality.into(),
        };
        let enrollment = enrolled.person.enrollment.as_ref();
        let templates = enrollment.map_or(&[][..], |enrollment| enrollment.templates());
        Self {
            items: templates.iter().map(view).collect(),
            photos: enrolled.photos,
            consent: enrolled.person.consent().map(Into::into),
        }
    }
}
