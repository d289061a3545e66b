//! `s3://bucket/key`.

use crate::api::error::shown;

/// A uri in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// What follows the bucket's `/`; empty for the whole bucket.
    pub key: &'a str,
}

/// Splits a uri. Nothing is decoded: a key may hold `%`, `?` and `#`. What other tools put there that is no key
/// (parameters, a user, the name of a format) is refused, and no value of it is said: it would become a part of every
/// key, credentials too.
pub fn parse(text: &str) -> Result<Uri<'_>, String> {
    let Some(rest) = text.strip_prefix("s3://") else {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        return Err(match scheme {
            Some(scheme) => {
                format!(
                    "begins with {scheme}://, and only s3:// is known; other services are reached by s3:// with an endpoint"
                )
            }
            None => "does not begin with s3://".to_owned(),
        });
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    bucket_name(bucket)?;
    no_parameters(key)?;
    if let Some((_, hint)) = key.rsplit_once('#')
        && FORMAT_HINTS.contains(&hint)
    {
        return Err(format!("ends in #{hint}, which would be a part of the key; set format instead"));
    }
    Ok(Uri { bucket, key })
}

/// What ingestr's users write after `#` to name a format.
const FORMAT_HINTS: [&str; 5] = ["csv", "csv_headless", "json", "jsonl", "parquet"];

/// Refuses a `?` or `&` that a parameter's name and `=` follow.
pub fn no_parameters(key: &str) -> Result<(), String> {
    let is_parameter = |rest: &str| {
        let name = rest.split('=').next().filter(|name| name.len() < rest.len()).unwrap_or_default();
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    if key.match_indices('?').any(|(at, _)| is_parameter(&key[at + 1..])) {
        return Err(
            "has parameters after ?, which would become a part of the key: write access keys into a Secret that secretRef names, a \
                    server into endpoint, a region into region; a glob in which a name and = follow ? goes into source.include"
                .to_owned(),
        );
    }
    Ok(())
}

/// Names of parameters that hold credentials. As a part of a key they are a mistake, whatever stands before them.
const CREDENTIALS: [&str; 5] =
    ["access_key_id=", "secret_access_key=", "session_token=", "x-amz-signature=", "x-amz-credential="];

/// Refuses what would put credentials into keys, or asks for keys that hold some. No value is said.
pub fn no_credentials(text: &str) -> Result<(), String> {
    let lower = text.to_ascii_lowercase();
    match CREDENTIALS.iter().find(|name| lower.contains(**name)) {
        Some(name) => Err(format!(
            "holds {name}, and keys are no place for credentials: write them into a Secret that secretRef names"
        )),
        None => Ok(()),
    }
}

/// Checks what every S3 service demands of a bucket's name; the service itself says the rest. An access point's ARN is
/// a name too.
pub fn bucket_name(name: &str) -> Result<(), String> {
    if name.starts_with("arn:") {
        return Ok(());
    }
    if name.is_empty() {
        return Err("names no bucket".to_owned());
    }
    if name.contains([':', '@', '?']) {
        return Err(
            "has :, @ or ? before its first /, and a bucket's name has none: write access keys into a Secret that secretRef names, and \
                    a server into endpoint"
                .to_owned(),
        );
    }
    let wrong = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')));
    match wrong {
        Some(wrong) => Err(format!("has the bucket {}, and a bucket's name has no {wrong:?}", shown(name))),
        None if matches!(name, "." | "..") => Err(format!("has the bucket {name:?}, which is no name")),
        None => Ok(()),
    }
}

/// Whether a key holds what makes it a glob.
pub fn is_glob(key: &str) -> bool {
    key.contains(['*', '?', '[', '{', '\\'])
}

/// A glob that matches exactly this key.
pub fn literal_glob(key: &str) -> String {
    let mut glob = String::with_capacity(key.len());
    for c in key.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | ',') {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}

/// The directories of a key that hold no wildcard: `logs/` of `logs/2*/x.csv`, `a/` of `a/b.csv`.
pub fn literal_directory(key: &str) -> &str {
    let literal = &key[..key.find(['*', '?', '[', '{', '\\']).unwrap_or(key.len())];
    &literal[..literal.rfind('/').map_or(0, |slash| slash + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        for (text, expected) in [
            ("s3://raw/events/", Ok(("raw", "events/"))),
            ("s3://raw", Ok(("raw", ""))),
            ("s3://raw/", Ok(("raw", ""))),
            ("s3://my.bucket_1/a b/c?d#e%20.csv", Ok(("my.bucket_1", "a b/c?d#e%20.csv"))),
            ("s3:///key", Err("names no bucket")),
            ("gs://b/k", Err("gs://")),
            ("raw/events", Err("does not begin")),
            ("s3://ra w/k", Err("' '")),
            ("s3://../k", Err("no name")),
            ("s3://raw/dt=2024-0?/h=1/??.csv", Ok(("raw", "dt=2024-0?/h=1/??.csv"))),
            ("s3://raw/a#1.csv", Ok(("raw", "a#1.csv"))),
            ("s3://raw/x/?access_key_id=hunter2&secret_access_key=hunter2", Err("parameters after ?")),
            ("s3://raw?region=hunter2", Err("before its first /")),
            ("s3://raw/a.csv?versionId=hunter2", Err("secretRef")),
            ("s3://AKIA:hunter2@raw/a.csv", Err("before its first /")),
            ("s3://AKIA:hun/ter2@raw/a.csv", Err("before its first /")),
            ("s3://raw/a.csv#csv_headless", Err("set format instead")),
        ] {
            match (parse(text), expected) {
                (Ok(uri), Ok(parts)) => assert_eq!((uri.bucket, uri.key), parts, "{text}"),
                (Err(message), Err(part)) => {
                    assert!(message.contains(part) && !message.contains("hun"), "{text}: {message}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn literal_parts() {
        for (key, directory) in
            [("a/b.csv", "a/"), ("logs/2*/x.csv", "logs/"), ("**/*.csv", ""), ("a.csv", ""), ("a/b{c/d,e}", "a/")]
        {
            assert_eq!(literal_directory(key), directory, "{key}");
        }
        assert_eq!(literal_glob("a[1]/{x}*?.csv"), r"a\[1\]/\{x\}\*\?.csv");
    }
}
