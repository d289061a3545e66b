//! I6: the memory of a run stays under its bound, whatever the input.
//!
//! The budget is 192 MiB; what is not counted in it (code, stacks, the allocator's slack) must fit beside it into 300
//! MiB.

use std::io::{BufWriter, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Site, python};

const BUDGET: &str = "192Mi";
const PEAK_BYTES_MAX: u64 = 300 << 20;

/// Writes an object piece by piece into the source directory.
fn generate(site: &Site, key: &str, header: &str, rows: u64, row: impl Fn(u64, &mut dyn Write)) -> u64 {
    let path = site.path("data/raw").join(key);
    std::fs::create_dir_all(path.parent().expect("below")).expect("writable");
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).expect("writable"));
    out.write_all(header.as_bytes()).expect("writable");
    for n in 0..rows {
        row(n, &mut out);
    }
    out.flush().expect("writable");
    std::fs::metadata(path).expect("just written").len()
}

/// Text that compresses as text does, different in each row.
fn words(n: u64) -> String {
    const WORDS: [&str; 8] = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"];
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..10).map(|i| WORDS[(mixed >> (i * 5)) as usize % 8]).collect::<Vec<_>>().join(" ") + &format!(" {mixed:x}")
}

#[track_caller]
fn bounded(site: &Site, spec: Value, rows: u64) {
    site.only(spec);
    let mut running = site.start(&["run"], &["--memory", BUDGET]);
    let mut peak_bytes = 0;
    while running.is_running() {
        peak_bytes = running.peak_bytes().unwrap_or(0).max(peak_bytes);
        std::thread::sleep(Duration::from_millis(5));
    }
    running.wait().expect(0);
    assert!(
        peak_bytes > 0 && peak_bytes < PEAK_BYTES_MAX,
        "peak of {} MiB with a budget of {BUDGET}",
        peak_bytes >> 20
    );
    let counted =
        site.sql("", "select count(*), count(distinct id) from read_parquet(FILES, hive_partitioning = true)");
    assert_eq!(counted, json!([[rows, rows]]));
}

fn row_csv(n: u64, out: &mut dyn Write) {
    writeln!(out, "{n},{},{},\"{}\"", n % 200, n as f64 / 7.0, words(n)).expect("writable");
}

#[test]
fn one_large_csv_object() {
    let site = Site::directory();
    let bytes = generate(&site, "t/a.csv", "id,p,x,text\n", 5_000_000, row_csv);
    assert!(bytes > 450 << 20, "{bytes}");
    bounded(&site, json!({"destination": {"format": "parquet"}}), 5_000_000);
}

#[test]
fn one_large_jsonl_object() {
    let site = Site::directory();
    let bytes = generate(&site, "t/a.jsonl", "", 2_000_000, |n, out| {
        writeln!(out, "{{\"id\":{n},\"p\":{},\"nested\":{{\"text\":\"{}\",\"list\":[{n},{n}]}}}}", n % 200, words(n))
            .expect("writable");
    });
    assert!(bytes > 250 << 20, "{bytes}");
    bounded(&site, json!({"destination": {"format": "parquet"}}), 2_000_000);
}

#[test]
fn two_hundred_partitions() {
    let site = Site::directory();
    generate(&site, "t/a.csv", "id,p,x,text\n", 2_000_000, row_csv);
    bounded(&site, json!({"destination": {"format": "parquet", "partitionBy": [{"column": "p"}]}}), 2_000_000);
}

/// Its rows come back from scratch in pieces as large as what was spilled at once.
#[test]
fn one_partition_with_nearly_all_rows() {
    let site = Site::directory();
    generate(&site, "t/a.csv", "id,p,x,text\n", 2_000_000, |n, out| {
        let partition = if n % 500 == 0 { n % 7 } else { 3 };
        writeln!(out, "{n},{partition},{},\"{}\"", n as f64 / 7.0, words(n)).expect("writable");
    });
    bounded(&site, json!({"destination": {"format": "parquet", "partitionBy": [{"column": "p"}]}}), 2_000_000);
}

