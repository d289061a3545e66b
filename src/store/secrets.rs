//! The credentials in use in this process, so that no text shows one: what a server says (it was sent some of them),
//! the SDK's own lines in the log, an error of any kind. One list for all stores, because a log is one, too.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use crate::model::shown::{Secrets, shown};

static IN_USE: RwLock<Secrets> = RwLock::new(Secrets::new());

/// The least bytes of an access key id that is hidden: those of services are at least this long. A shorter one is a
/// name, such as minio, which hosts and buckets bear too.
const ID_BYTES_MIN: usize = 16;

/// How much of a server's own words a message keeps: a sentence or two, with room left for what to do.
pub const WORDS_BYTES_MAX: usize = 300;

/// No text shows this value from now on.
pub fn add(value: &str) {
    IN_USE.write().unwrap_or_else(PoisonError::into_inner).add(value);
}

/// No text shows this access key id from now on, unless it is a short name.
pub fn add_id(id: &str) {
    if id.len() >= ID_BYTES_MIN {
        add(id);
    }
}

/// What the environment may give to a worker, to the SDK and to proxies, and the SDK to a service that it asks for
/// credentials.
pub fn add_environment(env: &dyn Fn(&str) -> Option<String>) {
    for name in ["S3SYNC_STATE_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    {
        env(name).iter().for_each(|value| add(value));
    }
    env("AWS_ACCESS_KEY_ID").iter().for_each(|id| add_id(id));
    for name in ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] {
        // A token that cannot be read is not sent either.
        env(name).and_then(|file| std::fs::read_to_string(file).ok()).iter().for_each(|token| add(token));
    }
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let password = env(name).and_then(|url| Some(url.rsplit_once('@')?.0.rsplit_once(':')?.1.to_owned()));
        password.iter().for_each(|password| add(password));
    }
}

/// The text without credentials.
pub fn hide(text: &str) -> Cow<'_, str> {
    IN_USE.read().unwrap_or_else(PoisonError::into_inner).hide(text)
}

/// What others wrote as it may stand in a message: see [`shown`].
pub fn clean(text: &str, bytes_max: usize) -> String {
    shown(text, &IN_USE.read().unwrap_or_else(PoisonError::into_inner), bytes_max)
}

/// A server's own words.
pub fn words(text: &str) -> String {
    clean(text, WORDS_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_holds_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "projected-token-of-a-pod\n").unwrap();
        let values = [
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-environment".to_owned()),
            ("AWS_ACCESS_KEY_ID", "an-admin".to_owned()),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap().to_owned()),
            ("HTTPS_PROXY", "http://me:pass-of-a-proxy@proxy:3128".to_owned()),
        ];
        add_environment(&|name| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()));
        let said =
            "an-admin: secret-of-the-environment, projected-token-of-a-pod, http://me:pass-of-a-proxy@proxy:3128";
        assert_eq!(hide(said), "an-admin: ***, ***, http://me:***@proxy:3128");
        add_id("AKIAIOSFODNN7EXAMPLE");
        assert_eq!(words("no AKIAIOSFODNN7EXAMPLE"), "no ***");
    }
}
