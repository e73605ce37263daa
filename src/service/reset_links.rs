//! Links for a new password, apart from how they are made: revokes them.

use super::audit::Audit;
use crate::{
    domain::{accounts::Actor, ids::AccountId, invitations::Invitation},
    ports::StoreError,
    repositories::Repositories,
};

/// Revokes those links for a new password of an account that `ends` chooses. Returns for each whether
/// it was still there.
///
/// # Errors
/// When the store fails.
pub async fn revoke_resets(
    stores: &Repositories,
    audit: &Audit,
    actor: Actor,
    id: AccountId,
    ends: impl Fn(&Invitation) -> bool,
) -> Result<Vec<bool>, StoreError> {
    let mut links = stores.invitations.resets(id).await?;
    links.retain(ends);
    let mut removed = Vec::new();
    for link in links {
        audit
            .record(actor, "invitation.revoke", link.id, None)
            .await?;
        removed.push(stores.invitations.delete(link.id).await?);
    }
    Ok(removed)
}
