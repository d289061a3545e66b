//! A first look at a table's objects, to choose its schema. Sampling chooses, every row verifies: what a sample misses
//! costs a second pass, never a wrong row.

use std::sync::Arc;

use async_trait::async_trait;

use crate::codec::decode::infer;
use crate::codec::decode::parquet::{FOOTER_BYTES, schema};
use crate::codec::decode::text::{Step, TextOptions, TextReader};
use crate::codec::{Block, DecodeError};
use crate::model::format::{Decoding, TextFormat};
use crate::model::object::Object;
use crate::model::plan::PlannedObject;
use crate::model::schema::{TableSchema, merge};
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::planner::Sampler;
use crate::pipeline::read::{ReadError, Reader};

/// Stored bytes of one text object that are looked at: some thousand rows of most tables, one small request.
const SAMPLE_BYTES: u64 = 1 << 20;

/// Bytes of a sample's blocks: small beside the sample, so that a cut record at its end costs little of it.
const SAMPLE_BLOCK_BYTES: usize = 64 << 10;

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
        let sampled = match self.reader.format(&planned).map(|format| format.traits().decoding) {
            Ok(Decoding::Parquet) => self.parquet(&planned).await.map(Some),
            Ok(Decoding::Text(format)) => self.text(&planned, format).await,
            Err(error) => Err(error),
        };
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

    async fn parquet(&self, planned: &PlannedObject) -> Result<TableSchema, ReadError> {
        let size = planned.object.size;
        let range = (size > FOOTER_BYTES).then(|| size - FOOTER_BYTES..size);
        let tail = self.reader.get(planned, range).await?;
        let metadata = self.reader.footer_of(planned, &tail).await?;
        schema(&metadata).map_err(|error| bad(planned, error))
    }

    async fn text(&self, planned: &PlannedObject, format: TextFormat) -> Result<Option<TableSchema>, ReadError> {
        let size = planned.object.size;
        let cut = size > SAMPLE_BYTES;
        let bytes = self.reader.get(planned, cut.then_some(0..SAMPLE_BYTES)).await?;
        let options = TextOptions { block_bytes: SAMPLE_BLOCK_BYTES, ..self.reader.text_options(planned, format) };
        let mut text = TextReader::new(options).map_err(|error| bad(planned, error))?;
        let csv = self.reader.settings.source.csv.clone();
        let sampled = self.reader.pool.run(move || {
            text.feed(bytes);
            if !cut {
                text.end();
            }
            let mut merged: Option<TableSchema> = None;
            loop {
                let block: Block = match text.next() {
                    Ok(Step::Block(block)) => block,
                    Ok(Step::NeedsData | Step::Finished) => break,
                    // The cut end of a sample may look broken; what came before it counts.
                    Err(_) if cut && merged.is_some() => break,
                    Err(error) => return Err(error),
                };
                let schema = infer(format, &csv, text.header(), &block)?;
                merged = Some(merged.map_or(schema.clone(), |known| merge(&known, &schema)));
            }
            Ok(merged)
        });
        sampled.await.map_err(|error| bad(planned, error))
    }
}

fn bad(planned: &PlannedObject, error: DecodeError) -> ReadError {
    ReadError::Bad { key: planned.object.key.clone(), position: None, reason: error.to_string() }
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
