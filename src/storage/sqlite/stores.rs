//! The ports on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Params, Row, params_from_iter, types::Value};

use super::{
    SqliteStore,
    rows::{Record, blob, consent_values, id},
    rows_of,
};
use crate::{
    domain::{
        accounts::{Account, Session, TokenHash},
        attendance::{ClockSource, Punch},
        audit::AuditEntry,
        biometrics::ModelId,
        devices::Device,
        employees::{Consent, Employee},
        ids::{AccountId, AuditId, DeviceId, EmployeeId, JobId, PunchId, TemplateId},
        jobs::{Ability, Job, JobState},
        text::{Code, Email, IdempotencyKey},
    },
    ports::*,
    storage::parts,
};

/// The queries of every request; a test holds each to an index.
pub(super) mod hot {
    pub const PUNCH: &str = "SELECT * FROM punches WHERE id = ?1";
    pub const PUNCH_BY_REQUEST: &str =
        "SELECT * FROM punches WHERE device = ?1 AND request_key = ?2";
    pub const LAST_WRITTEN: &str =
        "SELECT * FROM punches WHERE employee = ?1 ORDER BY sequence DESC LIMIT 1";
    pub const LAST_BEFORE: &str = "SELECT * FROM punches WHERE employee = ?1 AND at <= ?2 \
         ORDER BY at DESC, sequence DESC LIMIT 1";
    pub const LAST_SYNCHRONISED: &str =
        "SELECT max(at) FROM punches WHERE device = ?1 AND clock = ?2";
    pub const ANSWER: &str = "SELECT * FROM kept_answers WHERE device = ?1 AND request_key = ?2";
    pub const DEVICE: &str = "SELECT * FROM devices WHERE id = ?1";
    pub const CAMERA: &str = "SELECT * FROM cameras WHERE id = ?1";
    pub const DEVICE_BY_TOKEN: &str = "SELECT * FROM devices WHERE token = ?1";
    pub const SESSION: &str = "SELECT * FROM sessions WHERE hash = ?1";
    pub const ACCOUNT: &str = "SELECT * FROM accounts WHERE id = ?1";
    pub const ACCOUNT_BY_EMAIL: &str = "SELECT * FROM accounts WHERE email = ?1";
    pub const EMPLOYEE: &str = "SELECT * FROM employees WHERE id = ?1";
    pub const EMPLOYEE_BY_CODE: &str = "SELECT * FROM employees WHERE code_key = ?1";
    pub const CHANGES: &str = "SELECT * FROM gallery_changes WHERE at >= ?1";
    pub const TEMPLATES_OF: &str =
        "SELECT * FROM templates WHERE employee = ?1 ORDER BY created_at, id";
    pub const PHOTOS_OF: &str = "SELECT * FROM photos WHERE employee = ?1 ORDER BY created_at, id";
    pub const JOB: &str = "SELECT id, kind, '' AS payload, once, state, due, turn, attempts, \
         done, total, result, error, created_by, created_at, finished_at \
         FROM jobs WHERE id = ?1";
    pub const JOBS: &str = "SELECT id, kind, '' AS payload, once, state, due, turn, attempts, \
         done, total, result, error, created_by, created_at, finished_at \
         FROM jobs WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2";
    pub const DUE: &str = "SELECT * FROM jobs WHERE due <= ?1 AND kind = ?2 \
         AND (?3 IS NULL OR payload = ?3) ORDER BY due, id LIMIT 1";
    pub const PICTURE: &str = "SELECT * FROM pictures WHERE id = ?1";
    pub const PICTURE_OF_PUNCH: &str = "SELECT * FROM pictures WHERE punch = ?1";
    pub const SETTING: &str = "SELECT value FROM settings WHERE name = ?1";

