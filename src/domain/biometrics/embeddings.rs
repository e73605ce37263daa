//! Embeddings of faces, alone and fused, and their similarity.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::ids::EmployeeId;

/// The name of an embedding space. Only templates and probes of the same space can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(String);

impl ModelId {
    /// Wraps the name of a model pack's embedder.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A unit vector that represents a face. `Debug` shows its size only; dropping it clears its memory.
#[derive(Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Normalizes a vector to length 1; `None` if it is empty, not finite or has no direction.
    pub fn normalize(mut values: Vec<f32>) -> Option<Self> {
        let length = length(&values);
        if !length.is_finite() || length < 1e-6 {
            return None;
        }
        values.iter_mut().for_each(|value| *value /= length);
        Some(Self(values.into()))
    }

    /// Returns the components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Returns the cosine of the angle to another embedding; `None` if the sizes differ.
    pub fn similarity(&self, other: &Self) -> Option<Similarity> {
        (self.0.len() == other.0.len())
            .then(|| self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum::<f32>())
            .and_then(|cosine| Similarity::new(cosine.clamp(-1.0, 1.0)))
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({} values)", self.0.len())
    }
}

impl Drop for Embedding {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.0);
    }
}

/// Computes the Euclidean length. Sums in f64, so that the order hardly matters.
pub(super) fn length(values: &[f32]) -> f32 {
    values
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum::<f64>()
        .sqrt() as f32
}

/// R, the length of the mean of unit embeddings before it is normalized. It is 1 for identical
/// photos, and lower for more different ones.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Resultant(f32);

impl Resultant {
    /// The R of a single photo.
    pub const ONE: Self = Self(1.0);

    /// Wraps a length; `None` outside (0, 1]. A rounding error above 1 counts as 1.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && value > 0.0 && value <= 1.0 + 1e-4).then(|| Self(value.min(1.0)))
    }

    /// Returns the spread of the photos, 1 − R.
    pub fn spread(self) -> f32 {
        1.0 - self.0
    }

    /// Returns R.
    pub fn value(self) -> f32 {
        self.0
    }
}

/// Several embeddings of one person, fused: their normalized mean and its R.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The normalized mean.
    pub embedding: Embedding,
    /// The length of the mean before it was normalized.
    pub resultant: Resultant,
}

impl Fused {
    /// Fuses embeddings of equal size; `None` if there are none, if the sizes differ, or if they
    /// cancel out.
    pub fn from_embeddings(embeddings: &[Embedding]) -> Option<Self> {
        let size = embeddings.first()?.0.len();
        let mut mean = vec![0f32; size];
        for embedding in embeddings {
            if embedding.0.len() != size {
                return None;
            }
            mean.iter_mut()
                .zip(&embedding.0)
                .for_each(|(sum, value)| *sum += value);
        }
        let count = embeddings.len() as f32;
        mean.iter_mut().for_each(|value| *value /= count);
        let resultant = if embeddings.len() == 1 {
            Resultant::ONE
        } else {
            Resultant::new(length(&mean))?
        };
        Some(Self {
            embedding: Embedding::normalize(mean)?,
            resultant,
        })
    }
}

/// The views of a photo from which its embedding is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// The face alone, for a quick look. Its thresholds are those of [`Views::Pair`]: the false match
    /// rate is the same (measured, docs/MODELS.md), only more people are not recognized.
    One,
    /// The face and its mirror image, for probes, and for enrollment with some models.
    Pair,
    /// Seven slightly different crops, each with its mirror image, for enrollment with the others.
    All,
}

/// The reference of an enrolled person: the fused templates of all accepted photos.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The mean of the templates and its R.
    pub fused: Fused,
    /// The views of each template.
    pub views: Views,
    /// The people for whom the face was also taken when it was enrolled; see [`identify`](super::identify).
    pub look_alikes: Vec<EmployeeId>,
}

/// An embedding made now, for comparison with references.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The mean of the frames and its R.
    pub fused: Fused,
    /// The views of each frame.
    pub views: Views,
}

/// The cosine of the angle between two embeddings, −1 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32")]
pub struct Similarity(f32);

impl TryFrom<f32> for Similarity {
    type Error = &'static str;

    fn try_from(value: f32) -> Result<Self, Self::Error> {
        Self::new(value).ok_or("a cosine is between -1 and 1")
    }
}

impl Similarity {
    /// Wraps a cosine; `None` outside −1 to 1.
    pub fn new(value: f32) -> Option<Self> {
        (value.is_finite() && (-1.0..=1.0).contains(&value)).then_some(Self(value))
    }

    /// Returns the cosine.
    pub fn value(self) -> f32 {
        self.0
    }
}
