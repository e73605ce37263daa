//! Errors that several routes have in common, as problems. The errors of one resource are beside
//! its routes.

use super::problem::{Code, Problem};
use crate::{
    ports::{EngineError, SampleError, StoreError},
    service::gallery_loader::ReferenceError,
    vault::VaultError,
};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self::new(
                Code::StoreUnavailable,
                "the store does not respond: try again in a moment; /readyz reports its state",
            )
            .because(cause)
            .retry_after(2),
            StoreError::Refused(words) => Self::new(Code::StoreUnavailable, error.to_string())
                .because(words)
                .retry_after(2),
            StoreError::Conflict => Self::new(
                Code::Conflict,
                "another request changed it at the same time: read it again, then repeat",
            ),
            StoreError::Corrupt(cause) => Self::internal(cause),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Overloaded => Self::new(
                Code::EngineBusy,
                "the queue of the face engine is full: try again in a moment",
            ),
            EngineError::Stopped => Self::new(Code::NotReady, "the service is stopping"),
            EngineError::Sample(error) => error.into(),
            EngineError::Failed(cause) => Self::internal(cause),
        }
    }
}

impl From<SampleError> for Problem {
    fn from(error: SampleError) -> Self {
        let code = match error {
            SampleError::TooManyBytes { .. } => Code::TooLarge,
            SampleError::Empty
            | SampleError::Unsupported
            | SampleError::TooManyPixels { .. }
            | SampleError::TooFewPixels { .. }
            | SampleError::SixteenBit
            | SampleError::Animated
            | SampleError::Corrupt => Code::BadImage,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReferenceError> for Problem {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Store(error) => error.into(),
            ReferenceError::Sealed { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::UnknownKey(_)
            | VaultError::Forged
            | VaultError::NotAnEmbedding
            | VaultError::Seal => Self::internal(error.to_string()),
        }
    }
}
