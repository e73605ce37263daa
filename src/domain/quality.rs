//! Quality rules for photos of faces, and advice for the person if a photo is not good enough.

use serde::{Deserialize, Serialize};

/// The measured quality of one face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Width of the face box, in pixels of the upright image.
    pub width: f32,
    /// Turn to the side, in degrees, estimated from the five points; positive to image right.
    pub yaw: f32,
    /// Nod, in degrees, estimated from the five points; positive is down.
    pub pitch: f32,
    /// Tilt in the image plane, in degrees.
    pub roll: f32,
    /// Variance of the Laplacian of the aligned chip's luma (0..255); low means blurred.
    pub sharpness: f32,
    /// Mean luma of the chip, 0..255.
    pub brightness: f32,
    /// Standard deviation of the chip's luma, 0..255.
    pub contrast: f32,
    /// Share of the face box that lies inside the image, 0..1.
    pub inside: f32,
    /// The detector's score, 0..1.
    pub score: f32,
}

/// The limits of a usable photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QualityLimits {
    /// Minimum width of the face, in pixels.
    pub width: f32,
    /// Maximum turn to the side, in degrees.
    pub yaw: f32,
    /// Maximum nod, in degrees.
    pub pitch: f32,
    /// Maximum tilt, in degrees.
    pub roll: f32,
    /// Minimum variance of the Laplacian.
    pub sharpness: f32,
    /// Minimum and maximum mean luma.
    pub brightness: (f32, f32),
    /// Minimum standard deviation of luma.
    pub contrast: f32,
    /// Minimum share of the face box inside the image.
    pub inside: f32,
}

impl QualityLimits {
    /// The limits for templates, which are strict, because templates are used for years.
    pub const ENROLLMENT: Self = Self {
        width: 80.0,
        yaw: 40.0,
        pitch: 35.0,
        roll: 35.0,
        sharpness: 15.0,
        brightness: (35.0, 225.0),
        contrast: 12.0,
        inside: 0.9,
    };
    /// The limits for probes, which only ensure a meaningful embedding.
    pub const PROBE: Self = Self {
        width: 48.0,
        yaw: 60.0,
        pitch: 50.0,
        roll: 50.0,
        sharpness: 5.0,
        brightness: (20.0, 240.0),
        contrast: 6.0,
        inside: 0.75,
    };
}

/// The reason why a photo cannot be used. [`detail`](Self::detail) explains it to a person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Flaw {
    /// It shows no face.
    NoFace,
    /// It shows more than one face.
    SeveralFaces {
        /// Number of faces.
        faces: usize,
    },
    /// The face is too small.
    TooSmall {
        /// Width of the face, in pixels.
        width: u32,
        /// Required width, in pixels.
        needs: u32,
    },
    /// The face is partly outside the picture.
    CutOff,
    /// The person does not look at the camera.
    TurnedAway,
    /// The head is tilted.
    Tilted,
    /// The face is out of focus or moving.
    Blurred,
    /// There is not enough light.
    TooDark,
    /// There is too much light.
    TooBright,
    /// There is hardly any contrast, because of fog, glare or a dirty lens.
    Flat,
    /// The liveness model classified it as a picture of a picture.
    Attack,
    /// It shows another person than the other photos.
    OtherPerson,
}

impl Flaw {
    /// Returns the reason's name in the API.
    pub fn reason(self) -> &'static str {
        match self {
            Flaw::NoFace => "no_face",
            Flaw::SeveralFaces { .. } => "several_faces",
            Flaw::TooSmall { .. } => "too_small",
            Flaw::CutOff => "cut_off",
            Flaw::TurnedAway => "turned_away",
            Flaw::Tilted => "tilted",
            Flaw::Blurred => "blurred",
            Flaw::TooDark => "too_dark",
            Flaw::TooBright => "too_bright",
            Flaw::Flat => "flat",
            Flaw::Attack => "attack",
            Flaw::OtherPerson => "other_person",
        }
    }

    /// Explains the flaw and what to do about it, for the person in front of the camera.
    pub fn detail(self) -> String {
        match self {
            Flaw::NoFace => "no face found: look into the camera from the front".into(),
            Flaw::SeveralFaces { faces } => {
                let count = if faces == 2 {
                    "two".to_owned()
                } else {
                    faces.to_string()
                };
                format!("{count} faces: only one person may be in the picture")
            }
            Flaw::TooSmall { width, needs } => {
                format!("too small: {width} px, needs {needs}: come closer")
            }
            Flaw::CutOff => "cut off at the edge: keep the whole face in the picture".into(),
            Flaw::TurnedAway => "turned away: look into the camera".into(),
            Flaw::Tilted => "tilted: hold the head upright".into(),
            Flaw::Blurred => "blurred: hold still, or clean the lens".into(),
            Flaw::TooDark => "too dark: turn on a light or face the window".into(),
            Flaw::TooBright => "too bright: move out of the direct light".into(),
            Flaw::Flat => "hardly any contrast: clean the lens or avoid glare".into(),
            Flaw::Attack => "looks like a picture of a picture: a live person is needed".into(),
            Flaw::OtherPerson => "shows another person than the other photos".into(),
        }
    }
}

impl Quality {
    /// Returns a number by which frames of one moment are ranked; higher is better. Combines how
    /// much of the face is visible, how straight and how sharp it is. Not comparable across
    /// cameras.
    pub fn rank(&self) -> f32 {
        let turned = (self.yaw.abs() + self.pitch.abs()) / 90.0;
        self.score * self.inside * (1.0 - turned.min(0.9)) * self.sharpness.max(1.0).ln_1p()
    }

    /// Returns the flaw that is easiest to fix, if there is any.
    pub fn flaw(&self, limits: &QualityLimits) -> Option<Flaw> {
        let checks = [
            (
                self.width < limits.width,
                // Floor and ceiling, so that 79.6 is not shown as "80 px, needs 80".
                Flaw::TooSmall {
                    width: self.width as u32,
                    needs: limits.width.ceil() as u32,
                },
            ),
            (self.inside < limits.inside, Flaw::CutOff),
            (
                self.yaw.abs() > limits.yaw || self.pitch.abs() > limits.pitch,
                Flaw::TurnedAway,
            ),
            (self.roll.abs() > limits.roll, Flaw::Tilted),
            (self.brightness < limits.brightness.0, Flaw::TooDark),
            (self.brightness > limits.brightness.1, Flaw::TooBright),
            (self.contrast < limits.contrast, Flaw::Flat),
            (self.sharpness < limits.sharpness, Flaw::Blurred),
        ];
        checks
            .into_iter()
            .find_map(|(wrong, flaw)| wrong.then_some(flaw))
    }
}