/// Each column's writer holds a compression context of its own from its first full page on, so narrow columns must not
/// have pages early.
#[test]
fn two_hundred_and_fifty_columns() {
    let site = Site::directory();
    let header = format!("id,{}\n", (0..250).map(|n| format!("c{n}")).collect::<Vec<_>>().join(","));
    let bytes = generate(&site, "t/a.csv", &header, 120_000, |n, out| {
        write!(out, "{n}").expect("writable");
        (0..250).for_each(|column| write!(out, ",{:.3}", (n * 250 + column) as f64 / 7.0).expect("writable"));
        writeln!(out).expect("writable");
    });
    assert!(bytes > 250 << 20, "{bytes}");
    bounded(&site, json!({"destination": {"format": "parquet"}}), 120_000);
}

#[test]
fn one_parquet_object_with_one_large_row_group() {
    let site = Site::directory();
    let code = "pathlib.Path(path).parent.mkdir(parents=True)\n\
        table = duckdb.sql(\"select range as id, md5(range::varchar) as a, md5((range + 1)::varchar) as b, repeat('x', 20) || range as c from range(3000000)\").to_arrow_table()\n\
        pq.write_table(table, path, row_group_size=3000000, compression='snappy', use_dictionary=False)\n\
        result = [os.path.getsize(path), pq.read_metadata(path).num_row_groups]";
    let made = python(code, json!({"path": site.path("data/raw/t/a.parquet")}));
    assert!(made[0].as_u64() > Some(200 << 20), "{made}");
    bounded(&site, json!({"destination": {"format": "parquet"}}), 3_000_000);
}

/// DuckDB writes each column of a row group as one page, so that a page is as large as its column.
#[test]
fn one_parquet_object_with_one_page_a_column() {
    let site = Site::directory();
    let code = "pathlib.Path(path).parent.mkdir(parents=True)\n\
        columns = ', '.join(f\"md5((range * {n + 1})::varchar) || md5((range * {n + 3})::varchar) as text{n}\" for n in range(6))\n\
        duckdb.sql(f\"copy (select range as id, {columns} from range(1600000)) to '{path}' (format parquet, compression zstd)\")\n\
        result = [os.path.getsize(path), pq.read_metadata(path).num_row_groups]";
    let made = python(code, json!({"path": site.path("data/raw/t/a.parquet")}));
    assert!(made[0].as_u64() > Some(200 << 20) && made[1].as_u64() > Some(8), "{made}");
    bounded(&site, json!({"destination": {"format": "parquet"}}), 1_600_000);
}

#[test]
fn twenty_thousand_small_objects() {
    let site = Site::directory();
    for object in 0..20_000u64 {
        generate(&site, &format!("t/{:03}/{object}.csv", object % 100), "id,p,x,text\n", 20, |n, out| {
            row_csv(object * 20 + n, out)
        });
    }
    bounded(
        &site,
        json!({"source": {"tables": {"from": "Fixed", "name": "t"}}, "destination": {"format": "parquet"}}),
        400_000,
    );
}

#[test]
fn a_record_larger_than_the_budget_is_refused_by_name() {
    let site = Site::directory();
    generate(&site, "t/a.jsonl", "{\"id\":1}\n", 1, |_, out| {
        write!(out, "{{\"id\":2,\"text\":\"").expect("writable");
        for _ in 0..300 {
            out.write_all(&[b'x'; 1 << 20]).expect("writable");
        }
        writeln!(out, "\"}}").expect("writable");
    });
    site.only(json!({"destination": {"format": "parquet"}}));
    site.start(&["run"], &["--memory", BUDGET]).wait().expect(4).says(&["t/a.jsonl", "line", "--memory"]);
    assert_eq!(site.keys(), Vec::<String>::new());
}