    #[cfg(test)]
    pub const ALL: [&str; 22] = [
        PUNCH,
        PUNCH_BY_REQUEST,
        LAST_WRITTEN,
        LAST_BEFORE,
        LAST_SYNCHRONISED,
        ANSWER,
        DEVICE,
        DEVICE_BY_TOKEN,
        CAMERA,
        SESSION,
        ACCOUNT,
        ACCOUNT_BY_EMAIL,
        EMPLOYEE,
        EMPLOYEE_BY_CODE,
        CHANGES,
        TEMPLATES_OF,
        PHOTOS_OF,
        JOB,
        DUE,
        PICTURE,
        PICTURE_OF_PUNCH,
        SETTING,
    ];
}

fn insert<R: Record>(connection: &Connection, values: Vec<Value>) -> Result<(), StoreError> {
    add::<R>(connection, "INSERT", values)
}

/// Writes a row that takes the place of the one with its identity, if there is one.
pub(super) fn put<R: Record>(
    connection: &Connection,
    values: Vec<Value>,
) -> Result<(), StoreError> {
    add::<R>(connection, "INSERT OR REPLACE", values)
}

fn add<R: Record>(
    connection: &Connection,
    verb: &str,
    values: Vec<Value>,
) -> Result<(), StoreError> {
    let places: Vec<_> = (1..=values.len())
        .map(|place| format!("?{place}"))
        .collect();
    let sql = format!(
        "{verb} INTO {} ({}) VALUES ({})",
        R::TABLE,
        R::COLUMNS.join(", "),
        places.join(", ")
    );
    connection
        .prepare_cached(&sql)?
        .execute(params_from_iter(values))?;
    Ok(())
}

/// The columns that an update sets, each with its place in the values, which begin at `first`.
fn compared<R: Record>(first: usize, operator: &str) -> Vec<String> {
    (first + 1..)
        .zip(&R::COLUMNS[1..])
        .filter(|(_, column)| !R::KEPT.contains(column))
        .map(|(place, column)| format!("{column} {operator} ?{place}"))
        .collect()
}

fn replace<R: Record>(connection: &Connection, values: Vec<Value>) -> Result<bool, StoreError> {
    let (table, id, sets) = (R::TABLE, R::COLUMNS[0], compared::<R>(1, "=").join(", "));
    let sql = format!("UPDATE {table} SET {sets} WHERE {id} = ?1");
    let changed = connection
        .prepare_cached(&sql)?
        .execute(params_from_iter(values))?;
    Ok(changed == 1)
}

/// Replaces what is still as it was.
pub(super) fn exchange<R: Record>(
    connection: &Connection,
    was: Vec<Value>,
    is: Vec<Value>,
) -> Result<bool, StoreError> {
    let (table, id, sets) = (R::TABLE, R::COLUMNS[0], compared::<R>(1, "=").join(", "));
    let still = compared::<R>(R::COLUMNS.len() + 1, "IS").join(" AND ");
    let sql = format!("UPDATE {table} SET {sets} WHERE {id} = ?1 AND {still}");
    let changed = connection
        .prepare_cached(&sql)?
        .execute(params_from_iter(is.into_iter().chain(was)))?;
    Ok(changed == 1)
}

/// Conditions of a query that depend on what is asked, with their values.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition; each `?` in it takes one of the values.
    pub fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        });
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    /// Adds a condition on a value, if there is one.
    pub fn and_if(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(condition, [value.into()]);
        }
    }
}

