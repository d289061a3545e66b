//! `s3://bucket/key`.

/// A uri in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// What follows the bucket's `/`; empty for the whole bucket.
    pub key: &'a str,
}

/// Splits a uri. Nothing is decoded: a key may hold `%`, `?` and `#`.
pub fn parse(text: &str) -> Result<Uri<'_>, String> {
    let Some(rest) = text.strip_prefix("s3://") else {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        return Err(match scheme {
            Some(scheme) => {
                format!("begins with {scheme}://, and only s3:// is known; other services are reached by s3:// with an endpoint")
            }
            None => "does not begin with s3://".to_owned(),
        });
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    bucket_name(bucket)?;
    Ok(Uri { bucket, key })
}

/// Checks what every S3 service demands of a bucket's name; the service itself says the rest. An access point's ARN is a name too.
pub fn bucket_name(name: &str) -> Result<(), String> {
    if name.starts_with("arn:") {
        return Ok(());
    }
    if name.is_empty() {
        return Err("names no bucket".to_owned());
    }
    let wrong = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')));
    match wrong {
        Some(wrong) => Err(format!("has the bucket {name:?}, and a bucket's name has no {wrong:?}")),
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
        ] {
            match (parse(text), expected) {
                (Ok(uri), Ok(parts)) => assert_eq!((uri.bucket, uri.key), parts, "{text}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn literal_parts() {
        for (key, directory) in [("a/b.csv", "a/"), ("logs/2*/x.csv", "logs/"), ("**/*.csv", ""), ("a.csv", ""), ("a/b{c/d,e}", "a/")] {
            assert_eq!(literal_directory(key), directory, "{key}");
        }
        assert_eq!(literal_glob("a[1]/{x}*?.csv"), r"a\[1\]/\{x\}\*\?.csv");
    }
}
