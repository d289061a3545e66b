use proptest::prelude::*;

use super::fields::{extension, source_stem};
use super::*;
use crate::model::format::{Compression, OutputFormat};
use crate::model::identity::{FileIdentity, FilePurpose};
use crate::model::settings::{PartitionRule, PartitionTransform};

fn render(template: &str, source_key: &str, partition: &str) -> String {
    let identity = FileIdentity::new("seed", FilePurpose::Data, 3, "web_events", partition, 2);
    let extension = extension(OutputFormat::Csv, Compression::Gzip);
    Template::parse(template).unwrap().render(&Fields {
        table: "web_events",
        sync: "orders",
        run: "run-1",
        load_id: "run-1-7",
        planned_at: "2024-01-07T05:09:03.0421Z".parse().unwrap(),
        epoch: 7,
        shard: 3,
        seq: 2,
        extension: &extension,
        identity: &identity,
        source_key,
        partition,
    })
}

#[track_caller]
fn check(template: &str, expected: &str) {
    assert_eq!(render(template, "raw/2024/day.1.csv.gz", ""), expected, "{template}");
}

#[test]
fn cloudquery_placeholders_render() {
    check("{{TABLE}}/{{TABLE_HYPHEN}}.{{FORMAT}}", "web_events/web-events.csv.gz");
    check("{{YEAR}}-{{MONTH}}-{{DAY}}T{{HOUR}}:{{MINUTE}}", "2024-01-07T05:09");
    check("{{SYNC_ID}}/x", "run-1/x");
    let uuid = FileIdentity::new("seed", FilePurpose::Data, 3, "web_events", "", 2).uuid().to_string();
    check("dir/", &format!("dir/{uuid}.csv.gz"));
}

#[test]
fn dlt_placeholders_render_as_in_dlt() {
    check("{schema_name}.{table_name}.{load_id}.{ext}", "orders.web_events.run-1-7.csv.gz");
    check("{YYYY}/{YY}/{Y}/{MMMM}/{MMM}/{MM}/{M}/{DD}/{D}", "2024/24/2024/january/jan/01/1/07/7");
    check("{HH}/{H}/{mm}/{m}/{ss}/{s}", "05/5/09/9/03/3");
    check("{SSSS}/{SSS}/{SS}/{S}", "0421/042/04/0");
    check("{dddd}/{ddd}/{dd}/{d}/{Q}", "sunday/sun/su/0/1");
    check("{curr_date}/{timestamp}/{load_package_timestamp}", "2024-01-07/1704604143/1704604143");
    check("{timestamp_ms}/{load_package_timestamp_ms}", "1704604143042/1704604143042");
    assert_eq!(render("{file_id}", "", "").len(), 20);
}

#[test]
fn our_placeholders_render() {
    check("{{SOURCE_DIR}}/{{SOURCE_STEM}}.{{FORMAT}}", "raw/2024/day.1.csv.gz");
    check("{{EPOCH}}-{{SHARD}}-{{SEQ}}", "7-00003-00002");
    check("a/{{PARTITION}}/b", "a/b");
    check("{{PARTITION}}/b", "b");
    assert_eq!(render("{{SOURCE_DIR}}/{{SOURCE_STEM}}.parquet", "root.jsonl", ""), "root.parquet");
    assert_eq!(render("x/{{SOURCE_DIR}}/{{SOURCE_STEM}}.parquet", "root.jsonl", "k=v"), "x/k=v/root.parquet");
}

#[test]
fn partitions_go_before_the_file_name_unless_placed() {
    for (template, expected) in [
        ("{{TABLE}}/f.csv", "web_events/a=1/b=2/f.csv"),
        ("f.csv", "a=1/b=2/f.csv"),
        ("{{PARTITION}}/{{TABLE}}/f.csv", "a=1/b=2/web_events/f.csv"),
        ("x/{{PARTITION}}/f.csv", "x/a=1/b=2/f.csv"),
    ] {
        assert_eq!(render(template, "", "a=1/b=2"), expected);
    }
}

