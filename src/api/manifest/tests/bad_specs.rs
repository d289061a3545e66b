//! What is wrong with a spec is said with its line, its field, and what would be right.

use super::errors_of;

#[test]
fn the_shape_of_a_document_is_checked() {
    for (spec, expected) in [
        (
            "source: {bucket: raw, fromat: csv}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.fromat is no field of S3Sync; did you mean format?",
        ),
        (
            "source: {bucket: raw, partition_by: []}\ndestination: {bucket: l, format: csv, partition_by: []}",
            "m.yaml:6: spec.destination.partition_by is no field of S3Sync; did you mean partitionBy?",
        ),
        (
            "source: {bucket: raw}\ndestination:\n  bucket: lake\n  format: Parquet",
            "m.yaml:8: spec.destination.format is \"Parquet\", which is none of csv, tsv, json, jsonl, parquet; did you mean parquet?",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\ntrigger: 20261121",
            "m.yaml:7: spec.trigger must be a text, not a number; put quotes around it",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv, lineage: 'true'}",
            "m.yaml:6: spec.destination.lineage must be true or false, not a text; write true or false",
        ),
        (
            "source: {bucket: raw, csv: {nullValues: [no]}}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.csv.nullValues[0] must be a text, not a boolean; put quotes around it",
        ),
        (
            "source: {bucket: raw, include: '*.csv'}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.include must be a list, not a text; write each item on its own line after -, or all of them in [ ]",
        ),
        ("source: {bucket: raw}", "m.yaml:4: spec.destination is required"),
        ("destination: {bucket: lake, format: csv}\nsource:", "m.yaml:6: spec.source is required"),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nworker: {replicas: 0}",
            "m.yaml:7: spec.worker.replicas is 0, less than 1",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv, batch: {bytes: 128MB}}",
            "m.yaml:6: spec.destination.batch.bytes is \"128MB\", which is no size; write a number of bytes, or a number with Ki, Mi, Gi, Ti, k, M, G or T such as 128Mi",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\njitter: 5",
            "m.yaml:7: spec.jitter must be a text, not a number; put quotes around it",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\njitter: 5d",
            "m.yaml:7: spec.jitter is \"5d\", which is no duration; write numbers with s, m or h such as 90s or 1h30m",
        ),
        (
            "source: {bucket: raw, endpoint: 'minio:9000'}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.endpoint is \"minio:9000\", which is neither like http://minio.minio:9000 nor like file:DIR",
        ),
        (
            "source: {bucket: raw, csv: {delimiter: '||'}}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.csv.delimiter is \"||\", which is not one ASCII character",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nschema:\n  columns:\n  - name: a\n  - name: b\n  - name: a",
            "m.yaml:11: spec.schema.columns[2] has the name \"a\", which spec.schema.columns[0] has",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nworker: {env: [{name: A, valeu: b}]}",
            "m.yaml:7: spec.worker.env[0].valeu is no field of S3Sync; did you mean value?",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nworker: {tolerations: [{key: a, operator: Exists}], resources: {limits: {cpu: 1, memory: x}}}",
            "m.yaml:7: spec.worker.resources.limits.memory is \"x\", which does not match",
        ),
    ] {
        let errors = errors_of(spec);
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{spec}\n{errors:#?}");
    }
}

