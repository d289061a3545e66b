//! Step 5: the schema of each table, from a sample of its objects, the spec, and what is in force.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::StreamExt;

use super::selection::Selection;
use super::{Planner, second_table, table_error, takes_one_table};
use crate::model::object::Object;
use crate::model::schema::{TableSchema, frozen};
use crate::model::settings::{SchemaMode, TableRule};
use crate::model::table::{Named, collision};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::ledger::LedgerRoot;

/// Tables sampled at once: each costs up to three small requests and their text.
pub(super) const SAMPLES_AT_ONCE: usize = 4;

/// Looks at objects to say what a table's schema may be.
#[async_trait]
pub trait Sampler: Sync {
    /// What these objects of one table (at most three, its first, largest and last among them) look like together.
    async fn sample(&self, table: &str, objects: &[Object]) -> Result<TableSchema, RunError>;
}

/// The first, the largest and the last object of a table: what its schema is inferred from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Samples([Object; 3]);

impl Samples {
    pub fn new(first: &Object) -> Self {
        Self([first.clone(), first.clone(), first.clone()])
    }

    /// Takes the next object in, in key order.
    pub fn add(&mut self, object: &Object) {
        let [_, largest, last] = &mut self.0;
        if object.size > largest.size {
            largest.clone_from(object);
        }
        last.clone_from(object);
    }

    /// Each once, in key order.
    fn distinct(&self) -> Vec<Object> {
        let mut objects = self.0.to_vec();
        objects.dedup_by(|a, b| a.key == b.key);
        objects
    }
}

impl Planner<'_> {
    /// What the ledger knows of `tables`. `read` is the first of those that are read.
    ///
    /// # Errors
    /// Another table was published where this one's files would go.
    pub(super) async fn known_tables(
        &self,
        tables: &BTreeSet<&str>,
        read: Option<&str>,
    ) -> Result<LedgerRoot, RunError> {
        let Some(key) = &self.cursor.ledger else { return Ok(LedgerRoot::default()) };
        let settings = self.settings;
        let alone = settings.destination.write_mode.keeps_published() && takes_one_table(settings);
        let read = read.filter(|_| alone);
        let mut other = None;
        let wanted = |name: &str| {
            if other.is_none() && read.is_some_and(|read| read != name) {
                other = Some(name.to_owned());
            }
            tables.contains(name)
        };
        let root = LedgerRoot::load_where(self.blobs, key, wanted).await?;
        match (other, read) {
            (Some(other), Some(read)) => Err(second_table(settings, &other, read)),
            _ => Ok(root),
        }
    }

    /// The schema that rows of a table are verified against. `source` is what gives the table its name, where objects
    /// of it are read.
    ///
    /// # Errors
    /// Bad data: another source that gives the table its name, or what is found and what the spec wants do not go
    /// together.
    pub(super) async fn schema(
        &self,
        ledger: &LedgerRoot,
        table: &str,
        source: Option<&str>,
        samples: &Samples,
    ) -> Result<TableSchema, RunError> {
        let settings = self.settings;
        let known = ledger.tables.get(table);
        if let (Some(known), Some(source)) = (known, source)
            && known.source != source
            && self.is_listed(table, &known.source).await?
        {
            return Err(table_error(settings, collision(table, &known.source, source)));
        }
        let samples = samples.distinct();
        let inferred = match settings.schema.mode {
            // The columns are given, and nothing that is found would change them.
            SchemaMode::Declared => TableSchema::default(),
            SchemaMode::Infer | SchemaMode::Strings => self.sampler.sample(table, &samples).await?,
        };
        let replaces = !settings.destination.write_mode.keeps_published();
        frozen(&settings.schema, replaces, &inferred, known.map(|table| &table.schema)).map_err(|error| {
            let key = &samples[0].key;
            RunError::because(RunErrorKind::BadData, format!("{}: table {table}: {key}: {error}", settings.id), error)
        })
    }

    /// Whether an object is still listed that gives a table this source. An earlier epoch took the table from there;
    /// when nothing is left of that, the table may move. What a window leaves out counts: it is there for the next run.
    async fn is_listed(&self, table: &str, source: &str) -> Result<bool, RunError> {
        let settings = self.settings;
        if matches!(settings.source.tables, TableRule::Fixed { .. }) {
            return Ok(false);
        }
        let selection = Selection::new(settings).map_err(|error| table_error(settings, error))?;
        let mut pages = self.source.list(selection.prefix_of_source(source), None);
        while let Some(page) = pages.next().await {
            let is_it = |named: &Named| named.table == table && named.source == source;
            let gives = |key: &str| matches!(selection.table(key), Ok(Some(named)) if is_it(&named));
            if page?.iter().any(|object| selection.takes(object) && gives(&object.key)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