impl SqliteStore {
    pub(super) async fn insert_record<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let values = record.values()?;
        self.threads
            .write(move |connection| insert::<R>(connection, values))
            .await
    }

    async fn replace_record<R: Record>(&self, record: &R) -> Result<bool, StoreError> {
        let values = record.values()?;
        self.threads
            .write(move |connection| replace::<R>(connection, values))
            .await
    }

    pub(super) async fn select<T: Send + 'static>(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
        read: fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.threads
            .read(move |connection| rows_of(connection, sql, params, read))
            .await
    }

    pub(super) async fn select_one<R: Record + Send + 'static>(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
    ) -> Result<Option<R>, StoreError> {
        Ok(self.select(sql, params, R::read).await?.pop())
    }

    /// All records of a table with one of the identities.
    pub(super) async fn select_among<R: Record + Send + 'static>(
        &self,
        ids: impl Iterator<Item = uuid::Uuid>,
    ) -> Result<Vec<R>, StoreError> {
        // One parameter for any number of identities, and one statement to prepare.
        let ids: Vec<_> = ids.map(|id| id.simple().to_string()).collect();
        let ids = serde_json::json!(ids).to_string();
        let sql = format!(
            "SELECT * FROM {} WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
            R::TABLE
        );
        self.threads
            .read(move |connection| rows_of(connection, &sql, [ids], R::read))
            .await
    }

    pub(super) async fn select_page<R: Record + Send + 'static>(
        &self,
        conditions: Conditions,
        order: &str,
        limit: usize,
    ) -> Result<Vec<R>, StoreError> {
        let sql = format!(
            "SELECT * FROM {}{} ORDER BY {order} LIMIT {limit}",
            R::TABLE,
            conditions.sql
        );
        self.threads
            .read(move |connection| {
                rows_of(
                    connection,
                    &sql,
                    params_from_iter(conditions.values),
                    R::read,
                )
            })
            .await
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
    ) -> Result<u64, StoreError> {
        self.threads
            .write(move |connection| Ok(connection.prepare_cached(sql)?.execute(params)? as u64))
            .await
    }
}

impl SqliteStore {
    /// Replaces what is sealed in a record of an identity, while that is sealed as it was.
    pub(super) async fn exchange_sealed<R: Record>(
        &self,
        id: Vec<u8>,
        (was, is): (&Sealed, &Sealed),
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE {} SET key_id = ?4, nonce = ?5, ciphertext = ?6 \
             WHERE id = ?1 AND key_id = ?2 AND nonce = ?3",
            R::TABLE
        );
        let is = (is.key_id.clone(), is.nonce, is.ciphertext.clone());
        let params = (id, was.key_id.clone(), was.nonce, is.0, is.1, is.2);
        self.threads
            .write(move |connection| Ok(connection.prepare_cached(&sql)?.execute(params)? == 1))
            .await
    }
}

#[async_trait]
impl EmployeeStore for SqliteStore {
    async fn insert(&self, employee: &Employee) -> Result<(), StoreError> {
        self.insert_record(employee).await
    }

    async fn update(&self, was: &Employee, is: &Employee) -> Result<bool, StoreError> {
        let (was, is) = (was.values()?, is.values()?);
        self.threads
            .write(move |connection| exchange::<Employee>(connection, was, is))
            .await
    }

    async fn set_enrolled(
        &self,
        id: EmployeeId,
        templates: u32,
        consent: Option<&Consent>,
    ) -> Result<bool, StoreError> {
        let [at, by, text] = consent_values(consent);
        let changed = self
            .execute(
                "UPDATE employees SET templates = ?2, consent_at = ?3, consent_by = ?4, \
                 consent_text = ?5 WHERE id = ?1",
                (blob(id.uuid()), templates, at, by, text),
            )
            .await?;
        Ok(changed == 1)
    }

    async fn find(&self, id: EmployeeId) -> Result<Option<Employee>, StoreError> {
        self.select_one(hot::EMPLOYEE, [blob(id.uuid())]).await
    }

    async fn find_by_code(&self, code: &Code) -> Result<Option<Employee>, StoreError> {
        self.select_one(hot::EMPLOYEE_BY_CODE, [code.key()]).await
    }

