//! Sites: a name belongs to one until it is removed, and no change is undone unseen.

use rollcall::{
    domain::{
        grants::Reach,
        sites::{Site, Zone},
    },
    ports::StoreError,
    repositories::Repositories,
};

use crate::{
    TRICKY,
    pages::all_pages,
    races::{one_wins, race},
    records::{at, site, site_id, site_name},
};

pub async fn sites_come_back_as_they_were(stores: &Repositories) {
    let sites = &stores.sites;
    assert_eq!(sites.all().await, Ok(vec![]));
    let starts = jiff::civil::time(23, 59, 0, 0);
    let mut all = vec![Site::default_site(Zone::UTC, starts, at(-1))];
    all.extend(TRICKY.map(site));
    let mut removed = site("gone");
    removed.removed_at = Some(at(9));
    all.push(removed);
    for one in &all {
        sites.insert(one).await.unwrap();
        assert_eq!(sites.find(one.id).await, Ok(Some(one.clone())));
        assert_eq!(sites.insert(one).await, Err(StoreError::Conflict));
    }
    assert_eq!(sites.find(site_id()).await, Ok(None));
    all.sort_by_key(|one| one.id);
    assert_eq!(sites.all().await, Ok(all));
}

pub async fn a_site_name_belongs_to_one_until_it_is_removed(stores: &Repositories) {
    let sites = &stores.sites;
    let harbor = site("Hafen Köln");
    sites.insert(&harbor).await.unwrap();
    let twin = site("HAFEN KÖLN");
    assert_eq!(sites.insert(&twin).await, Err(StoreError::Conflict));
    let found = sites.find_by_name(&site_name("hafen köln")).await;
    assert_eq!(found, Ok(Some(harbor.clone())));

    let airport = site("Airport");
    sites.insert(&airport).await.unwrap();
    let mut renamed = airport.clone();
    renamed.settings.name = site_name("hafen Köln");
    let refused = sites.exchange(&airport, &renamed).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    let mut louder = harbor.clone();
    louder.settings.name = site_name("HAFEN KÖLN");
    assert_eq!(sites.exchange(&harbor, &louder).await, Ok(true), "its own");
    let stale = sites.exchange(&harbor, &harbor).await;
    assert_eq!(stale, Ok(false), "decided on an old record");

    let mut removed = louder.clone();
    removed.removed_at = Some(at(5));
    assert_eq!(sites.exchange(&louder, &removed).await, Ok(true));
    let found = sites.find_by_name(&louder.name).await;
    assert_eq!(found, Ok(None));
    assert_eq!(sites.find(removed.id).await, Ok(Some(removed)));
    assert_eq!(sites.exchange(&airport, &renamed).await, Ok(true), "free");
}

pub async fn of_many_sites_with_one_name_one_is_added(stores: &Repositories) {
    let answers = race(|_| {
        let sites = stores.sites.clone();
        async move { sites.insert(&site("Harbor")).await }
    });
    one_wins(&answers.await);
}

pub async fn sites_are_listed_by_name_until_they_are_removed(stores: &Repositories) {
    let mut all: Vec<_> = ["b", "A", "c", "Ä"].map(site).into();
    let mut removed = site("aa");
    removed.removed_at = Some(at(1));
    for one in all.iter().chain([&removed]) {
        stores.sites.insert(one).await.unwrap();
    }
    all.sort_by_key(|one| one.name.key());
    for limit in [1, 2, 100] {
        let list = async |page| stores.sites.list(&Reach::Everything, &page).await;
        let listed = all_pages(limit, list, |one| (one.name.key(), one.id)).await;
        assert_eq!(listed, all, "pages of {limit}");
    }
}
