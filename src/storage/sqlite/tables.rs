//! The table of a kind: its schema, and the statements that read and write it. All SQL is built
//! once, when the store is opened.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::{
    domain::record::{Index, Kind},
    ports::{Expect, Parts},
};

/// One statement per variant of [`Parts`].
type ByParts = [String; 3];

/// The table of a kind.
///
/// It has row IDs, because a `WITHOUT ROWID` table suits small rows only. Bodies and blobs are
/// large, so the columns that a list reads come before them: reading these columns follows no
/// chain of overflow pages.
pub(super) struct Table {
    name: &'static str,
    /// The indexes, in the order in which writes bind their keys.
    pub indexes: &'static [Index],
    get: ByParts,
    insert: String,
    insert_or_replace: String,
    replace: String,
    /// Deletes the record `?1`; if `?2` is not null, only in this revision.
    pub delete: String,
    lists: HashMap<Index, List>,
}

/// The statements of an index.
struct List {
    forwards: ByParts,
    backwards: ByParts,
    count: String,
}

/// Returns the column of the keys in an index.
fn column(index: Index) -> String {
    match index {
        Index::ID => "id".to_owned(),
        index => format!("x_{}", index.name),
    }
}

fn by_parts(statement: impl Fn(&str) -> String) -> ByParts {
    [
        "id, revision, version, '', NULL",
        "id, revision, version, body, NULL",
        "id, revision, version, body, blob",
    ]
    .map(statement)
}

fn select(statements: &ByParts, parts: Parts) -> &str {
    match parts {
        Parts::Head => &statements[0],
        Parts::Body => &statements[1],
        Parts::Whole => &statements[2],
    }
}

impl List {
    fn new(table: &str, index: Index) -> Self {
        let column = column(index);
        // Both ends of the range are places in the index, so that SQLite can seek to them.
        let place = match index {
            Index::ID => "id >= ?1 AND id < ?2".to_owned(),
            _ => format!(
                "({column}, id) >= (?1, ?2) AND ({column}, id) < (?3, ?4) \
                 AND {column} IS NOT NULL"
            ),
        };
        let limit = if index == Index::ID { 3 } else { 5 };
        let list = |direction: &str| {
            let order = match index.unique {
                true => format!("{column} {direction}"),
                false => format!("{column} {direction}, id {direction}"),
            };
            by_parts(|parts| {
                format!("SELECT {parts} FROM {table} WHERE {place} ORDER BY {order} LIMIT ?{limit}")
            })
        };
        Self {
            forwards: list("ASC"),
            backwards: list("DESC"),
            count: format!("SELECT count(*) FROM {table} WHERE {column} >= ?1 AND {column} < ?2"),
        }
    }
}

impl Table {
    /// Builds the statements of a kind.
    pub fn new(kind: &'static Kind) -> Self {
        let (table, indexes) = (kind.name, kind.indexes);
        let keys: Vec<_> = indexes.iter().map(|index| column(*index)).collect();
        let columns = [
            &["version".to_owned(), "body".into(), "blob".into()],
            &keys[..],
        ]
        .concat();
        let places: Vec<_> = (2..).take(columns.len()).map(|n| format!("?{n}")).collect();
        let set = |value: &dyn Fn(usize) -> String| {
            let set = columns.iter().enumerate();
            let set: Vec<_> = set
                .map(|(n, name)| format!("{name} = {}", value(n)))
                .collect();
            format!("revision = {table}.revision + 1, {}", set.join(", "))
        };
        let insert = format!(
            "INSERT INTO {table} (id, revision, {}) VALUES (?1, 1, {})",
            columns.join(", "),
            places.join(", ")
        );
        let listed = indexes.iter().chain([&Index::ID]);
        Self {
            name: table,
            indexes,
            get: by_parts(|parts| format!("SELECT {parts} FROM {table} WHERE id = ?1")),
            insert_or_replace: format!(
                "{insert} ON CONFLICT (id) DO UPDATE SET {} RETURNING revision",
                set(&|n| format!("excluded.{}", columns[n]))
            ),
            insert: format!("{insert} RETURNING revision"),
            replace: format!(
                "UPDATE {table} SET {} WHERE id = ?1 AND revision = ?{} RETURNING revision",
                set(&|n| places[n].clone()),
                columns.len() + 2
            ),
            delete: format!("DELETE FROM {table} WHERE id = ?1 AND (?2 IS NULL OR revision = ?2)"),
            lists: listed
                .map(|index| (*index, List::new(table, *index)))
                .collect(),
        }
    }

