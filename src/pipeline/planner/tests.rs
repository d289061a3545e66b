//! Plans over stores in memory, beside a naive reference: everything listed that no earlier epoch took.

mod asked;
mod rules;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::world::World;
use crate::model::settings::OnOverwrite;
use crate::store::memory::Order;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Put(String, u8),
    Remove(String),
    Run,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = "(a|a-x|b)/[a-e]{1,2}\\.csv";
    let step = prop_oneof![
        6 => (key, any::<u8>()).prop_map(|(key, content)| Step::Put(key, content % 3)),
        1 => key.prop_map(Step::Remove),
        2 => Just(Step::Run),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Invariant I1, as far as planning goes: whatever the limits, the pages and the order of the listing.
    #[test]
    fn every_version_that_a_run_sees_is_taken_once(
        steps in steps(),
        page_objects_max in 1usize..5,
        objects_per_commit in 1u64..6,
        scattered in any::<bool>(),
        on_overwrite in prop::sample::select(vec![OnOverwrite::Reprocess, OnOverwrite::Ignore]),
    ) {
        let order = if scattered { Order::Scattered } else { Order::Utf8 };
        let mut world = World::with(page_objects_max, order, |settings| {
            settings.limits.objects_per_commit = objects_per_commit;
            settings.incremental.on_overwrite = on_overwrite;
        });
        let mut accounted: BTreeMap<String, String> = BTreeMap::new();
        for step in steps.into_iter().chain([Step::Run]) {
            match step {
                Step::Put(key, content) => world.put(&key, &[content]),
                Step::Remove(key) => world.remove(&key),
                Step::Run => {
                    let mut expected = Vec::new();
                    for (key, etag) in world.listed() {
                        let known = accounted.insert(key.clone(), etag.clone());
                        let read = match known {
                            None => true,
                            Some(known) => known != etag && on_overwrite == OnOverwrite::Reprocess,
                        };
                        if read {
                            expected.push((key, etag));
                        }
                    }
                    let read = world.run().expect("a run");
                    prop_assert!(read.epochs.iter().all(|epoch| epoch.len() as u64 <= objects_per_commit));
                    let mut read: Vec<(String, String)> = read.epochs.concat();
                    read.sort();
                    prop_assert_eq!(read, expected);
                    prop_assert_eq!(world.ledger(), accounted.clone());
                    prop_assert_eq!(world.run().expect("nothing new").epochs.len(), 0);
                }
            }
        }
    }
}
