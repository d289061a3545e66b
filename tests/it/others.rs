//! Files that others made: csv-spectrum's corner cases, the data sets of vega_datasets, Parquet that old pyarrow
//! releases wrote.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Site, python};

/// Rows in the order of the file.
fn in_order(site: &Site) -> Value {
    python(
        "rows_ = [row for key in files(dir) for row in read(os.path.join(dir, key))]\nrows_.sort(key=lambda row: row.pop('_s3sync_row'))\n\
         for row in rows_: row.pop('_s3sync_key'); row.pop('_s3sync_last_modified')\nresult = rows_",
        json!({"dir": site.output()}),
    )
}

#[test]
fn csv_spectrum() {
    let spectrum = PathBuf::from(
        std::env::var("S3SYNC_TEST_CSV_SPECTRUM").expect("S3SYNC_TEST_CSV_SPECTRUM is not set: run tests/run"),
    );
    let mut seen = 0;
    for entry in std::fs::read_dir(spectrum.join("csvs")).expect("readable") {
        let csv = entry.expect("readable").path();
        let name = csv.file_stem().expect("a name").to_str().expect("text").to_owned();
        if name == "location_coordinates" {
            // Its answer is that of another row: the two files disagree upstream.
            continue;
        }
        let expected: Value = serde_json::from_slice(
            &std::fs::read(spectrum.join("json").join(format!("{name}.json"))).expect("an answer"),
        )
        .expect("JSON");
        let site = Site::directory();
        // Its answers are all text, and know no null.
        site.only(json!({"source": {"csv": {"nullValues": []}}, "schema": {"mode": "Strings"}, "destination": {"format": "jsonl", "lineage": true}}));
        site.put(&format!("t/{name}.csv"), std::fs::read(&csv).expect("readable"));
        site.run_ok();
        assert_eq!(in_order(&site), expected, "{name}");
        seen += 1;
    }
    assert!(seen >= 11, "{seen} files");
}

/// Text for text, against Python's csv module; and with inferred types, against DuckDB's own inference.
#[test]
fn csv_data_sets() {
    let sets = "import vega_datasets\nroot = pathlib.Path(vega_datasets.__file__).parent / '_data'\nresult = sorted(str(p) for p in root.glob('*.csv'))";
    let sets: Vec<PathBuf> = serde_json::from_value(python(sets, json!({}))).expect("paths");
    assert!(sets.len() >= 8, "{sets:?}");
    for set in sets {
        let body = std::fs::read(&set).expect("readable");
        let site = Site::directory();
        site.only(json!({"schema": {"mode": "Strings"}, "destination": {"format": "parquet", "lineage": true}}));
        site.put("t/a.csv", &body);
        site.run_ok();
        let reader = "import csv\nresult = [{k: v or None for k, v in row.items()} for row in csv.DictReader(open(path, newline='', encoding='utf-8-sig'))]";
        assert!(in_order(&site) == python(reader, json!({"path": set})), "{} differs as text", set.display());

        let site = Site::directory();
        site.only(json!({"destination": {"format": "parquet"}}));
        site.put("t/a.csv", &body);
        site.run_ok();
        let compare = "mine = duckdb.connect().sql(f\"select * from read_parquet({[os.path.join(dir, k) for k in files(dir)]!r})\")\n\
            theirs = duckdb.connect().sql(f\"select * from read_csv({path!r}, sample_size = -1)\")\n\
            numbers = [n for n, t in zip(theirs.columns, theirs.types) if str(t) in ('BIGINT', 'DOUBLE')]\n\
            sums = ['count(*)'] + [f'round(sum(\"{n}\"::double), 3)' for n in numbers]\n\
            result = [mine.aggregate(', '.join(sums)).fetchall()[0], theirs.aggregate(', '.join(sums)).fetchall()[0], mine.columns, theirs.columns]";
        let compared = python(compare, json!({"dir": site.output(), "path": set}));
        assert_eq!((&compared[0], &compared[2]), (&compared[1], &compared[3]), "{}", set.display());
    }
}

#[test]
fn json_data_sets() {
    let sets = "import vega_datasets\nroot = pathlib.Path(vega_datasets.__file__).parent / '_data'\n\
        result = sorted(str(p) for p in root.glob('*.json') if isinstance(json.loads(p.read_text()), list))";
    let sets: Vec<PathBuf> = serde_json::from_value(python(sets, json!({}))).expect("paths");
    assert!(sets.len() >= 5, "{sets:?}");
    for set in sets {
        let site = Site::directory();
        site.only(json!({"destination": {"format": "parquet", "lineage": true}}));
        site.put("t/a.json", std::fs::read(&set).expect("readable"));
        site.run_ok();
        // A key that a row lacks is null here; text is compared for columns that mix kinds.
        let compare = "theirs = json.loads(pathlib.Path(path).read_text())\n\
            same = lambda a, b: a == b or (isinstance(a, str) and not isinstance(b, str) and json.loads(a) == b)\n\
            result = [(n, name) for n, (a, b) in enumerate(zip(mine, theirs)) for name in a.keys() | b.keys() if not same(a.get(name), b.get(name))][:5]\n\
            assert len(mine) == len(theirs)";
        assert_eq!(python(compare, json!({"mine": in_order(&site), "path": set})), json!([]), "{}", set.display());
    }
}

#[test]
fn parquet_of_old_writers() {
    let sets = "root = pathlib.Path(pa.__file__).parent / 'tests' / 'data' / 'parquet'\nresult = sorted(str(p) for p in root.glob('*.parquet'))";
    let sets: Vec<PathBuf> = serde_json::from_value(python(sets, json!({}))).expect("paths");
    assert!(!sets.is_empty());
    for set in sets {
        let site = Site::directory();
        site.only(json!({"destination": {"format": "parquet", "lineage": true}}));
        site.put("t/a.parquet", std::fs::read(&set).expect("readable"));
        site.run_ok();
        let theirs = python("result = [plain(row) for row in pq.read_table(path).to_pylist()]", json!({"path": set}));
        assert_eq!(in_order(&site), theirs, "{}", set.display());
    }
}
