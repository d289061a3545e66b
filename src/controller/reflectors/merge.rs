//! Watches of several namespaces as one: a store takes one stream, and begins anew with each of its lists.

use std::collections::{BTreeSet, VecDeque};

use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};

/// What a watch brings.
type Brought<K> = Result<Event<K>, watcher::Error>;

/// A namespace's watch.
pub type Watch<K> = BoxStream<'static, Brought<K>>;

/// One namespace's part of the store.
struct Part<K> {
    namespace: String,
    /// Names that the store has of it.
    known: BTreeSet<String>,
    /// What a list has brought so far.
    fresh: Vec<K>,
}

struct Merging<K: Resource<DynamicType = ()> + 'static> {
    watches: SelectAll<BoxStream<'static, (usize, Brought<K>)>>,
    parts: Vec<Part<K>>,
    store: Store<K>,
    /// What follows from a list, to be given on first.
    queue: VecDeque<Event<K>>,
    /// The namespace whose list stands in the store when the queue is empty.
    listed: Option<usize>,
}

/// One stream for a store: an empty list, and then changes. A namespace's list becomes the changes that it makes, and
/// once they are taken `listed` is told: one that cannot be listed does not hold up the others. `store` is what the
/// stream is kept in.
pub fn merge<K>(watches: Vec<(String, Watch<K>)>, store: Store<K>, listed: impl Fn(&str) + Send + 'static) -> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let parts = watches.iter().map(|(namespace, _)| Part {
        namespace: namespace.clone(),
        known: BTreeSet::new(),
        fresh: Vec::new(),
    });
    let parts = parts.collect();
    let watches = watches.into_iter().enumerate().map(|(n, (_, watch))| watch.map(move |event| (n, event)).boxed());
    let queue = VecDeque::from([Event::Init, Event::InitDone]);
    let merging = Merging { watches: stream::select_all(watches), parts, store, queue, listed: None };
    events(merging, listed).boxed()
}

fn events<K>(merging: Merging<K>, listed: impl Fn(&str) + Send + 'static) -> impl Stream<Item = Brought<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    stream::unfold((merging, listed), |(mut merging, listed)| async move {
        loop {
            if let Some(event) = merging.queue.pop_front() {
                return Some((Ok(event), (merging, listed)));
            }
            // Asked for the next, the store has taken all before it.
            if let Some(n) = merging.listed.take() {
                listed(&merging.parts[n].namespace);
            }
            let (n, event) = merging.watches.next().await?;
            match event {
                Ok(event) => merging.take(n, event),
                Err(error) => return Some((Err(error), (merging, listed))),
            }
        }
    })
}

impl<K: Resource<DynamicType = ()> + Clone> Merging<K> {
    fn take(&mut self, n: usize, event: Event<K>) {
        let part = &mut self.parts[n];
        match event {
            // A list that broke begins anew.
            Event::Init => part.fresh.clear(),
            Event::InitApply(object) => part.fresh.push(object),
            Event::InitDone => {
                let fresh = std::mem::take(&mut part.fresh);
                let names: BTreeSet<String> = fresh.iter().map(ResourceExt::name_any).collect();
                let gone = part.known.difference(&names).filter_map(|name| {
                    let gone = self.store.get(&ObjectRef::new(name).within(&part.namespace))?;
                    Some(Event::Delete((*gone).clone()))
                });
                self.queue.extend(gone);
                self.queue.extend(fresh.into_iter().map(Event::Apply));
                part.known = names;
                self.listed = Some(n);
            }
            Event::Apply(object) => {
                part.known.insert(object.name_any());
                self.queue.push_back(Event::Apply(object));
            }
            Event::Delete(object) => {
                part.known.remove(&object.name_any());
                self.queue.push_back(Event::Delete(object));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::{WatchStreamExt, reflector};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;

    fn map(namespace: &str, name: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}})).unwrap()
    }

    #[tokio::test]
    async fn several_watches_make_one_store() {
        let (store, writer) = reflector::store::<ConfigMap>();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (mut senders, mut watches) = (Vec::new(), Vec::new());
        for namespace in ["a", "b"] {
            let (sender, mut receiver) = mpsc::unbounded_channel();
            senders.push(sender);
            watches.push((namespace.to_owned(), stream::poll_fn(move |context| receiver.poll_recv(context)).boxed()));
        }
        let tells = Arc::clone(&told);
        let listed = move |namespace: &str| tells.lock().unwrap().push(namespace.to_owned());
        let mut events = merge(watches, store.clone(), listed).reflect(writer).boxed();
        let mut all = async |n: usize| {
            for _ in 0..n {
                events.next().await.unwrap().unwrap();
            }
            // Asked once more, so that what came is taken; nothing else is there.
            assert!(futures::poll!(events.next()).is_pending());
            let mut names: Vec<String> =
                store.state().iter().map(|map| format!("{}/{}", map.namespace().unwrap(), map.name_any())).collect();
            names.sort();
            (names.join(" "), told.lock().unwrap().concat())
        };
        let send = |n: usize, event: Event<ConfigMap>| senders[n].send(Ok(event)).unwrap();
        let list = |n: usize, names: &[&str]| {
            send(n, Event::Init);
            names.iter().for_each(|name| send(n, Event::InitApply(map(["a", "b"][n], name))));
            send(n, Event::InitDone);
        };
        // A store is there before the first namespace is: b may never be.
        assert_eq!(all(2).await, (String::new(), String::new()));
        list(0, &["x", "y"]);
        assert_eq!(all(2).await, ("a/x a/y".into(), "a".into()));
        list(1, &["x"]);
        send(0, Event::Apply(map("a", "z")));
        send(0, Event::Delete(map("a", "x")));
        assert_eq!(all(3).await, ("a/y a/z b/x".into(), "ab".into()));
        // A list of one namespace says nothing of the other, and forgets what it does not show.
        send(0, Event::Init);
        send(0, Event::InitApply(map("a", "half")));
        list(0, &["z"]);
        assert_eq!(all(2).await, ("a/z b/x".into(), "aba".into()));
    }
}