#[test]
fn the_meaning_of_a_spec_is_checked() {
    for (spec, expected) in [
        // source
        (
            "source: {uri: 's3://raw/a/', bucket: raw}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.bucket excludes uri: the uri names the bucket",
        ),
        (
            "source: {uri: 's3://raw/a.csv', include: ['*']}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.include excludes a uri that names one object; end the uri with / or leave include out",
        ),
        ("source: {prefix: a/}\ndestination: {bucket: lake, format: csv}", "m.yaml:5: spec.source needs bucket or uri"),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, uri: 's3://lake/o.csv', path: a/}",
            "m.yaml:6: spec.destination.path excludes uri: the uri names the key",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nworker: {concurrency: 0}",
            "m.yaml:7: spec.worker.concurrency is not valid: concurrency must be at least 1, or -1 for no cap",
        ),
        (
            "source: {bucket: raw, prefix: /a/}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.prefix begins with /, which few keys do; write a/, or uri: s3://raw//a/ where the keys really begin so",
        ),
        (
            "source: {bucket: raw, include: ['[a']}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.include[0] is not valid: \"[a\" is not a glob",
        ),
        (
            "source: {bucket: raw, include: []}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.include is empty",
        ),
        (
            "source: {bucket: 'ra w'}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.bucket has the bucket \"ra w\"",
        ),
        (
            "source: {bucket: raw, tables: {from: Pattern, pattern: '^a/([^/]+)/'}}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.tables.pattern is \"^a/([^/]+)/\", which has no group named table; write it like ^events/(?<table>[^/]+)/",
        ),
        (
            "source: {bucket: raw, tables: {from: Pattern, pattern: '('}}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.tables.pattern is no regular expression: unclosed group",
        ),
        (
            "source: {bucket: raw, tables: {from: Fixed, name: '--'}}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.tables.name is \"--\", which has no letter",
        ),
        (
            "source: {bucket: raw, csv: {quote: ','}}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.csv.quote is ',', as delimiter is; they must differ",
        ),
        (
            "source: {bucket: raw, format: tsv, csv: {comment: \"\\t\"}}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.csv.comment is '\\t', as delimiter is; they must differ",
        ),
        // schema
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nschema:\n  columns:\n  - name: a\n    type: string",
            "m.yaml:10: spec.schema.columns[0].type is \"string\", which is none of",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nschema: {drop: [a], columns: [{name: b, from: a}]}",
            "m.yaml:7: spec.schema.columns[0].from is \"a\", which drop leaves out; take it out of one of the two",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nschema: {mode: Declared, columns: [{name: b}]}",
            "m.yaml:7: spec.schema.columns[0].type is required with mode Declared",
        ),
        // destination
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, path: '{{TABEL}}/{{UUID}}', format: csv}",
            "m.yaml:6: spec.destination.path is not valid: the path template has an unknown placeholder {{TABEL}}; did you mean {{TABLE}}?",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, path: '{{TABLE}}.csv', format: csv}",
            "m.yaml:6: spec.destination.path is \"{{TABLE}}.csv\", which gives every run the same key, and writeMode Append never writes a key twice; add {{UUID}} or {file_id}, or set writeMode: Replace",
        ),
        (
            "source: {bucket: raw}\ndestination: {uri: 's3://lake/orders/'}",
            "m.yaml:6: spec.destination.format is required: no extension of a uri gives it; write csv, tsv, json, jsonl or parquet",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, path: o.csv, format: parquet, writeMode: Replace}",
            "m.yaml:6: spec.destination.path ends like csv, and format is parquet; end it in .{{FORMAT}}, or change format",
        ),
        (
            "source: {bucket: raw}\ndestination: {uri: 's3://lake/o.csv', format: parquet, writeMode: Replace}",
            "m.yaml:6: spec.destination.format is parquet, and the uri's extension says csv; leave format out, or change the uri's extension",
        ),
        (
            "source: {bucket: raw}\ndestination: {uri: 's3://lake/o.csv.gz', compression: zstd, writeMode: Replace}",
            "m.yaml:6: spec.destination.compression is zstd, and the uri's extension says gzip",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: jsonl, compression: snappy}",
            "m.yaml:6: spec.destination.compression is snappy, and jsonl takes none, gzip or zstd",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: parquet, compression: gzip, parquet: {level: 19}}",
            "m.yaml:6: spec.destination.parquet.level is 19, and gzip has the levels 1 to 9",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv, partitionBy: [{column: a}, {column: b, name: A}]}",
            "m.yaml:6: spec.destination.partitionBy[1] has the name \"A\", and an earlier partition has \"a\"; give one of them another name",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv, partitionBy: [{column: ts, transform: Year, name: ts}]}",
            "m.yaml:6: spec.destination.partitionBy[0] has the name \"ts\", and the column \"ts\" stays in the file; give the partition another name",
        ),
        (
            "source: {bucket: raw}\nschema: {columns: [{name: num, type: int64}]}\ndestination: {bucket: lake, format: csv, partitionBy: [{column: num, transform: Year}]}",
            "m.yaml:7: spec.destination.partitionBy[0].transform works on dates and timestamps, and the column \"num\" is int64",
        ),
        (
            "source: {bucket: raw}\nschema: {mode: Declared, columns: [{name: country, type: utf8}]}\ndestination: {bucket: lake, format: csv, partitionBy: [{column: contry}]}",
            "m.yaml:7: spec.destination.partitionBy[0].column is \"contry\", which schema.columns does not declare; did you mean country?",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv, object: {kmsKeyId: k, sse: AES256}}",
            "m.yaml:6: spec.destination.object.kmsKeyId needs sse: aws:kms or aws:kms:dsse",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv, object: {metadata: {Owner: me}}}",
            "m.yaml:6: spec.destination.object.metadata has the name \"Owner\", and a name has lower-case letters, digits, -, _ and . only",
        ),
        // its own source
        (
            "source: {bucket: data, prefix: raw/}\ndestination: {bucket: data, path: 'raw/out/{{UUID}}.{{FORMAT}}', format: csv}",
            "m.yaml:6: spec.destination would be its own source: output keys (raw/out/*.csv) can match what source selects in bucket \"data\", such as \"raw/out/a.csv\"; write under another prefix, or leave those keys out by source.exclude",
        ),
        (
            "source: {bucket: data}\ndestination: {bucket: data, path: 'out/{{UUID}}.{{FORMAT}}', format: csv}\nerrors: {deadLetterPath: bad}",
            "m.yaml:7: spec.errors.deadLetterPath would be its own source",
        ),
        // the rest
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nerrors: {maxBadRecords: 5}",
            "m.yaml:7: spec.errors.maxBadRecords needs deadLetterPath when it is above 0: the place where bad records are kept",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\ntimeZone: Etc/UTC",
            "m.yaml:7: spec.timeZone needs schedule",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nschedule: every hour",
            "m.yaml:7: spec.schedule is \"every hour\", which is no cron expression",
        ),
        (
            "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nstate: {prefix: a//b}",
            "m.yaml:7: spec.state.prefix is \"a//b\", which has an empty, . or .. segment; write a prefix such as quality/rejects",
        ),
        (
            "source: {bucket: raw, anonymous: true, profile: dev}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.anonymous excludes secretRef, profile and roleArn",
        ),
        (
            "source: {bucket: raw, externalId: abc}\ndestination: {bucket: lake, format: csv}",
            "m.yaml:5: spec.source.externalId needs roleArn",
        ),
    ] {
        let errors = errors_of(spec);
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{spec}\n{errors:#?}");
    }
}

