//! Macros that declare repositories.

/// Declares the repository of a kind of record, and which operations of the collection it has:
/// `Sites(Site): insert, find`. What such an operation does is written in [`forward`].
macro_rules! repository {
    ($(#[$doc:meta])* $name:ident($record:ty)$(: $($operation:ident),+)?) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name($crate::repositories::Collection<$record>);

        impl $name {
            /// Creates the repository on a store.
            pub fn new(engine: std::sync::Arc<dyn $crate::ports::RecordEngine>) -> Self {
                Self($crate::repositories::Collection::new(engine))
            }

            $(forward!(0: $record => $($operation),+);)?
        }
    };
}

/// Declares operations that a repository has as its collection has them: `0: Site => insert, find`.
/// The first part is the field of the collection.
macro_rules! forward {
    ($field:tt: $record:ty => $($operation:ident),+) => {
        $(forward!(@$operation $field, $record, $crate::ports::StoreError);)+
    };
    (@insert $field:tt, $record:ty, $error:ty) => {
        /// Adds a record.
        ///
        /// # Errors
        /// [`StoreError::Conflict`](crate::ports::StoreError::Conflict) if its ID or a unique key
        /// is taken.
        pub async fn insert(&self, record: &$record) -> Result<(), $error> {
            self.$field.insert(record).await
        }
    };
    (@put $field:tt, $record:ty, $error:ty) => {
        /// Adds or replaces a record.
        pub async fn put(&self, record: &$record) -> Result<(), $error> {
            self.$field.put(record).await
        }
    };
    (@exchange $field:tt, $record:ty, $error:ty) => {
        /// Replaces a record if it still equals `old`. Returns false, without a change, if it does
        /// not.
        ///
        /// # Errors
        /// [`StoreError::Conflict`](crate::ports::StoreError::Conflict) if another record has one
        /// of its unique keys.
        pub async fn exchange(&self, old: &$record, new: &$record) -> Result<bool, $error> {
            self.$field.exchange(old, new).await
        }
    };
    (@swap $field:tt, $record:ty, $error:ty) => {
        /// Replaces a record if it was not changed since it was read. Returns the new version;
        /// `None`, without a change, if it was changed or deleted.
        pub async fn swap(
            &self,
            old: &$crate::repositories::Versioned<$record>,
            new: $record,
        ) -> Result<Option<$crate::repositories::Versioned<$record>>, $error> {
            self.$field.swap(old, new).await
        }
    };
    (@find $field:tt, $record:ty, $error:ty) => {
        /// Returns the record with an ID, removed or not.
        pub async fn find(
            &self,
            id: <$record as $crate::domain::record::Record>::Id,
        ) -> Result<Option<$record>, $error> {
            self.$field.find(&id).await
        }
    };
    (@read $field:tt, $record:ty, $error:ty) => {
        /// Returns the record with an ID in the revision that the store has.
        pub async fn read(
            &self,
            id: <$record as $crate::domain::record::Record>::Id,
        ) -> Result<Option<$crate::repositories::Versioned<$record>>, $error> {
            self.$field.get(&id).await
        }
    };
    (@find_many $field:tt, $record:ty, $error:ty) => {
        /// Returns the records with these IDs, removed or not; unknown IDs are left out.
        pub async fn find_many(
            &self,
            ids: &[<$record as $crate::domain::record::Record>::Id],
        ) -> Result<Vec<$record>, $error> {
            self.$field.get_many(ids).await
        }
    };
    (@all $field:tt, $record:ty, $error:ty) => {
        /// Returns all records, removed ones too, sorted by ID.
        pub async fn all(&self) -> Result<Vec<$record>, $error> {
            let all = $crate::ports::Range::all();
            self.$field.all($crate::domain::record::Index::ID, all).await
        }
    };
    (@revisions $field:tt, $record:ty, $error:ty) => {
        /// Returns the IDs and revisions of all records, to find changes.
        pub async fn revisions(
            &self,
        ) -> Result<Vec<(<$record as $crate::domain::record::Record>::Id, u64)>, $error> {
            self.$field.revisions().await
        }
    };
    (@remove $field:tt, $record:ty, $error:ty) => {
        /// Permanently deletes a record; returns false if there is none with the ID.
        pub async fn remove(
            &self,
            id: <$record as $crate::domain::record::Record>::Id,
        ) -> Result<bool, $error> {
            self.$field.remove(&id).await
        }
    };
    (@purge $field:tt, $record:ty, $error:ty) => {
        /// Deletes the records before a moment, by [`ages`](crate::domain::record::Kind::ages);
        /// returns how many there were.
        pub async fn purge(&self, before: jiff::Timestamp) -> Result<u64, $error> {
            self.$field.purge((), before).await
        }
    };
}
