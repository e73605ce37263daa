//! Reads lists to their end.

use rollcall::ports::{Page, StoreError};

use crate::records::{after, first};

/// Returns all pages of a list.
pub async fn all_pages<T, C>(
    limit: usize,
    list: impl AsyncFn(Page<C>) -> Result<Vec<T>, StoreError>,
    cursor: fn(&T) -> C,
) -> Vec<T> {
    let mut all = Vec::new();
    let mut page = first(limit);
    loop {
        let items = list(page).await.unwrap();
        assert!(items.len() <= limit);
        let Some(last) = items.last() else {
            return all;
        };
        page = after(cursor(last), limit);
        let full = items.len() == limit;
        all.extend(items);
        if !full {
            // Only the last page may be shorter.
            assert!(list(page).await.unwrap().is_empty());
            return all;
        }
        assert!(all.len() < 1000, "the pages never end");
    }
}