    async fn find_many(&self, ids: &[EmployeeId]) -> Result<Vec<Employee>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }

    async fn list(
        &self,
        filter: &EmployeeFilter,
        page: &Page<(String, EmployeeId)>,
    ) -> Result<Vec<Employee>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and("deleted_at IS NULL", []);
        if let Some(text) = &filter.text {
            let text = Value::from(text.to_lowercase());
            wanted.and(
                "(instr(name_key, ?) > 0 OR instr(code_key, ?) > 0)",
                [text.clone(), text],
            );
        }
        let site = filter.site.as_ref().map(|site| site.as_str().to_owned());
        wanted.and_if("site = ?", site);
        wanted.and_if("active = ?", filter.active);
        if let Some((name, id)) = &page.after {
            wanted.and(
                "(name_key, id) > (?, ?)",
                [name.clone().into(), blob(id.uuid()).into()],
            );
        }
        self.select_page(wanted, "name_key, id", page.limit).await
    }
}

#[async_trait]
impl TemplateStore for SqliteStore {
    async fn insert(
        &self,
        templates: &[StoredTemplate],
        photos: &[StoredPhoto],
    ) -> Result<(), StoreError> {
        let templates = templates
            .iter()
            .map(Record::values)
            .collect::<Result<Vec<_>, _>>()?;
        let photos = photos
            .iter()
            .map(Record::values)
            .collect::<Result<Vec<_>, _>>()?;
        self.threads
            .write(move |connection| {
                for values in templates {
                    insert::<StoredTemplate>(connection, values)?;
                }
                for values in photos {
                    insert::<StoredPhoto>(connection, values)?;
                }
                Ok(())
            })
            .await
    }

    async fn of_employee(&self, employee: EmployeeId) -> Result<Vec<StoredTemplate>, StoreError> {
        self.select(hot::TEMPLATES_OF, [blob(employee.uuid())], Record::read)
            .await
    }

    async fn photos_of(&self, employee: EmployeeId) -> Result<Vec<StoredPhoto>, StoreError> {
        self.select(hot::PHOTOS_OF, [blob(employee.uuid())], Record::read)
            .await
    }

    async fn list(
        &self,
        model: &ModelId,
        page: &Page<TemplateId>,
    ) -> Result<Vec<StoredTemplate>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and("model = ?", [model.as_str().to_owned().into()]);
        wanted.and_if("id > ?", page.after.map(|id| blob(id.uuid())));
        self.select_page(wanted, "id", page.limit).await
    }

    async fn keep_models(
        &self,
        employee: EmployeeId,
        models: &[ModelId],
    ) -> Result<u64, StoreError> {
        let models: Vec<_> = models.iter().map(ModelId::as_str).collect();
        self.execute(
            "DELETE FROM templates WHERE employee = ?1 \
             AND model NOT IN (SELECT value FROM json_each(?2))",
            (blob(employee.uuid()), serde_json::json!(models).to_string()),
        )
        .await
    }

    async fn reseal(&self, was: &StoredTemplate, sealed: &Sealed) -> Result<bool, StoreError> {
        let id = blob(was.id.uuid());
        self.exchange_sealed::<StoredTemplate>(id, (&was.sealed, sealed))
            .await
    }

    async fn reseal_photo(&self, was: &StoredPhoto, sealed: &Sealed) -> Result<bool, StoreError> {
        let id = blob(was.id.uuid());
        self.exchange_sealed::<StoredPhoto>(id, (&was.sealed, sealed))
            .await
    }

    async fn delete_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let employee = blob(employee.uuid());
        self.threads
            .write(move |connection| {
                let delete = |sql: &str| connection.prepare_cached(sql)?.execute([&employee]);
                delete("DELETE FROM photos WHERE employee = ?1")?;
                Ok(delete("DELETE FROM templates WHERE employee = ?1")? as u64)
            })
            .await
    }

    async fn mark_changed(&self, employee: EmployeeId, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO gallery_changes (employee, at) VALUES (?1, ?2) \
             ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            (blob(employee.uuid()), at.as_millisecond()),
        )
        .await
        .map(drop)
    }

    async fn changed_since(
        &self,
        at: Timestamp,
    ) -> Result<Vec<(EmployeeId, Timestamp)>, StoreError> {
        self.select(hot::CHANGES, [at.as_millisecond()], |row| {
            Ok((
                id(row, "employee", EmployeeId::new)?,
                parts::time(row.get("at")?, "gallery change time")?,
            ))
        })
        .await
    }
}

