//! The schema cache: what the exposed schemas hold.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use deadpool_postgres::Pool;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_postgres::types::Type;

use super::EXPOSED;
use crate::Error;

/// The schema as it was when it was last looked at; looked at again when something is not in it.
#[derive(Default)]
pub(crate) struct SchemaCache {
    current: RwLock<Arc<Schema>>,
    loading: Mutex<()>,
}

/// Functions, tables and role settings.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Schema {
    functions: Vec<Function>,
    tables: Vec<Table>,
    /// `statement_timeout` by role.
    timeouts: BTreeMap<String, String>,
}

/// A function that can be called.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Function {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    /// How many of the last arguments may be left out.
    defaults: usize,
    pub(super) returns: String,
    /// Whether a result is a row rather than a single value.
    pub(super) returns_rows: bool,
    pub(super) returns_set: bool,
    pub(super) is_volatile: bool,
    /// Its own `statement_timeout`.
    pub(super) timeout: Option<String>,
}

/// An argument of a function.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Argument {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// A table or view that can be read.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Table {
    schema: String,
    pub(super) name: String,
    /// Types by column.
    pub(super) columns: BTreeMap<String, String>,
}

impl SchemaCache {
    /// Looks at the database.
    pub(crate) async fn load(&self, pool: &Pool) -> Result<(), Error> {
        let client = pool.get().await.map_err(|error| Error::Pool(error.to_string()))?;
        let exposed = format!("{{{}}}", EXPOSED.join(","));
        let rows = client.query_typed(include_str!("schema.sql"), &[(&exposed, Type::TEXT)]).await?;
        let text: &str = rows.first().map_or("{}", |row| row.get(0));
        let schema: Schema = serde_json::from_str(text).map_err(|error| Error::Pool(error.to_string()))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(schema);
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<Schema> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `find` finds, in a fresh look at the database if need be.
    pub(super) async fn find<T>(&self, pool: &Pool, find: impl Fn(&Schema) -> Option<T>) -> Option<T> {
        if let Some(found) = find(&self.current()) {
            return Some(found);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Err(error) = self.load(pool).await {
            crate::log::error("schema cache", &error.to_string());
        }
        find(&self.current())
    }
}

impl Schema {
    /// The functions of a name that take these arguments.
    pub(super) fn functions(&self, schema: &str, name: &str, arguments: &[&str]) -> Vec<Function> {
        let named = self.functions.iter().filter(|function| function.schema == schema && function.name == name);
        named.filter(|function| function.takes(arguments)).cloned().collect()
    }

    /// The function of a name that takes the whole body as its one nameless argument.
    pub(super) fn function_of_body(&self, schema: &str, name: &str) -> Option<Function> {
        let mut named = self.functions.iter().filter(|function| function.schema == schema && function.name == name);
        named.find(|function| matches!(&*function.arguments, [one] if one.name.is_empty() && one.is_json())).cloned()
    }

    pub(super) fn table(&self, schema: &str, name: &str) -> Option<Table> {
        self.tables.iter().find(|table| table.schema == schema && table.name == name).cloned()
    }

    pub(super) fn timeout(&self, role: &str) -> Option<&str> {
        self.timeouts.get(role).map(String::as_str)
    }
}

impl Function {
    fn takes(&self, names: &[&str]) -> bool {
        let required = self.arguments.len() - self.defaults.min(self.arguments.len());
        names.iter().all(|name| self.argument(name).is_some())
            && self.arguments.iter().take(required).all(|argument| names.contains(&argument.name.as_str()))
    }

    pub(super) fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| !argument.name.is_empty() && argument.name == name)
    }
}

impl Argument {
    pub(super) fn is_json(&self) -> bool {
        matches!(self.kind.as_str(), "json" | "jsonb")
    }
}
