//! What makes a photo of a face good enough, and what to tell the person when it is not.

use serde::{Deserialize, Serialize};

/// What was measured on one face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Width of the face box, pixels of the upright image.
    pub width: f32,
    /// Turn to the side, degrees, estimated from the five points; positive towards image right.
    pub yaw: f32,
    /// Nod, degrees, estimated from the five points; positive is down.
    pub pitch: f32,
    /// Tilt in the image plane, degrees.
    pub roll: f32,
    /// Variance of the Laplacian over the aligned chip's luma (0..255 scale); low is blurred.
    pub sharpness: f32,
    /// Mean luma of the chip, 0..255.
    pub brightness: f32,
    /// Standard deviation of the chip's luma, 0..255.
    pub contrast: f32,
    /// Share of the face box that lies inside the image, 0..1.
    pub inside: f32,
    /// Score of the detector, 0..1.
    pub score: f32,
}

/// What a photo must have to be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QualityLimits {
    /// Least width of a face, pixels.
    pub width: f32,
    /// Most turn to the side, degrees.
    pub yaw: f32,
    /// Most nod, degrees.
    pub pitch: f32,
    /// Most tilt, degrees.
    pub roll: f32,
    /// Least variance of the Laplacian.
    pub sharpness: f32,
    /// Least and most mean luma.
    pub brightness: (f32, f32),
    /// Least standard deviation of luma.
    pub contrast: f32,
    /// Least share of the face inside the image.
    pub inside: f32,
}

impl QualityLimits {
    /// For templates: they are compared with for years, so they had better be good.
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
    /// For probes: good enough for the embedding to mean something.
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

/// Why a photo cannot be used. [`detail`](Self::detail) says it to a person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Flaw {
    /// Nobody in it.
    NoFace,
    /// More than one person in it.
    SeveralFaces {
        /// How many.
        faces: usize,
    },
    /// Too far away.
    TooSmall {
        /// Width of the face, pixels.
        width: u32,
        /// What is needed.
        needs: u32,
    },
    /// Partly outside the picture.
    CutOff,
    /// Not looking at the camera.
    TurnedAway,
    /// Head tilted.
    Tilted,
    /// Out of focus or moving.
    Blurred,
    /// Not enough light.
    TooDark,
    /// Too much light.
    TooBright,
    /// Hardly any contrast: fog, glare, a dirty lens.
    Flat,
    /// The liveness model takes it for a picture of a picture.
    Attack,
    /// Not of the person whom the other photos show.
    OtherPerson,
}

impl Flaw {
    /// The word in the API.
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

    /// What to do about it, in words for the person in front of the camera.
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
    /// A number by which frames of one moment are ordered, better first: how much of the face
    /// there is to see, how straight and how sharp. Means nothing across cameras.
    pub fn rank(&self) -> f32 {
        let turned = (self.yaw.abs() + self.pitch.abs()) / 90.0;
        self.score * self.inside * (1.0 - turned.min(0.9)) * self.sharpness.max(1.0).ln_1p()
    }

    /// The first thing that is wrong, the one easiest to act on first; `None` when all is well.
    pub fn flaw(&self, limits: &QualityLimits) -> Option<Flaw> {
        let checks = [
            (
                self.width < limits.width,
                // Floor and ceiling, so that "79.6 px, needs 80" never reads "80 px, needs 80".
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
