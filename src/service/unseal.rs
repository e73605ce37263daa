//! Decrypts the encrypted parts of records with the present keys.

use zeroize::Zeroizing;

use crate::{
    domain::sealed::{Binding, SealedPart},
    vault::Vault,
};

/// The content of an encrypted part.
pub enum Inside {
    /// The embedding of a template.
    Numbers(Vec<f32>),
    /// A file, such as a photo.
    File(Zeroizing<Vec<u8>>),
    /// No present key decrypts it.
    Unopened,
}

/// Decrypts a part. Without a vault nothing can be decrypted.
pub fn unseal(part: &SealedPart<'_>, vault: Option<&Vault>) -> Inside {
    let Some(vault) = vault else {
        return Inside::Unopened;
    };
    let opened = match part.binding {
        Binding::Template(employee, model) => vault
            .open_embedding(part.sealed, employee, model)
            .map(|embedding| Inside::Numbers(embedding.as_slice().to_vec())),
        binding => vault.open(part.sealed, &binding).map(Inside::File),
    };
    opened.unwrap_or(Inside::Unopened)
}