#[async_trait]
impl PunchStore for SqliteStore {
    async fn append(&self, punch: &Punch) -> Result<(), StoreError> {
        self.insert_record(punch).await
    }

    async fn find(&self, id: PunchId) -> Result<Option<Punch>, StoreError> {
        self.select_one(hot::PUNCH, [blob(id.uuid())]).await
    }

    async fn find_by_request(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<Punch>, StoreError> {
        let params = (blob(device.uuid()), key.as_str().to_owned());
        self.select_one(hot::PUNCH_BY_REQUEST, params).await
    }

    async fn last_written(&self, employee: EmployeeId) -> Result<Option<Punch>, StoreError> {
        self.select_one(hot::LAST_WRITTEN, [blob(employee.uuid())])
            .await
    }

    async fn last_before(
        &self,
        employee: EmployeeId,
        at: Timestamp,
    ) -> Result<Option<Punch>, StoreError> {
        let params = (blob(employee.uuid()), at.as_millisecond());
        self.select_one(hot::LAST_BEFORE, params).await
    }

    async fn last_synchronised(&self, device: DeviceId) -> Result<Option<Timestamp>, StoreError> {
        let params = (blob(device.uuid()), parts::word(ClockSource::Server));
        let found = self
            .select(hot::LAST_SYNCHRONISED, params, |row| {
                Ok(row.get::<_, Option<i64>>(0)?)
            })
            .await?;
        found
            .into_iter()
            .flatten()
            .next()
            .map(|at| parts::time(at, "punch time"))
            .transpose()
    }

    async fn list(
        &self,
        filter: &PunchFilter,
        page: &Page<(Timestamp, PunchId)>,
    ) -> Result<Vec<Punch>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and_if("employee = ?", filter.employee.map(|id| blob(id.uuid())));
        wanted.and_if("device = ?", filter.device.map(|id| blob(id.uuid())));
        wanted.and_if("at >= ?", filter.from.map(Timestamp::as_millisecond));
        wanted.and_if("at < ?", filter.to.map(Timestamp::as_millisecond));
        if let Some((at, id)) = page.after {
            wanted.and(
                "(at, id) < (?, ?)",
                [at.as_millisecond().into(), blob(id.uuid()).into()],
            );
        }
        self.select_page(wanted, "at DESC, id DESC", page.limit)
            .await
    }

    async fn recorded_since(
        &self,
        from: Timestamp,
        limit: usize,
    ) -> Result<Vec<Punch>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and("recorded_at >= ?", [from.as_millisecond().into()]);
        self.select_page(wanted, "recorded_at, id", limit).await
    }

    async fn keep_answer(&self, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.insert_record(answer).await
    }

    async fn kept_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        let params = (blob(device.uuid()), key.as_str().to_owned());
        self.select_one(hot::ANSWER, params).await
    }

    async fn forget_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM kept_answers WHERE at < ?1",
            [before.as_millisecond()],
        )
        .await
    }

    async fn forget_answer(
        &self,
        device: DeviceId,
        key: &IdempotencyKey,
    ) -> Result<bool, StoreError> {
        let params = (blob(device.uuid()), key.as_str().to_owned());
        let delete = "DELETE FROM kept_answers WHERE device = ?1 AND request_key = ?2";
        Ok(self.execute(delete, params).await? > 0)
    }

    async fn erase_of(&self, employee: EmployeeId) -> Result<u64, StoreError> {
        let params = [blob(employee.uuid())];
        self.execute("DELETE FROM punches WHERE employee = ?1", params)
            .await
    }
}

#[async_trait]
impl DeviceStore for SqliteStore {
    async fn insert(&self, device: &Device) -> Result<(), StoreError> {
        self.insert_record(device).await
    }

    async fn update(&self, device: &Device) -> Result<bool, StoreError> {
        self.replace_record(device).await
    }