#[test]
fn stems_lose_only_known_extensions() {
    for (key, stem) in [
        ("a/b.csv.gz", "b"),
        ("v1.2", "v1.2"),
        ("b.PARQUET", "b"),
        ("b.json.zst", "b"),
        ("x", "x"),
        ("b.log.gz", "b.log"),
    ] {
        assert_eq!(source_stem(key), stem, "{key}");
    }
}

#[test]
fn errors_name_the_place_and_what_to_do() {
    for (template, expected) in [
        ("", "the path template is empty; write for example {{TABLE}}/{{UUID}}.{{FORMAT}}"),
        ("{{TABEL}}/x", "the path template has an unknown placeholder {{TABEL}}; did you mean {{TABLE}}?"),
        ("{{table}}/x", "the path template has an unknown placeholder {{table}}; did you mean {{TABLE}}?"),
        ("{uuid}/x", "the path template has an unknown placeholder {uuid}; did you mean {{UUID}}?"),
        ("{{ TABLE }}", "the path template has an unknown placeholder {{ TABLE }}; did you mean {{TABLE}}?"),
        ("{tablename}", "the path template has an unknown placeholder {tablename}; did you mean {table_name}?"),
        ("{zzzzzzz}", "the path template has an unknown placeholder {zzzzzzz}"),
        ("a{{UUID}", "the path template has a `{{` without its partner at byte 1"),
        ("a{UUID", "the path template has a `{` without its partner at byte 1"),
        ("ab}", "the path template has a `}` without its partner at byte 2"),
        ("/a", "the path template has a leading `/`: keys begin without one"),
        ("a//b", "the path template has an empty segment (`//`): write one `/`"),
        (
            "a/../b",
            "the path template has a segment `.` or `..`: keys have no relative segments, name the directory itself",
        ),
    ] {
        assert_eq!(Template::parse(template).unwrap_err().to_string(), expected, "{template}");
    }
}

#[test]
fn queries_see_what_keeps_keys_apart() {
    for (template, table, unique, source) in [
        ("{{TABLE}}/{{UUID}}", true, true, false),
        ("{table_name}.{ext}", true, false, false),
        ("{load_id}.{file_id}.{ext}", false, true, false),
        ("{{EPOCH}}-{{SHARD}}-{{SEQ}}", false, true, false),
        ("{{EPOCH}}{{SHARD}}-{{SEQ}}", false, false, false),
        ("{{EPOCH}}-{{SEQ}}", false, false, false),
        ("{{SOURCE_DIR}}/{{SOURCE_STEM}}.csv", true, false, true),
        ("{{SOURCE_STEM}}.csv", false, false, true),
    ] {
        let parsed = Template::parse(template).unwrap();
        assert_eq!(
            (parsed.has_table(), parsed.is_unique(), parsed.per_source()),
            (table, unique, source),
            "{template}"
        );
    }
}

#[test]
fn shapes_are_as_narrow_as_the_template_allows() {
    let rule = |name: &str| PartitionRule {
        column: name.into(),
        transform: Some(PartitionTransform::Year),
        name: name.into(),
    };
    for (template, partitions, expected) in [
        ("lake/{{TABLE}}/{{UUID}}.{{FORMAT}}", vec![], "lake/*/*.csv"),
        ("lake/{{TABLE}}/{{UUID}}.{{FORMAT}}", vec![rule("y"), rule("z")], "lake/*/y=*/z=*/*.csv"),
        ("{schema_name}/{{PARTITION}}/f", vec![rule("y")], "orders/y=*/f"),
        ("x/{{PARTITION}}/f", vec![], "x/f"),
        ("f.csv", vec![rule("y")], "y=*/f.csv"),
        ("out/{{SOURCE_DIR}}/{{SOURCE_STEM}}.csv", vec![], "out/***.csv"),
    ] {
        let shape = Template::parse(template).unwrap().possible_keys("orders", "csv", &partitions);
        assert_eq!(shape.to_string(), expected, "{template}");
    }
    let shape = Template::parse("lake/{{TABLE}}/f.csv").unwrap().possible_keys("orders", "csv", &[]);
    assert_eq!(shape.literal_prefix(), "lake/");
    assert!(shape.matches("lake/t/f.csv") && !shape.matches("lake/a/b/f.csv") && !shape.matches("lake/t/f.csv.gz"));
}