/// What the schema finds hides nothing that only validation finds, and nothing is said that follows from it.
#[test]
fn everything_is_said_at_once() {
    let spec = "source: {bucket: raw, prefix: /a}\nschedule: 61 * * * *\ndestination: {bucket: lake, fromat: csv, path: 'x.{{FORMT}}'}\n\
                schema: {columns: [{name: a, type: string}]}\nworker: {replicas: 0}";
    let errors = errors_of(spec);
    for part in
        ["fromat", "prefix begins with /", "the minute is \"61\"", "{{FORMT}}", "did you mean utf8?", "replicas is 0"]
    {
        assert_eq!(errors.iter().filter(|error| error.contains(part)).count(), 1, "{part}: {errors:#?}");
    }
    assert_eq!(errors.len(), 6, "{errors:#?}");
}

/// Two fields that exclude or need each other: validation speaks of one, and the definition's rule stands at the other.
#[test]
fn a_fault_of_two_fields_is_said_once() {
    for source in [
        "csv: {delimiter: ';', quote: ';'}",
        "csv: {comment: '\"'}",
        "tables: {from: Fixed}",
        "tables: {from: Pattern}",
        "anonymous: true, profile: dev",
        "secretRef: {name: s}, profile: dev",
    ] {
        let errors =
            errors_of(&format!("source: {{bucket: raw, {source}}}\ndestination: {{bucket: lake, format: csv}}"));
        assert_eq!(errors.len(), 1, "{source}: {errors:#?}");
    }
}

#[test]
fn a_cron_field_is_named() {
    for (schedule, part) in [
        ("61 * * * *", "the minute is \"61\""),
        ("0 25 * * *", "the hour is \"25\""),
        ("0 0 32 * *", "the day of the month is \"32\""),
        ("0 0 * 13 *", "the month is \"13\""),
        ("0 0 * * x", "the day of the week is \"X\""),
        ("H(90-99) * * * *", "the minute is \"H(90-99)\""),
        ("* * * *", "it has 4 fields, not five (minute, hour, "),
        ("0 0 31 2 *", "a day that never comes"),
    ] {
        let errors = errors_of(&format!(
            "source: {{bucket: raw}}\ndestination: {{bucket: lake, format: csv}}\nschedule: '{schedule}'"
        ));
        assert!(
            errors.iter().any(|error| error.to_lowercase().contains(&part.to_lowercase())),
            "{schedule}: {errors:#?}"
        );
    }
}

#[test]
fn variables_outside_a_secret_are_no_text() {
    for (field, spec) in [
        ("source.bucket", "source: {bucket: '${B}'}\ndestination: {bucket: lake, format: csv}"),
        ("source.include[0]", "source: {bucket: raw, include: ['${B}/*']}\ndestination: {bucket: lake, format: csv}"),
        ("destination.uri", "source: {bucket: raw}\ndestination: {uri: 's3://${B}/x.csv', writeMode: Replace}"),
        ("destination.path", "source: {bucket: raw}\ndestination: {bucket: lake, format: csv, path: '${B}/'}"),
        ("state.prefix", "source: {bucket: raw}\ndestination: {bucket: lake, format: csv}\nstate: {prefix: '${B}'}"),
    ] {
        let errors = errors_of(spec);
        let expected = format!(
            "spec.{field} holds ${{B}}, and variables of the environment work in the stringData of a Secret only"
        );
        assert!(errors.len() == 1 && errors[0].contains(&expected), "{errors:#?}");
    }
    let null = "source: {bucket: raw, csv: {nullValues: ['${NULL}']}}\ndestination: {bucket: lake, format: csv}";
    assert_eq!(errors_of(null), Vec::<String>::new());
}
