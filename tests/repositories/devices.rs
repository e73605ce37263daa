//! Devices: each has its own token, by which it is found.

use rollcall::{
    domain::{grants::Reach, ids::SiteId},
    ports::StoreError,
    repositories::Repositories,
};

use crate::{
    TRICKY,
    pages::all_pages,
    records::{at, device, device_id, name, site_id, token},
};

pub async fn devices_are_found_by_token_and_listed_until_they_are_revoked(stores: &Repositories) {
    let mut made: Vec<_> = (0..5)
        .map(|seed| device(TRICKY[seed], seed as u8))
        .collect();
    made[1].site = site_id();
    for one in &made {
        stores.devices.insert(one).await.unwrap();
        assert_eq!(stores.devices.find(one.id).await, Ok(Some(one.clone())));
        assert_eq!(
            stores.devices.find_by_token(one.token).await,
            Ok(Some(one.clone()))
        );
    }
    assert_eq!(
        stores.devices.insert(&device("twin", 3)).await,
        Err(StoreError::Conflict)
    );
    assert_eq!(stores.devices.find_by_token(token(99)).await, Ok(None));
    assert_eq!(stores.devices.find(device_id()).await, Ok(None));
    let unknown = device("unknown", 98);
    let exchanged = stores.devices.exchange(&unknown, &unknown).await;
    assert_eq!(exchanged, Ok(false));
    assert_eq!(stores.devices.find_by_token(token(98)).await, Ok(None));

    let old = made.clone();
    let north = site_id();
    made[2].revoked_at = Some(at(9));
    made[2].site = north;
    made[1].site = SiteId::DEFAULT;
    made[3].site = north;
    for changed in [1, 2, 3] {
        let (old, new) = (&old[changed], &made[changed]);
        assert_eq!(stores.devices.exchange(old, new).await, Ok(true));
        // Another change that was decided on the old record.
        let mut stale = old.clone();
        stale.name = name("Gate");
        assert_eq!(stores.devices.exchange(old, &stale).await, Ok(false));
        let found = stores.devices.find_by_token(made[changed].token).await;
        assert_eq!(found, Ok(Some(made[changed].clone())));
    }
    let revoked = made.remove(2);
    for limit in [1, 3, 100] {
        let list = async |page| stores.devices.list(&Reach::Everything, None, &page).await;
        assert_eq!(all_pages(limit, list, |one| one.id).await, made);
        let list = async |page| {
            stores
                .devices
                .list(&Reach::Everything, Some(north), &page)
                .await
        };
        assert_eq!(all_pages(limit, list, |one| one.id).await, made[2..3]);
    }
    let found = stores.devices.find_many(&[revoked.id, device_id()]).await;
    assert_eq!(found, Ok(vec![revoked]));
    assert_eq!(stores.devices.find_many(&[]).await, Ok(vec![]));
}
