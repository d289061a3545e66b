//! The first thing a new user does, exactly as the README says.

use std::path::Path;

use serde_json::json;

use crate::support::{Running, call};

#[test]
fn quickstart_publishes_then_finds_nothing_then_picks_up_a_new_object_alone() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let home = dir.path().join("examples/quickstart");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart"), &home);
    let run =
        || Running::start(dir.path(), &["run", "-f", "examples/quickstart", "-o", "json"], &[]).wait().expect(0).json();
    let totals = |report: &serde_json::Value, table: &str| {
        let tables = report["syncs"]
            .as_array()
            .expect("syncs")
            .iter()
            .flat_map(|sync| sync["tables"].as_array().expect("tables"));
        let found: Vec<(u64, u64)> = tables
            .filter(|t| t["name"] == table)
            .map(|t| (t["objects"].as_u64().expect("objects"), t["rows"].as_u64().expect("rows")))
            .collect();
        found.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let out = home.join("out/lake");

    let first = run();
    assert_eq!(totals(&first, "orders"), (3, 1640));
    assert_eq!(totals(&first, "events"), (2, 700));
    assert_eq!(totals(&first, "customers"), (1, 200));
    assert_eq!(totals(&first, "products"), (1, 40));
    let by_month = call(
        "sql",
        json!({"dir": out, "under": "orders/",
               "query": "select month, count(*), min(order_id), max(order_id) from read_parquet(FILES, hive_partitioning = true) group by 1 order by 1"}),
    );
    assert_eq!(by_month, json!([[1, 620, 1, 620], [2, 540, 621, 1160], [3, 480, 1161, 1640]]));
    assert_eq!(call("types", json!({"dir": out, "under": "orders/"}))["amount"], "decimal128(12, 2)");
    assert_eq!(call("types", json!({"dir": out, "under": "events/"}))["device"], "struct<os: string, mobile: bool>");
    let catalog = call("files", json!({"dir": out, "under": "catalog/"}));
    assert_eq!(catalog, json!(["catalog/customers.parquet", "catalog/products.parquet"]));

    let before = call("files", json!({"dir": out}));
    let second = run();
    assert_eq!(totals(&second, "orders"), (0, 0));
    assert_eq!(call("files", json!({"dir": out})), before, "nothing new, and yet something was written");

    std::fs::write(
        home.join("data/shop/orders/2024-04.csv"),
        "order_id,ordered_at,customer_id,country,items,amount,coupon,note\n9001,2024-04-01T00:00:00Z,7,DE,1,12.50,,\n",
    )
    .expect("writable");
    let third = run();
    assert_eq!((totals(&third, "orders"), totals(&third, "events")), ((1, 1), (0, 0)));
    let rows = call(
        "sql",
        json!({"dir": out, "under": "orders/", "query": "select count(*), count(distinct order_id), max(order_id) from read_parquet(FILES)"}),
    );
    assert_eq!(rows, json!([[1641, 1641, 9001]]));
}

#[test]
fn quickstart_summary_says_what_was_done_and_where_it_is() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let home = dir.path().join("quickstart");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart"), &home);
    Running::start(dir.path(), &["run", "-f", "quickstart"], &[]).wait().expect(0).says(&[
        "orders",
        "events",
        "customers",
        "1,640",
        "700",
        "lake",
    ]);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a name");
        // What an earlier run of the example left is not part of it.
        if name == "out" || name == ".s3sync" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).expect("writable");
        }
    }
}