    async fn find(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        self.select_one(hot::DEVICE, [blob(id.uuid())]).await
    }

    async fn find_by_token(&self, token: TokenHash) -> Result<Option<Device>, StoreError> {
        self.select_one(hot::DEVICE_BY_TOKEN, [token.to_hex()])
            .await
    }

    async fn find_many(&self, ids: &[DeviceId]) -> Result<Vec<Device>, StoreError> {
        self.select_among(ids.iter().map(|id| id.uuid())).await
    }

    async fn list(&self, page: &Page<DeviceId>) -> Result<Vec<Device>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and("revoked_at IS NULL", []);
        wanted.and_if("id > ?", page.after.map(|id| blob(id.uuid())));
        self.select_page(wanted, "id", page.limit).await
    }
}

#[async_trait]
impl AccountStore for SqliteStore {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        self.insert_record(account).await
    }

    async fn update(&self, account: &Account) -> Result<bool, StoreError> {
        self.replace_record(account).await
    }

    async fn find(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.select_one(hot::ACCOUNT, [blob(id.uuid())]).await
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<Account>, StoreError> {
        self.select_one(hot::ACCOUNT_BY_EMAIL, [email.as_str().to_owned()])
            .await
    }

    async fn list(&self, page: &Page<AccountId>) -> Result<Vec<Account>, StoreError> {
        let mut wanted = Conditions::default();
        wanted.and_if("id > ?", page.after.map(|id| blob(id.uuid())));
        self.select_page(wanted, "id", page.limit).await
    }
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn insert(&self, session: &Session) -> Result<(), StoreError> {
        self.insert_record(session).await
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Session>, StoreError> {
        self.select_one(hot::SESSION, [hash.to_hex()]).await
    }

    async fn of(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        self.select(
            "SELECT * FROM sessions WHERE account = ?1 ORDER BY created_at DESC, hash",
            [blob(account.uuid())],
            Session::read,
        )
        .await
    }

    async fn delete(&self, hash: TokenHash) -> Result<bool, StoreError> {
        let deleted = self
            .execute("DELETE FROM sessions WHERE hash = ?1", [hash.to_hex()])
            .await?;
        Ok(deleted == 1)
    }

    async fn delete_of(&self, account: AccountId) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM sessions WHERE account = ?1",
            [blob(account.uuid())],
        )
        .await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM sessions WHERE expires_at < ?1",
            [before.as_millisecond()],
        )
        .await
    }
}