    /// Returns the statement that reads the record `?1`.
    pub fn get(&self, parts: Parts) -> &str {
        select(&self.get, parts)
    }

    /// Returns the statement that writes a record and returns its new revision. Its parameters
    /// are ID, version, body, blob and keys, and the revision if one is expected.
    pub fn put(&self, expect: Expect) -> &str {
        match expect {
            Expect::Absent => &self.insert,
            Expect::Any => &self.insert_or_replace,
            Expect::Revision(_) => &self.replace,
        }
    }

    /// Returns the statement that lists an index from one place to before another, up to a limit.
    /// A place is a key and an ID; in [`Index::ID`] it is only the ID.
    pub fn list(&self, index: Index, backwards: bool, parts: Parts) -> Option<&str> {
        let list = self.lists.get(&index)?;
        let statements = match backwards {
            true => &list.backwards,
            false => &list.forwards,
        };
        Some(select(statements, parts))
    }

    /// Returns the statement that counts the keys of an index from `?1` to before `?2`.
    pub fn count(&self, index: Index) -> Option<&str> {
        self.lists.get(&index).map(|list| list.count.as_str())
    }

    /// Creates the table, or changes its columns and indexes to match the kind. A new column is
    /// empty. An undeclared key column is dropped, because no write would keep it up to date.
    pub fn prepare(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (table, run) = (self.name, |sql: &str| connection.execute_batch(sql));
        let names = |sql: &str, only: &str| {
            let mut statement = connection.prepare(sql)?;
            let names = statement.query_map([only], |row| Ok((row.get(0)?, row.get(1)?)))?;
            names.collect::<rusqlite::Result<Vec<(String, String)>>>()
        };
        run(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                id       TEXT PRIMARY KEY NOT NULL,
                revision INTEGER NOT NULL,
                version  INTEGER NOT NULL,
                body     TEXT NOT NULL,
                blob     BLOB
            ) STRICT"
        ))?;
        let declared: Vec<_> = self
            .indexes
            .iter()
            .map(|index| self.create_index(*index))
            .collect();
        let indexes = names(
            "SELECT name, sql FROM sqlite_schema \
             WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL",
            table,
        )?;
        for (name, sql) in &indexes {
            if !declared.contains(sql) {
                run(&format!("DROP INDEX {name}"))?;
            }
        }
        let columns = names("SELECT name, type FROM pragma_table_info(?1)", table)?;
        let keys: Vec<_> = self.indexes.iter().map(|index| column(*index)).collect();
        for (name, _) in &columns {
            if name.starts_with("x_") && !keys.contains(name) {
                run(&format!("ALTER TABLE {table} DROP COLUMN {name}"))?;
            }
        }
        for key in &keys {
            if !columns.iter().any(|(name, _)| name == key) {
                run(&format!("ALTER TABLE {table} ADD COLUMN {key} TEXT"))?;
            }
        }
        for sql in &declared {
            if !indexes.iter().any(|(_, there)| there == sql) {
                run(sql)?;
            }
        }
        Ok(())
    }

    /// Returns the statement that creates an index, exactly as SQLite stores it.
    fn create_index(&self, index: Index) -> String {
        let (table, name, key) = (self.name, index.name, column(index));
        let (unique, columns) = match index.unique {
            true => ("UNIQUE ", key.clone()),
            false => ("", format!("{key}, id")),
        };
        format!(
            "CREATE {unique}INDEX {table}_{name} ON {table} ({columns}) WHERE {key} IS NOT NULL"
        )
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{StatementStatus, params, params_from_iter, types::Value};

    use super::*;

    const BY_CODE: Index = Index::unique("by_code");
    const BY_TIME: Index = Index::ordered("by_time");
    static NOTES: Kind = Kind::archived("notes", "note", &[BY_CODE, BY_TIME]);

    const ALL_PARTS: [Parts; 3] = [Parts::Head, Parts::Body, Parts::Whole];

    fn fresh() -> (Connection, Table) {
        let connection = Connection::open_in_memory().unwrap();
        let table = Table::new(&NOTES);
        table.prepare(&connection).unwrap();
        (connection, table)
    }

    fn plan(connection: &Connection, sql: &str) -> String {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = connection.prepare(&sql).unwrap();
        let nulls = vec![Value::Null; statement.parameter_count()];
        let steps = statement
            .query_map(params_from_iter(nulls), |row| row.get("detail"))
            .unwrap();
        steps
            .collect::<Result<Vec<String>, _>>()
            .unwrap()
            .join("; ")
    }

    #[test]
    fn every_statement_uses_an_index_for_its_whole_range() {
        let (connection, table) = fresh();
        let id = "notes USING INDEX sqlite_autoindex_notes_1 (id=?)";
        for parts in ALL_PARTS {
            assert_eq!(plan(&connection, table.get(parts)), format!("SEARCH {id}"));
        }
        let replace = table.put(Expect::Revision(1));
        for sql in [replace, &table.delete] {
            assert_eq!(plan(&connection, sql), format!("SEARCH {id}"));
        }
        for (index, listed, counted) in [
            (
                BY_CODE,
                "INDEX notes_by_code (x_by_code>? AND x_by_code<?)",
                "COVERING INDEX notes_by_code (x_by_code>? AND x_by_code<?)",
            ),
            (
                BY_TIME,
                "INDEX notes_by_time ((x_by_time,id)>(?,?) AND (x_by_time,id)<(?,?))",
                "COVERING INDEX notes_by_time (x_by_time>? AND x_by_time<?)",
            ),
            (
                Index::ID,
                "INDEX sqlite_autoindex_notes_1 (id>? AND id<?)",
                "COVERING INDEX sqlite_autoindex_notes_1 (id>? AND id<?)",
            ),
        ] {
            for parts in ALL_PARTS {
                for backwards in [false, true] {
                    let list = table.list(index, backwards, parts).unwrap();
                    let plan = plan(&connection, list);
                    assert_eq!(plan, format!("SEARCH notes USING {listed}"));
                }
            }
            let plan = plan(&connection, table.count(index).unwrap());
            assert_eq!(plan, format!("SEARCH notes USING {counted}"));
        }
    }

    #[test]
    fn a_page_costs_the_same_at_any_position() {
        let (connection, table) = fresh();
        let mut insert = connection.prepare(table.put(Expect::Absent)).unwrap();
        for number in 0..5000 {
            let (id, key) = (format!("n{number:04}"), format!("{number:04}"));
            let inserted = insert
                .query_row(params![id, 1, "{}", None::<Vec<u8>>, key, key], |row| {
                    row.get(0)
                });
            assert_eq!(inserted, Ok(1));
        }
        let steps = |sql: &str, values: &[&str], found: usize| {
            let mut statement = connection.prepare(sql).unwrap();
            let mut values: Vec<Value> =
                values.iter().map(|text| text.to_string().into()).collect();
            if statement.parameter_count() > values.len() {
                values.push(10.into());
            }
            let mut rows = statement.query(params_from_iter(values)).unwrap();
            let mut read = 0;
            while rows.next().unwrap().is_some() {
                read += 1;
            }
            drop(rows);
            assert_eq!(read, found);
            statement.get_status(StatementStatus::VmStep)
        };
        for (from, to, found) in [
            ("0000", "5000", 10),
            ("4000", "5000", 10),
            ("0000", "0003", 3),
            ("2500", "2503", 3),
            ("4997", "9999", 3),
        ] {
            for backwards in [false, true] {
                let list = |index| table.list(index, backwards, Parts::Body).unwrap();
                let (first, last) = (format!("n{from}"), format!("n{to}"));
                assert!(steps(list(BY_TIME), &[from, "", to, ""], found) < 400);
                assert!(steps(list(BY_CODE), &[from, "", to, ""], found) < 400);
                assert!(steps(list(Index::ID), &[&first, &last], found) < 400);
            }
        }
        let count = table.count(BY_TIME).unwrap();
        assert!(steps(count, &["4997", "9999"], 1) < 100);
    }
}
