//! Calendar addresses of employees.

use crate::{
    domain::{accounts::TokenHash, calendars::CalendarAddress},
    ports::StoreError,
};

repository! {
    /// The repository of calendar addresses. An employee has one at the most; a new one replaces it.
    CalendarAddresses(CalendarAddress): put, find, remove
}

impl CalendarAddresses {
    /// Returns the address with the hash of a token.
    pub async fn find_by_token(
        &self,
        token: TokenHash,
    ) -> Result<Option<CalendarAddress>, StoreError> {
        self.0
            .find_by(CalendarAddress::BY_TOKEN, (token.to_hex(),))
            .await
    }
}
