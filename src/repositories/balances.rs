//! Entries of the balances of employees.

use jiff::civil::Date;

use crate::{
    domain::{
        balances::BalanceEntry,
        ids::{BalanceEntryId, EmployeeId},
        record::Key,
    },
    ports::{Page, Range, StoreError},
};

repository! {
    /// The repository of balance entries. A second opening value of an employee at a date is a
    /// [`StoreError::Conflict`].
    BalanceEntries(BalanceEntry): insert, remove, find
}

impl BalanceEntries {
    /// Returns the entries of an employee until a date, by date.
    pub async fn until(
        &self,
        employee: EmployeeId,
        last: Date,
    ) -> Result<Vec<BalanceEntry>, StoreError> {
        let range = Range::within(Key::new((employee.uuid(),)));
        let range = range.before(Key::new((employee.uuid(), last)).end());
        let index = BalanceEntry::BY_EMPLOYEE;
        self.0.all(index, range).await
    }

    /// Returns a page of the entries of an employee, latest date first. The cursor is the date and
    /// ID of the last one.
    pub async fn list(
        &self,
        employee: EmployeeId,
        page: &Page<(Date, BalanceEntryId)>,
    ) -> Result<Vec<BalanceEntry>, StoreError> {
        let after = page.after.map(|(date, id)| {
            let key = Key::new((employee.uuid(), date));
            (key, id.to_string())
        });
        let range = Range::within(Key::new((employee.uuid(),)));
        let range = range.backwards().after(after);
        let index = BalanceEntry::BY_EMPLOYEE;
        self.0.list(index, &range, page.limit).await
    }
}
