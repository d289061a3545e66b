//! What a run asks of S3: a listing is paid by the page and an object by the request, so neither is asked for twice.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Proxy, Site, merge};

/// Objects that a schema is sampled from.
const SAMPLED_MAX: usize = 3;

/// A site whose source is read through a door that counts.
struct Counted {
    site: Site,
    proxy: Proxy,
}

impl Counted {
    fn new(spec: Value) -> Counted {
        let site = Site::minio();
        let proxy = Proxy::new(&std::env::var("S3SYNC_TEST_ENDPOINT").expect("set by tests/run"), None);
        site.only(merge(json!({"source": {"endpoint": proxy.endpoint}, "destination": {"format": "parquet"}}), spec));
        Counted { site, proxy }
    }

    /// Runs once. Gives the pages of listings that were asked for, and GETs by object.
    fn run(&self) -> (usize, BTreeMap<String, usize>) {
        let before = self.proxy.requests().len();
        self.site.run_ok();
        let (mut pages, mut gets) = (0, BTreeMap::new());
        for request in &self.proxy.requests()[before..] {
            let target = request.strip_prefix("GET ").unwrap_or_else(|| panic!("the source is only read: {request}"));
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            if query.contains("list-type=2") {
                pages += 1;
            } else {
                *gets.entry(path.to_owned()).or_default() += 1;
            }
        }
        (pages, gets)
    }
}

fn fill(site: &Site, objects: std::ops::Range<u32>) {
    for object in objects {
        site.put(&format!("events/{object:03}.jsonl"), format!("{{\"id\":{object}}}\n"));
    }
}

#[test]
fn a_run_lists_once_and_asks_for_each_object_once() {
    let counted = Counted::new(json!({}));
    fill(&counted.site, 0..40);
    let (pages, gets) = counted.run();
    assert_eq!((pages, gets.len()), (1, 40), "one pass over the listing");
    let twice = gets.values().filter(|count| **count > 1).count();
    assert!(
        twice <= SAMPLED_MAX && gets.values().all(|count| *count <= 2),
        "only what was sampled is read again: {gets:?}"
    );

    let (pages, gets) = counted.run();
    assert_eq!((pages, gets.len()), (1, 0), "nothing new: one listing and no object");

    fill(&counted.site, 40..45);
    let (pages, gets) = counted.run();
    assert_eq!((pages, gets.len()), (1, 5), "what is new, by one listing");
}

#[test]
fn a_run_in_several_epochs_goes_on_where_its_listing_stopped() {
    let counted = Counted::new(json!({"limits": {"objectsPerCommit": 15}}));
    fill(&counted.site, 0..40);
    let (pages, gets) = counted.run();
    assert_eq!((pages, gets.len()), (4, 40), "a page for each of 15, 15 and 10 objects, and a last look");
    assert_eq!(counted.site.sql("", "select count(*), count(distinct id) from read_parquet(FILES)"), json!([[40, 40]]));
}

#[test]
fn replace_lists_to_compare_and_to_take() {
    let counted = Counted::new(json!({"destination": {"writeMode": "Replace"}}));
    fill(&counted.site, 0..10);
    assert_eq!(counted.run().0, 1, "nothing stands there to compare with");
    let (pages, gets) = counted.run();
    assert_eq!((pages, gets.len()), (1, 0), "nothing changed");
    fill(&counted.site, 10..11);
    assert_eq!(counted.run().0, 2);
}
