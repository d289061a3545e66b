//! A first look at a table's objects, to choose its schema. Sampling chooses, every row verifies: what a sample misses
//! costs a second pass, never a wrong row.

use std::sync::Arc;

use async_trait::async_trait;

use crate::codec::DecodeError;
use crate::codec::decode::object::{self, Step};
use crate::model::object::Object;
use crate::model::plan::PlannedObject;
use crate::model::schema::{TableSchema, merge};
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::planner::Sampler;
use crate::pipeline::read::{ReadError, Reader};

/// Samples through the source store.
pub struct SourceSampler {
    reader: Reader,
}

impl SourceSampler {
    /// A sampler for the context's spec.
    pub fn new(context: &Context) -> Self {
        Self {
            reader: Reader {
                source: Arc::clone(&context.source),
                settings: Arc::clone(&context.settings),
                // Nothing is laid out while sampling.
                budget: context.budget(&context.settings, 0),
                pool: context.pool.clone(),
                taken_bytes: Arc::default(),
            },
        }
    }

    async fn object(&self, object: &Object) -> Result<Option<TableSchema>, RunError> {
        if object.archived {
            return Ok(None);
        }
        let planned = PlannedObject { object: object.clone(), table: 0, slice: None };
        let sampled = self.schema(&planned).await;
        match sampled {
            Ok(schema) => Ok(schema),
            // A bad or changed object is for the read to report, by its rules; its siblings give the schema.
            Err(ReadError::Bad { .. } | ReadError::Changed { .. } | ReadError::Archived { .. }) => Ok(None),
            Err(ReadError::Stopped) => Err(RunError::new(
                RunErrorKind::Interrupted,
                format!("{}: stopped while sampling", self.reader.settings.id),
            )),
            Err(ReadError::Store(error)) => {
                let mut failed = RunError::from(error);
                failed.message = format!("{}: {}", self.reader.settings.id, failed.message);
                Err(failed)
            }
        }
    }

    /// The schema that an object shows by itself, as far as it shows one.
    async fn schema(&self, planned: &PlannedObject) -> Result<Option<TableSchema>, ReadError> {
        let decoding = self.reader.format(planned)?.traits().decoding;
        let bad = |error: DecodeError| ReadError::Bad {
            key: planned.object.key.clone(),
            position: None,
            reason: error.to_string(),
        };
        let mut decoder = object::schema(decoding, self.reader.object_options(planned)).map_err(bad)?;
        loop {
            let step;
            (step, decoder) = self.reader.pool.run(move || (decoder.next(), decoder)).await;
            match step.map_err(bad)? {
                Step::NeedsRange(range) => decoder.push(self.reader.get(planned, Some(range)).await?),
                Step::Ready(schema) => return Ok(Some(schema)),
                Step::Finished => return Ok(None),
            }
        }
    }
}

#[async_trait]
impl Sampler for SourceSampler {
    async fn sample(&self, _table: &str, objects: &[Object]) -> Result<TableSchema, RunError> {
        let mut merged: Option<TableSchema> = None;
        for object in objects {
            if let Some(schema) = self.object(object).await? {
                merged = Some(merged.map_or(schema.clone(), |known| merge(&known, &schema)));
            }
        }
        Ok(merged.unwrap_or_default())
    }
}
