//! Which resources name which S3Connections, so that a change of one is a look at those alone.
//!
//! Each look says what its resource names before it reads the connections, and a watch reads who names a connection
//! after it has changed: one of the two sees the other, and no change is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::controller::reflectors::expectations::Key;

/// Who names what.
#[derive(Debug, Default)]
pub struct Naming(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Names of connections, by the resource: at most two each.
    by_sync: BTreeMap<Key, BTreeSet<String>>,
    /// Names of resources, by the connection.
    by_connection: BTreeMap<Key, BTreeSet<String>>,
}

impl Known {
    fn set(&mut self, sync: &Key, connections: BTreeSet<String>) {
        let (namespace, name) = sync;
        let before = if connections.is_empty() {
            self.by_sync.remove(sync)
        } else {
            self.by_sync.insert(sync.clone(), connections.clone())
        };
        let before = before.unwrap_or_default();
        for gone in before.difference(&connections) {
            let key = (namespace.clone(), gone.clone());
            if let Some(names) = self.by_connection.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.by_connection.remove(&key);
                }
            }
        }
        for new in connections.difference(&before) {
            self.by_connection.entry((namespace.clone(), new.clone())).or_default().insert(name.clone());
        }
    }
}

impl Naming {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a resource names now.
    pub fn set<'a>(&self, sync: &Key, connections: impl Iterator<Item = &'a str>) {
        let connections: BTreeSet<String> = connections.map(str::to_owned).collect();
        let mut known = self.lock();
        // Most looks find nothing new, and most resources name nothing.
        let same = known.by_sync.get(sync).map_or(connections.is_empty(), |before| *before == connections);
        if !same {
            known.set(sync, connections);
        }
    }

    /// The resources that name a connection.
    pub fn of(&self, connection: &Key) -> Vec<Key> {
        let known = self.lock();
        known
            .by_connection
            .get(connection)
            .into_iter()
            .flatten()
            .map(|name| (connection.0.clone(), name.clone()))
            .collect()
    }

    /// Forgets all resources but these.
    pub fn keep(&self, alive: &BTreeSet<Key>) {
        let mut known = self.lock();
        let gone: Vec<Key> = known.by_sync.keys().filter(|sync| !alive.contains(*sync)).cloned().collect();
        gone.iter().for_each(|sync| known.set(sync, BTreeSet::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("data".into(), name.into())
    }

    #[test]
    fn a_connection_knows_who_names_it() {
        let naming = Naming::default();
        let of = |connection: &str| {
            naming.of(&key(connection)).into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" ")
        };
        naming.set(&key("orders"), ["minio", "aws"].into_iter());
        naming.set(&key("events"), ["minio", "minio"].into_iter());
        naming.set(&key("plain"), [].into_iter());
        assert_eq!((of("minio"), of("aws"), of("other")), ("events orders".into(), "orders".into(), String::new()));
        assert_eq!(naming.of(&("other".into(), "minio".into())), Vec::<Key>::new(), "another namespace's");
        naming.set(&key("orders"), ["aws", "other"].into_iter());
        assert_eq!((of("minio"), of("aws"), of("other")), ("events".into(), "orders".into(), "orders".into()));
        naming.keep(&BTreeSet::from([key("orders")]));
        assert_eq!((of("minio"), of("aws")), (String::new(), "orders".into()));
        naming.set(&key("orders"), [].into_iter());
        let known = naming.lock();
        assert_eq!((known.by_sync.len(), known.by_connection.len()), (0, 0), "nothing is left of what is gone");
    }
}