/// Replaces a job while it is in this state and turn, or while it has not ended.
fn replace_job(
    connection: &Connection,
    job: &Job,
    was: Option<(JobState, u32)>,
) -> Result<bool, StoreError> {
    let mut sets = compared::<Job>(1, "=").join(", ");
    if job.ended() {
        sets += ", payload = ''";
    }
    let mut values = job.values()?;
    let still = match was {
        Some((state, turn)) => {
            values.extend([Value::from(state.as_str().to_owned()), turn.into()]);
            format!("state = ?{} AND turn = ?{}", values.len() - 1, values.len())
        }
        None => "due IS NOT NULL".to_owned(),
    };
    let sql = format!("UPDATE jobs SET {sets} WHERE id = ?1 AND {still}");
    let changed = connection
        .prepare_cached(&sql)?
        .execute(params_from_iter(values))?;
    Ok(changed == 1)
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn insert(&self, job: &Job) -> Result<(), StoreError> {
        self.insert_record(job).await
    }

    async fn claim(&self, ability: &Ability, now: Timestamp) -> Result<Option<Job>, StoreError> {
        let wanted = (
            now.as_millisecond(),
            ability.kind.as_str(),
            ability.payload.clone(),
        );
        // One transaction, and only one writes at a time.
        self.threads
            .write(move |connection| {
                let Some(job) = rows_of(connection, hot::DUE, wanted, Job::read)?.pop() else {
                    return Ok(None);
                };
                let was = (job.state, job.turn);
                let job = job.claimed(now);
                Ok(replace_job(connection, &job, Some(was))?.then_some(job))
            })
            .await
    }

    async fn update(&self, job: &Job) -> Result<bool, StoreError> {
        let job = job.clone();
        let running = Some((JobState::Running, job.turn));
        self.threads
            .write(move |connection| replace_job(connection, &job, running))
            .await
    }

    async fn end(&self, job: &Job) -> Result<bool, StoreError> {
        let job = job.clone();
        self.threads
            .write(move |connection| replace_job(connection, &job, None))
            .await
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.select_one(hot::JOB, [blob(id.uuid())]).await
    }

    async fn list(&self, page: &Page<JobId>) -> Result<Vec<Job>, StoreError> {
        let after = page.after.map(|id| blob(id.uuid()));
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        self.select(hot::JOBS, (after, limit), Job::read).await
    }

    async fn unfinished(&self) -> Result<u64, StoreError> {
        let counted = self
            .select(
                "SELECT count(*) FROM jobs WHERE due IS NOT NULL",
                [],
                |row| parts::number::<i64, u64>(row.get(0)?, "number of jobs"),
            )
            .await?;
        Ok(counted.into_iter().sum())
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM jobs WHERE finished_at < ?1",
            [before.as_millisecond()],
        )
        .await
    }
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.insert_record(entry).await
    }

    async fn list(&self, page: &Page<(Timestamp, AuditId)>) -> Result<Vec<AuditEntry>, StoreError> {
        let mut wanted = Conditions::default();
        if let Some((at, id)) = page.after {
            wanted.and(
                "(at, id) < (?, ?)",
                [at.as_millisecond().into(), blob(id.uuid()).into()],
            );
        }
        self.select_page(wanted, "at DESC, id DESC", page.limit)
            .await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM audit WHERE at < ?1", [before.as_millisecond()])
            .await
    }
}

#[async_trait]
impl SettingStore for SqliteStore {
    async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        let found = self
            .select(hot::SETTING, [name.to_owned()], |row| Ok(row.get(0)?))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn claim(&self, name: &str, value: &str) -> Result<bool, StoreError> {
        let claimed = self
            .execute(
                "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                [name.to_owned(), value.to_owned()],
            )
            .await?;
        Ok(claimed == 1)
    }

    async fn release(&self, name: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM settings WHERE name = ?1", [name.to_owned()])
            .await
            .map(drop)
    }
}

#[async_trait]
impl StoreHealth for SqliteStore {
    fn description(&self) -> String {
        format!("sqlite {}", rusqlite::version())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A transaction that changes nothing: takes the lock, writes nothing.
        self.threads.write(|_| Ok(())).await?;
        self.threads.read(|_| Ok(())).await
    }

    /// What is written goes through the write-ahead log, which keeps it until it is written over
    /// itself: so it is emptied. Whoever reads meanwhile holds that up.
    async fn clear_traces(&self) -> Result<Option<String>, StoreError> {
        let empty = |connection: &Connection| {
            let held_up: bool =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            Ok(!held_up)
        };
        let left = "the database's -wal file holds it until every process that uses it has stopped";
        Ok(match self.threads.read(empty).await {
            Ok(true) => None,
            Ok(false) | Err(StoreError::Unavailable(_)) => Some(left.to_owned()),
            Err(error) => return Err(error),
        })
    }

    async fn close(&self) {
        self.threads.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::schema;

    #[test]
    fn every_hot_query_is_served_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open_writer(&folder.path().join("test.db")).unwrap();
        for sql in hot::ALL {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let nulls = vec![Value::Null; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(params_from_iter(nulls), |row| row.get("detail"))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let plan = plan.join("; ");
            assert!(plan.starts_with("SEARCH"), "{sql}: {plan}");
            assert!(
                !plan.contains("SCAN") && !plan.contains("TEMP"),
                "{sql}: {plan}"
            );
        }
    }
}