#[test]
fn a_template_is_asked() {
    for (template, format, numbered, apart) in [
        ("{{TABLE}}/{{UUID}}.{{FORMAT}}", None, false, "{{UUID}} or {{SOURCE_DIR}}"),
        ("{{SOURCE_DIR}}/{{SOURCE_STEM}}.csv.gz", Some(OutputFormat::Csv), false, "{{UUID}}"),
        // As text, what a placeholder is called is text.
        ("SOURCE_DIR/{{SOURCE_STEM}}-SHARD.parquet", Some(OutputFormat::Parquet), false, "{{UUID}} or {{SOURCE_DIR}}"),
        ("{{SHARD}}.csv/x", None, true, "{{UUID}} or {{SOURCE_DIR}}"),
        ("{{SEQ}}", None, true, "{{UUID}} or {{SOURCE_DIR}}"),
    ] {
        let parsed = Template::parse(template).unwrap();
        let found = (parsed.named_format(), parsed.is_numbered(), parsed.would_tell_apart());
        assert_eq!(found, (format, numbered, apart), "{template}");
    }
}

#[test]
fn people_see_what_is_settled_and_the_rest_as_written() {
    let rule = |name: &&str| PartitionRule { column: "x".into(), transform: None, name: (*name).into() };
    for (template, partitions, expected) in [
        ("{{TABLE}}/{{UUID}}.{{FORMAT}}", &[][..], "order_items/{{UUID}}.csv.gz"),
        ("a/{{TABLE_HYPHEN}}.{ext}", &["c", "d"], "a/c=*/d=*/order-items.csv.gz"),
        ("{{PARTITION}}/x/{{UUID}}", &["c", "d"], "c=*/d=*/x/{{UUID}}"),
        ("x/{{PARTITION}}/{{UUID}}", &[], "x/{{UUID}}"),
        ("x/{{PARTITION}}", &["a b"], "x/a%20b=*"),
        ("{table_name}/{YYYY}-{{YEAR}}/{schema_name}", &["c"], "order_items/{YYYY}-{{YEAR}}/c=*/{schema_name}"),
        ("all.csv", &[], "all.csv"),
    ] {
        let rules: Vec<PartitionRule> = partitions.iter().map(rule).collect();
        let shown = Template::parse(template).unwrap().of_table("order_items").shown("csv.gz", &rules);
        assert_eq!(shown, expected, "{template}");
    }
}

#[test]
fn keys_are_below_their_directory() {
    for (template, directory) in [("a/b-{{UUID}}", "a/"), ("{{TABLE}}/x", ""), ("a/b.csv", "a/"), ("b.csv", "")] {
        assert_eq!(Template::parse(template).unwrap().possible_keys("s", "csv", &[]).directory(), directory);
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z.-]{1,3}",
        Just("/".to_owned()),
        (0..Placeholder::NAMES.len()).prop_map(|at| Placeholder::NAMES[at].0.to_owned()),
    ]
}

proptest! {
    #[test]
    fn every_key_has_its_templates_shape(
        pieces in proptest::collection::vec(piece(), 1..8),
        key in "([a-z]{1,2}/){0,2}[a-z]{0,3}(\\.csv)?",
        partitioned in any::<bool>(),
    ) {
        if let Ok(template) = Template::parse(&pieces.concat()) {
            let rule = PartitionRule { column: "k".into(), transform: None, name: "k".into() };
            let shape = template.possible_keys("orders", "csv.gz", if partitioned { std::slice::from_ref(&rule) } else { &[] });
            let rendered = render(template.as_str(), &key, if partitioned { "k=v" } else { "" });
            prop_assert!(shape.matches(&rendered), "{template}: {rendered} has not the shape {shape}");
            prop_assert!(rendered.starts_with(shape.literal_prefix()));
        }
    }

    #[test]
    fn any_text_parses_or_is_refused(text in "[a-zA-Z{}/_.]{0,24}") {
        if let Ok(template) = Template::parse(&text) {
            let json = serde_json::to_string(&template).unwrap();
            prop_assert_eq!(serde_json::from_str::<Template>(&json).unwrap(), template);
        }
    }
}
