//! S3Connections beside the syncs that name them.

use super::*;

const NAMED: &str = "source:\n  bucket: raw\n  connectionRef: {name: minio}\ndestination:\n  bucket: lake\n  format: parquet\n  connectionRef: {name: minio}\n";
const WRITTEN: &str = "source: {bucket: raw, endpoint: 'http://minio:9000', secretRef: {name: s3}}\ndestination: {bucket: lake, format: parquet, endpoint: 'http://minio:9000', secretRef: {name: s3}}\n";
const KEYS: &str = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s3, namespace: data}\nstringData: {AWS_ACCESS_KEY_ID: a, AWS_SECRET_ACCESS_KEY: b}\n";

fn minio(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: s3sync.dev/v1alpha1\nkind: S3Connection\nmetadata: {{name: minio, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn good() -> String {
    minio("data", "{endpoint: 'http://minio:9000', secretRef: {name: s3}}")
}

fn errors(texts: &[Text]) -> Vec<String> {
    check_all(texts).map(|_| ()).unwrap_err().iter().map(ToString::to_string).collect()
}

/// Whatever the order of files and documents, and whatever else there is.
#[test]
fn a_sync_sees_through_to_what_its_connections_say() {
    let env = |_: &str| None;
    let written = check_all(&[text("m.yaml", &(manifest(WRITTEN) + KEYS))]).unwrap().connect(&env).unwrap();
    let unused = good().replace("minio", "another");
    for texts in [
        [text("a.yaml", &good()), text("m.yaml", &(manifest(NAMED) + KEYS))],
        [text("m.yaml", &(manifest(NAMED) + KEYS)), text("z.yaml", &format!("{unused}---\n{}", good()))],
        [text("m.yaml", &format!("{}---\n{}{KEYS}", manifest(NAMED), good())), text("z.yaml", "a: 1")],
    ] {
        let manifests = check_all(&texts).unwrap();
        let named = manifests.connect(&env).unwrap();
        assert_eq!(named[0].settings, written[0].settings);
        for (named, written) in
            [(&named[0].source, &written[0].source), (&named[0].destination, &written[0].destination)]
        {
            assert_eq!(format!("{named:?}"), format!("{written:?}"));
        }
        assert_eq!(SpecHash::of(&named[0].settings), SpecHash::of(&written[0].settings));
    }
}

#[test]
fn a_connection_that_is_not_there_is_said_with_file_and_line() {
    let missing = "spec.source.connectionRef names the S3Connection \"minio\", which is";
    for (beside, part) in [
        (String::new(), "in none of the files; add its document, or write endpoint and secretRef here"),
        (minio("other", "{}"), "in the namespace other (c.yaml:1) and not in data; give both the same namespace"),
        (minio("data", "{regoin: x}"), "not valid (c.yaml:1)"),
    ] {
        let texts = [text("m.yaml", &(manifest(NAMED) + KEYS)), text("c.yaml", &beside)];
        let all = errors(&texts);
        assert_eq!(all[0], format!("m.yaml:7: data/orders: {missing} {part}"));
        assert!(all[1].starts_with("m.yaml:11: data/orders: spec.destination.connectionRef"), "{all:?}");
    }
    // What else is wrong is said with it, and nothing that only seems to follow.
    let wrong = NAMED
        .replace("format: parquet", "format: parquet\n  path: '{{TABEL}}/'")
        .replace("bucket: lake", "bucket: raw");
    let all = errors(&[text("m.yaml", &manifest(&wrong))]);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all.iter().any(|error| error.contains("{{TABEL}}")), "{all:?}");
}

#[test]
fn what_is_wrong_with_a_connection_is_said_of_it() {
    for (spec, expected) in [
        ("{regoin: eu-west-1}", "spec.regoin is no field of S3Connection; did you mean region?"),
        ("{profile: dev}", "spec.profile is no field of S3Connection; the fields of spec are"),
        ("{connectionRef: {name: a}}", "spec.connectionRef is no field of S3Connection; the fields of spec are"),
        ("{endpoint: 'minio:9000'}", "spec.endpoint is \"minio:9000\", which is not like http://minio.minio:9000"),
        (
            "{endpoint: 'file:./data'}",
            "spec.endpoint is \"file:./data\", and a directory is an endpoint of a sync itself",
        ),
        ("{endpoint: '${ENDPOINT}'}", "spec.endpoint holds ${ENDPOINT}, and variables"),
        ("{externalId: abc}", "spec.externalId needs roleArn"),
        ("{anonymous: true, secretRef: {name: a}}", "spec.anonymous excludes secretRef"),
        ("{secretRef: {}}", "spec.secretRef.name is required"),
    ] {
        let all = errors(&[text("m.yaml", &manifest(MINIMAL)), text("c.yaml", &minio("data", spec))]);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].starts_with(&format!("c.yaml:4: S3Connection data/minio: {expected}")), "{all:?}");
    }
    let twice = errors(&[text("m.yaml", &manifest(NAMED)), text("c.yaml", &format!("{}---\n{}", good(), good()))]);
    assert_eq!(
        twice,
        ["c.yaml:6: S3Connection data/minio: is defined already at c.yaml:1; give one of them another name"]
    );
    let old = errors(&[text("c.yaml", &good().replace("v1alpha1", "v1"))]);
    assert_eq!(old, ["c.yaml:1: apiVersion is \"s3sync.dev/v1\", and this build knows s3sync.dev/v1alpha1"]);
    let near = errors(&[text("c.yaml", &good().replace("S3Connection", "S3Conection"))]);
    assert_eq!(near, ["c.yaml:1: kind is \"S3Conection\", which is no kind of s3sync.dev; write S3Connection"]);
    // Far longer names than a sync's.
    let long = good().replace("name: minio", &format!("name: {}.example.com", "x".repeat(60)));
    assert!(check_all(&[text("c.yaml", &long)]).is_ok());
}

#[test]
fn a_field_beside_a_connection_is_said_once() {
    let both = NAMED.replace("bucket: raw\n", "bucket: raw\n  region: eu-west-1\n  endpoint: http://x\n");
    let all = errors(&[text("m.yaml", &manifest(&both)), text("c.yaml", &good())]);
    let expected = "spec.source.connectionRef excludes endpoint, region: the S3Connection says how this side is reached; leave out one or the other";
    assert_eq!(all, [format!("m.yaml:9: data/orders: {expected}")]);
}

/// Where the Secret is not there either, which of the two named it.
#[test]
fn a_secret_that_a_connection_names_is_said_with_it() {
    let texts = [text("m.yaml", &manifest(NAMED)), text("c.yaml", &good())];
    let missing = check_all(&texts).unwrap().connect(&|_| None).unwrap_err();
    let expected = "m.yaml:7: data/orders: spec.source.connectionRef names the S3Connection \"minio\", whose secretRef names the Secret \"s3\", which is in \
                    none of the files; add a Secret document, or leave the field out to use the default credential chain";
    assert_eq!((missing[0].kind, missing[0].to_string().as_str()), (ManifestErrorKind::Secret, expected));
}

/// Connections alone can be checked, and are nothing to run.
#[test]
fn connections_alone_are_valid_and_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yaml");
    std::fs::write(&file, good()).unwrap();
    let files = [file];
    let manifests = check(&files).unwrap();
    assert_eq!(
        (manifests.syncs.len(), manifests.connections.len(), manifests.connections[0].name.as_str()),
        (0, 1, "minio")
    );
    assert!(load(&files, &|_| None).unwrap_err()[0].message.starts_with("no S3Sync in "));
}
