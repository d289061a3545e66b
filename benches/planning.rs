//! Planning, one thread: the join of a listing with the ledger, and keys from a template. Throughput is in objects and
//! keys.
//!
//! `cargo bench --bench planning`

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use jiff::Timestamp;
use s3sync::api::manifest::check_text;
use s3sync::model::identity::{FileIdentity, FilePurpose};
use s3sync::model::ledger::{Entry, Outcome, Standing};
use s3sync::model::plan::SegmentRef;
use s3sync::model::settings::Settings;
use s3sync::model::template::{Fields, Template};
use s3sync::pipeline::error::RunError;
use s3sync::pipeline::planner::{Compared, LedgerJoin, Selection, Sink};
use s3sync::state::blobs::Blobs;
use s3sync::state::ledger::SegmentWriter;
use s3sync::store::memory::MemoryStore;
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

/// A busy prefix of a year.
const OBJECTS: usize = 100_000;

/// Keys rendered a round.
const KEYS: u64 = 1_000;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

fn settings() -> Settings {
    let manifest = "apiVersion: s3sync.dev/v1alpha1\nkind: S3Sync\nmetadata: {name: orders}\nspec:\n  \
                    source: {uri: \"s3://raw/in/**/*.csv\"}\n  destination: {bucket: lake, format: parquet}\n";
    check_text(manifest).expect("a good manifest").syncs[0].resolved.settings.clone()
}

/// A bucket of small objects in four hundred directories, and a ledger that knows all of them.
struct Known {
    source: MemoryStore,
    blobs: Blobs,
    runs: Vec<Vec<SegmentRef>>,
}

fn known() -> Known {
    let source = MemoryStore::new("raw");
    for n in 0..OBJECTS {
        source.insert(&format!("in/orders/day={:03}/part-{n:08}.csv", n / 250), "id\n1\n");
    }
    let blobs = Blobs::new(std::sync::Arc::new(MemoryStore::new("lake")), "_s3sync", "bench");
    let run = RUNTIME.block_on(async {
        let mut writer = SegmentWriter::new(&blobs, 1);
        for object in source.objects() {
            writer
                .push(&Entry { object, outcome: Outcome::Published, epoch: None, again: false })
                .await
                .expect("written");
        }
        writer.finish().await.expect("written")
    });
    Known { source, blobs, runs: vec![run] }
}

/// Counts what is new.
struct Count(u64);

impl Sink for Count {
    fn restart(&mut self) {
        self.0 = 0;
    }

    async fn listed(&mut self, compared: Compared) -> Result<ControlFlow<()>, RunError> {
        self.0 += u64::from(compared.standing != Standing::Known);
        Ok(ControlFlow::Continue(()))
    }
}

fn bench_join(bencher: Bencher, known: &Known, runs: &[Vec<SegmentRef>], new: u64) {
    let settings = settings();
    let selection = Selection::new(&settings).expect("good globs");
    let join = LedgerJoin {
        source: &known.source,
        selection: &selection,
        blobs: &known.blobs,
        runs,
        after: None,
        scratch: Path::new("/nonexistent"),
    };
    bencher.counter(ItemsCount::new(OBJECTS)).bench_local(|| {
        let mut count = Count(0);
        RUNTIME.block_on(join.run(&mut count)).expect("joined");
        assert_eq!(count.0, new);
    });
}

/// A run that finds nothing new.
#[divan::bench]
fn join_all_known(bencher: Bencher) {
    let known = known();
    bench_join(bencher, &known, &known.runs, 0);
}

/// A first run.
#[divan::bench]
fn join_all_new(bencher: Bencher) {
    bench_join(bencher, &known(), &[], OBJECTS as u64);
}

#[divan::bench]
fn render_keys(bencher: Bencher) {
    let template =
        Template::parse("{{TABLE}}/{{PARTITION}}/{{YEAR}}/{{MONTH}}/{{SYNC}}-{{UUID}}.{{FORMAT}}").expect("a template");
    let planned_at = Timestamp::UNIX_EPOCH;
    bencher.counter(ItemsCount::new(KEYS)).bench_local(|| {
        for seq in 0..KEYS {
            let identity = FileIdentity::new(
                "0123456789abcdef0123456789abcdef",
                FilePurpose::Data,
                0,
                "orders",
                "country=DE",
                seq,
            );
            let fields = Fields {
                table: "orders",
                sync: "orders",
                run: "20260101T000000Z",
                load_id: "20260101T000000Z-1",
                planned_at,
                epoch: 1,
                shard: 0,
                seq,
                extension: "parquet",
                identity: &identity,
                source_key: "",
                partition: "country=DE",
            };
            black_box(template.render(&fields));
        }
    });
}
