//! Templates that grow: decides whether the face of a clear punch becomes a template.
//!
//! Faces change, and enrollment photos show a person in one light only. A template from a punch
//! helps if it is certainly of the person and differs from the present ones. The rule prevents a
//! look-alike from taking over an enrollment:
//!
//! - Only the enrolled templates decide whether the face is certain enough. A template from a punch
//!   never vouches for another one, so the templates cannot drift away step by step.
//! - Enrolled templates are never replaced, and never outnumbered.

use super::biometrics::{Embedding, ErrorRate, Fused};

/// Maximum number of templates from punches of one person.
pub const GROWN_MOST: usize = 3;

/// Factor by which the false match rate of a certain face is lower than that of a punch.
pub const CERTAINTY: f64 = 1000.0;

/// Minimum factor by which the spread of all templates must increase. Frames that look like the
/// present templates add nothing.
const LEAST_GAIN: f32 = 1.05;

/// Returns the false match rate at which the face of a punch is certain.
pub fn certain(fmr: ErrorRate) -> ErrorRate {
    fmr.times(1.0 / CERTAINTY)
}

/// What happens with the face of a punch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// It becomes a template.
    Add,
    /// It replaces the template from a punch with this index.
    Replace(usize),
    /// It would add nothing.
    Ignore,
}

/// Decides about a face that is certainly the person's, by the templates of one model.
pub fn grow(enrolled: &[Embedding], grown: &[Embedding], candidate: &Embedding) -> Growth {
    let spread = |without: Option<usize>, with: Option<&Embedding>| {
        let grown = grown.iter().enumerate();
        let grown = grown.filter(|(index, _)| Some(*index) != without);
        let all: Vec<Embedding> = enrolled
            .iter()
            .chain(grown.map(|(_, one)| one))
            .chain(with)
            .cloned()
            .collect();
        Fused::from_embeddings(&all).map_or(0.0, |fused| fused.resultant.spread())
    };
    let present = spread(None, None);
    let gains = |new: f32| new > present * LEAST_GAIN;
    if grown.len() < GROWN_MOST.min(enrolled.len()) {
        return match gains(spread(None, Some(candidate))) {
            true => Growth::Add,
            false => Growth::Ignore,
        };
    }
    let replaced = (0..grown.len()).map(|index| (index, spread(Some(index), Some(candidate))));
    match replaced.max_by(|a, b| a.1.total_cmp(&b.1)) {
        Some((index, new)) if gains(new) => Growth::Replace(index),
        _ => Growth::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A face at an angle from the person's own direction, in one of many planes.
    fn face(angle: f32, plane: usize) -> Embedding {
        let mut values = vec![0.0; 8];
        (values[0], values[1 + plane % 7]) = (angle.cos(), angle.sin());
        Embedding::normalize(values).unwrap()
    }

    #[test]
    fn a_different_face_is_added_and_a_similar_one_is_ignored() {
        let enrolled = [face(0.1, 0), face(0.1, 1)];
        assert_eq!(grow(&enrolled, &[], &face(0.5, 2)), Growth::Add);
        assert_eq!(grow(&enrolled, &[], &face(0.0, 0)), Growth::Ignore);
    }

    #[test]
    fn the_least_useful_template_from_a_punch_is_replaced() {
        let enrolled = [face(0.1, 0), face(0.1, 1), face(0.1, 2)];
        let grown = [face(0.6, 3), face(0.05, 4), face(0.6, 5)];
        assert_eq!(grow(&enrolled, &grown, &face(0.6, 6)), Growth::Replace(1));
        assert_eq!(grow(&enrolled, &grown, &face(0.0, 6)), Growth::Ignore);
    }

    #[test]
    fn templates_from_punches_never_outnumber_the_enrolled_ones() {
        let enrolled = [face(0.1, 0)];
        assert_eq!(grow(&enrolled, &[], &face(0.5, 1)), Growth::Add);
        let grown = [face(0.2, 1)];
        assert_eq!(grow(&enrolled, &grown, &face(0.5, 2)), Growth::Replace(0));
        assert_eq!(grow(&[], &[], &face(0.5, 2)), Growth::Ignore);
    }

    proptest! {
        #[test]
        fn the_reference_never_leaves_the_enrolled_face(
            offered in prop::collection::vec((0f32..0.7, 0usize..7), 1..200),
        ) {
            let enrolled = [face(0.1, 0), face(0.1, 1), face(0.1, 2)];
            let mut grown: Vec<Embedding> = Vec::new();
            for (angle, plane) in offered {
                let candidate = face(angle, plane);
                match grow(&enrolled, &grown, &candidate) {
                    Growth::Add => grown.push(candidate),
                    Growth::Replace(index) => grown[index] = candidate,
                    Growth::Ignore => {}
                }
                prop_assert!(grown.len() <= GROWN_MOST);
                let all: Vec<_> = enrolled.iter().chain(&grown).cloned().collect();
                let reference = Fused::from_embeddings(&all).unwrap().embedding;
                let original = Fused::from_embeddings(&enrolled).unwrap().embedding;
                // Half of the templates are the enrolled ones, so the reference is at most half of
                // the largest angle away.
                let kept = reference.similarity(&original).unwrap().value();
                prop_assert!(kept >= 0.39f32.cos(), "{kept}");
            }
        }
    }
}
