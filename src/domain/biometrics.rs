//! Biometric values and the rule for the match threshold.
//!
//! Fusing photos also raises the similarity to other people, by an amount that depends on how
//! different the fused photos are. The measure for that is R, the length of the mean of the unit
//! embeddings before it is normalized ([`Resultant`]). Templates and probes store their R, and
//!
//! ```text
//! threshold(FMR) = t0(FMR) + s(FMR) · ((1 − R_template) + (1 − R_probe))
//! ```
//!
//! with t0 and s from the model pack's calibration, interpolated over log FMR. docs/MODELS.md
//! explains how the rule was fitted and how to calibrate a pack.

mod calibration;
mod embeddings;
mod identification;

pub use calibration::{
    Calibration, CalibrationError, CalibrationTable, ErrorRate, OperatingPoint, Threshold,
};
pub use embeddings::{Embedding, Fused, ModelId, Probe, Reference, Resultant, Similarity, Views};
pub use identification::{
    Candidate, Identification, Look, Match, NobodyReason, Policy, identify, look_alike_margin,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{embeddings::length, *};
    use crate::domain::ids::EmployeeId;

    const FMR: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
    const T0: [f64; 5] = [0.9116, 0.9296, 0.9432, 0.9543, 0.9635];
    const S: [f64; 5] = [0.67, 0.61, 0.59, 0.54, 0.54];

    fn calibration() -> Calibration {
        Calibration::try_from(CalibrationTable {
            fmr: FMR.to_vec(),
            t0: T0.to_vec(),
            s: S.to_vec(),
            enroll_views_shift: vec![0.0023, 0.0018, 0.0013, 0.0007, 0.0007],
            probe_views_shift: vec![0.0046, 0.0038, 0.0027, 0.0018, 0.0018],
            prior_offset: 0.0,
            source: String::new(),
        })
        .unwrap()
    }

    fn rate(value: f64) -> ErrorRate {
        ErrorRate::new(value).unwrap()
    }

    fn r(value: f32) -> Resultant {
        Resultant::new(value).unwrap()
    }

    fn single(fmr: f64) -> f32 {
        calibration()
            .at(rate(fmr), Views::Pair, Views::Pair)
            .threshold(Resultant::ONE, Resultant::ONE)
            .value()
    }

    #[test]
    fn the_rates_of_the_table_give_its_values() {
        for ((fmr, t0), s) in FMR.into_iter().zip(T0).zip(S) {
            assert!((f64::from(single(fmr)) - t0).abs() < 1e-6);
            let point = calibration().at(rate(fmr), Views::Pair, Views::Pair);
            assert!((f64::from(point.slope()) - s).abs() < 1e-6);
        }
    }

    #[test]
    fn views_shift_the_threshold_by_the_table() {
        let at = |template, probe| {
            calibration()
                .at(rate(1e-3), template, probe)
                .threshold(Resultant::ONE, Resultant::ONE)
                .value()
        };
        let pair = at(Views::Pair, Views::Pair);
        assert!((at(Views::All, Views::Pair) - pair - 0.0018).abs() < 1e-5);
        assert_eq!(at(Views::All, Views::Pair), at(Views::Pair, Views::All));
        assert!((at(Views::All, Views::All) - pair - 0.0038).abs() < 1e-5);
    }

    #[test]
    fn thresholds_beyond_the_table_are_extrapolated() {
        let (strict, lax) = (single(1e-8), single(0.1));
        assert!(strict > 0.9635 && strict < 1.0, "{strict}");
        assert!(lax < 0.9116 && lax > 0.85, "{lax}");
    }

    #[test]
    fn incomplete_and_contradictory_tables_are_rejected() {
        let table = |fmr: &[f64], t0: &[f64], s: &[f64]| {
            Calibration::try_from(CalibrationTable {
                fmr: fmr.to_vec(),
                t0: t0.to_vec(),
                s: s.to_vec(),
                enroll_views_shift: Vec::new(),
                probe_views_shift: Vec::new(),
                prior_offset: 0.0,
                source: String::new(),
            })
        };
        assert_eq!(
            table(&[0.1], &[0.5], &[0.5]),
            Err(CalibrationError::TooShort)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.5], &[0.5, 0.5]),
            Err(CalibrationError::Ragged)
        );
        assert_eq!(
            table(&[0.01, 0.1], &[0.5, 0.6], &[0.5, 0.5]),
            Err(CalibrationError::Rates)
        );
        assert_eq!(
            table(&[1.0, 0.1], &[0.5, 0.6], &[0.5, 0.5]),
            Err(CalibrationError::Rates)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.6, 0.5], &[0.5, 0.5]),
            Err(CalibrationError::Thresholds)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.5, f64::NAN], &[0.5, 0.5]),
            Err(CalibrationError::Thresholds)
        );
        assert_eq!(
            table(&[0.1, 0.01], &[0.5, 0.6], &[-0.1, 0.5]),
            Err(CalibrationError::Thresholds)
        );
        assert!(table(&[0.1, 0.01], &[0.5, 0.6], &[0.5, 0.4]).is_ok());
    }

    #[test]
    fn the_shares_of_the_attempts_add_up_to_one() {
        let shares: f64 = (1..=3)
            .map(|number| Look::new(number).unwrap().share())
            .sum();
        assert!((shares - 1.0).abs() < 1e-12);
        assert!(Look::new(0).is_none() && Look::new(4).is_none());
    }

    #[test]
    fn debug_output_hides_the_embedding() {
        let embedding = Embedding::normalize(vec![0.25, 0.5]).unwrap();
        assert_eq!(format!("{embedding:?}"), "Embedding(2 values)");
    }

    #[test]
    fn vectors_without_a_direction_are_rejected() {
        assert!(Embedding::normalize(Vec::new()).is_none());
        assert!(Embedding::normalize(vec![0.0; 4]).is_none());
        assert!(Embedding::normalize(vec![1.0, f32::NAN]).is_none());
        let (a, b) = (
            Embedding::normalize(vec![1.0, 0.0]),
            Embedding::normalize(vec![-1.0, 0.0]),
        );
        assert!(
            Fused::from_embeddings(&[a.unwrap(), b.unwrap()]).is_none(),
            "they cancel out"
        );
        assert!(Fused::from_embeddings(&[]).is_none());
    }

    fn embedding() -> impl Strategy<Value = Embedding> {
        prop::collection::vec(-1f32..1.0, 8).prop_filter_map("no direction", Embedding::normalize)
    }

    fn employee(number: usize) -> EmployeeId {
        EmployeeId::new(Uuid::from_u128(number as u128))
    }

    fn probe(embedding: Embedding, resultant: f32) -> Probe {
        Probe {
            fused: Fused {
                embedding,
                resultant: r(resultant),
            },
            views: Views::Pair,
        }
    }

    fn found(matches: &[(f32, f32)]) -> Vec<Match> {
        let made = matches
            .iter()
            .enumerate()
            .map(|(number, &(similarity, resultant))| Match {
                employee: employee(number),
                similarity: Similarity::new(similarity).unwrap(),
                resultant: r(resultant),
                views: Views::All,
                offset: 0.0,
                look_alikes: Vec::new(),
            });
        made.collect()
    }

    fn policy(fpir: f64, least_margin: f32) -> Policy {
        Policy::new(rate(fpir), Some(least_margin))
    }

    fn ask(matches: &[(f32, f32)], resultant: f32, policy: Policy) -> Identification {
        ask_matches(&found(matches), resultant, policy)
    }

    fn ask_matches(matches: &[Match], resultant: f32, policy: Policy) -> Identification {
        let probe = probe(Embedding::normalize(vec![1.0, 0.0]).unwrap(), resultant);
        identify(matches, 40, &probe, &calibration(), policy)
    }

    /// Returns the matches after the second person becomes a look-alike of the first.
    fn look_alikes(mut matches: Vec<Match>, (who, other): (usize, usize)) -> Vec<Match> {
        let found = matches.iter_mut().find(|one| one.employee == employee(who));
        found.unwrap().look_alikes.push(employee(other));
        matches
    }

    fn lead_over_look_alikes(fpir: f64) -> f32 {
        let fmr = rate(fpir).fmr_among(40);
        look_alike_margin(&calibration(), fmr, Views::All, Views::Pair)
    }

    #[test]
    fn a_close_runner_up_prevents_identification_if_a_margin_is_set() {
        let matches = [(0.99, 1.0), (0.985, 1.0)];
        assert_eq!(
            ask(&matches, 1.0, policy(0.001, 0.0)).identified,
            Ok(employee(0))
        );
        let vetoed = ask(&matches, 1.0, policy(0.001, 0.01));
        assert_eq!(vetoed.identified, Err(NobodyReason::Margin));
        assert!((vetoed.margin.unwrap() - 0.005).abs() < 1e-5);
        assert_eq!(
            ask(&matches[..1], 1.0, policy(0.001, 0.01)).identified,
            Ok(employee(0))
        );
    }

    #[test]
    fn the_default_margin_is_that_of_the_calibration_in_use() {
        let default = Policy::new(rate(0.001), None);
        let least = calibration().least_margin();
        let ask = |lead: f32| ask(&[(0.99, 1.0), (0.99 - lead, 1.0)], 1.0, default).identified;
        assert_eq!(ask(least * 0.9), Err(NobodyReason::Margin));
        assert_eq!(ask(least * 1.1), Ok(employee(0)));
    }

    #[test]
    fn the_margin_over_look_alikes_follows_the_calibration() {
        // Ten thousand times rarer is four columns of the table.
        let at = |fmr| look_alike_margin(&calibration(), rate(fmr), Views::Pair, Views::Pair);
        assert!((at(1e-2) - (0.9635 - 0.9116)).abs() < 1e-5);
        // One column beyond the end of the table.
        assert!((at(1e-3) - (0.9635 + 0.0092 - 0.9296)).abs() < 1e-5);
    }

    #[test]
    fn the_default_margin_follows_the_calibration() {
        assert!((calibration().least_margin() - (0.9543 - 0.9432)).abs() < 1e-5);
    }

    #[test]
    fn reasons_never_depend_on_look_alikes_who_are_not_enrolled() {
        let alone = look_alikes(found(&[(0.99, 1.0)]), (0, 7));
        let answer = ask_matches(&alone, 1.0, policy(0.001, 0.0));
        assert_eq!(answer.identified, Ok(employee(0)));
    }

    #[test]
    fn an_empty_gallery_identifies_nobody() {
        let answer = ask(&[], 1.0, policy(0.001, 0.0));
        assert_eq!(
            (answer.identified, answer.best, answer.margin, answer.close),
            (Err(NobodyReason::Unknown), None, None, false)
        );
    }

    proptest! {
        #[test]
        fn a_stricter_rate_never_lowers_the_threshold(a in -9f64..-0.5, b in -9f64..-0.5) {
            let (strict, lax) = (10f64.powf(a.min(b)), 10f64.powf(a.max(b)));
            prop_assert!(single(strict) >= single(lax) - 1e-6);
        }

        #[test]
        fn the_fmr_falls_with_more_people_and_the_search_keeps_its_fpir(
            fpir in 1e-6f64..0.5, people in 1usize..200_000,
        ) {
            let one = rate(fpir).fmr_among(people);
            prop_assert!(one.value() > 0.0 && one.value() <= fpir * (1.0 + 1e-9));
            prop_assert!(rate(fpir).fmr_among(people + 1).value() <= one.value());
            let search = -((-one.value()).ln_1p() * people as f64).exp_m1();
            prop_assert!((search / fpir - 1.0).abs() < 1e-9);
        }

        #[test]
        fn copies_of_one_photo_fuse_to_that_photo(one in embedding(), copies in 1usize..6) {
            let fused = Fused::from_embeddings(&vec![one.clone(); copies]).unwrap();
            prop_assert!(fused.resultant.spread() < 1e-4);
            prop_assert!(fused.embedding.similarity(&one).unwrap().value() > 0.9999);
            let point = calibration().at(rate(1e-3), Views::Pair, Views::Pair);
            let needed = point.threshold(fused.resultant, fused.resultant).value();
            prop_assert!((needed - single(1e-3)).abs() < 2e-4);
        }

        #[test]
        fn r_is_the_length_of_the_mean_and_spread_raises_the_threshold(all in prop::collection::vec(embedding(), 2..6)) {
            if let Some(fused) = Fused::from_embeddings(&all) {
                let mut mean = [0f32; 8];
                for one in &all {
                    for (sum, value) in mean.iter_mut().zip(one.as_slice()) {
                        *sum += value / all.len() as f32;
                    }
                }
                prop_assert!((length(&mean) - fused.resultant.value()).abs() < 1e-4);
                let point = calibration().at(rate(1e-4), Views::Pair, Views::Pair);
                let needed = point.threshold(fused.resultant, Resultant::ONE).value();
                prop_assert!(needed >= single(1e-4) - 1e-6);
            }
        }

        #[test]
        fn the_identified_candidate_has_the_largest_excess_and_reaches_its_threshold(
            matches in prop::collection::vec((0.85f32..1.0, 0.95f32..1.0), 1..8),
            resultant in 0.95f32..1.0,
            fpir in 1e-4f64..0.1,
        ) {
            let answer = ask(&matches, resultant, policy(fpir, 0.0));
            let excess: Vec<f32> = answer.candidates.iter().map(Candidate::excess).collect();
            prop_assert!(excess.windows(2).all(|pair| pair[0] >= pair[1]));
            prop_assert_eq!(answer.best, answer.candidates.first().copied());
            let best = answer.candidates[0].employee;
            let expected = if excess[0] >= 0.0 { Ok(best) } else { Err(NobodyReason::Unknown) };
            prop_assert_eq!(answer.identified, expected);
            prop_assert!(answer.identified.is_err() || !answer.close);
            prop_assert_eq!(answer.margin.is_some(), matches.len() > 1);
        }

        #[test]
        fn an_attempt_identifies_nobody_whom_the_full_rate_would_not(similarity in 0.9f32..1.0, number in 1u8..=3) {
            let whole = policy(0.01, 0.0);
            let look = whole.for_look(Look::new(number).unwrap());
            if ask(&[(similarity, 1.0)], 1.0, look).identified.is_ok() {
                prop_assert!(ask(&[(similarity, 1.0)], 1.0, whole).identified.is_ok());
            }
        }

        #[test]
        fn look_alikes_are_told_apart_by_a_clear_lead_only(
            matches in prop::collection::vec((0.93f32..1.0, 0.98f32..1.0), 2..6),
            (who, other) in (0usize..6, 0usize..6),
            fpir in 1e-4f64..0.1,
        ) {
            let (who, other) = (who % matches.len(), other % matches.len());
            prop_assume!(who != other);
            let plain = ask(&matches, 1.0, policy(fpir, 0.0));
            let pair = look_alikes(found(&matches), (who, other));
            let answer = ask_matches(&pair, 1.0, policy(fpir, 0.0));
            let excess = |number| {
                let of = |one: &&Candidate| one.employee == employee(number);
                plain.candidates.iter().find(of).unwrap().excess()
            };
            let best = plain.candidates[0].employee;
            let of_pair = best == employee(who) || best == employee(other);
            let hair = (excess(who) - excess(other)).abs() < lead_over_look_alikes(fpir);
            let expected = match plain.identified {
                Ok(_) if of_pair && hair => Err(NobodyReason::LookAlike),
                same => same,
            };
            prop_assert_eq!(answer.identified, expected);
        }

        #[test]
        fn it_does_not_matter_which_of_two_look_alikes_names_the_other(
            matches in prop::collection::vec((0.93f32..1.0, 0.98f32..1.0), 2..6),
            least_margin in 0f32..0.05,
        ) {
            let one = ask_matches(&look_alikes(found(&matches), (0, 1)), 1.0, policy(0.01, least_margin));
            let other = ask_matches(&look_alikes(found(&matches), (1, 0)), 1.0, policy(0.01, least_margin));
            prop_assert_eq!(one, other);
        }
    }
}
