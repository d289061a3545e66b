//! What runs are asked for: windows, and reading once more.

use super::world::{Ran, World};
use crate::model::request::{Asked, Request, Window};
use crate::model::settings::OnOverwrite;
use crate::model::write_mode::WriteMode;
use crate::pipeline::error::RunErrorKind;
use crate::pipeline::planner::Why;
use crate::store::memory::Order;

fn keys(ran: &Ran) -> Vec<&str> {
    ran.epochs.iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn request(id: &str, from: &str, to: &str, reread: bool) -> Option<Request> {
    let window = Window { from_key: Some(from.into()), to_key: Some(to.into()), ..Window::default() };
    Some(Request { id: id.into(), asked: Asked { window, reread } })
}

/// Ten objects, `a/0.csv` to `a/9.csv`.
fn world(order: Order) -> World {
    let world = World::with(2, order, |settings| settings.limits.objects_per_commit = 2);
    for at in 0..10 {
        world.put(&format!("a/{at}.csv"), b"x");
    }
    world
}

#[test]
fn a_window_is_listed_from_its_beginning_to_its_end_and_the_rest_stays() {
    for order in [Order::Utf8, Order::Scattered] {
        let mut world = world(order);
        world.settings.limits.objects_per_commit = 100;
        world.request = request("one", "a/4.csv", "a/6.csv", false);
        let calls = world.faults.calls();
        assert_eq!(keys(&world.run().unwrap()), ["a/4.csv", "a/5.csv"]);
        if order == Order::Utf8 {
            // Pages of two: one of them, and the one that shows the end.
            assert!(world.faults.calls() - calls <= 2, "{} calls", world.faults.calls() - calls);
        }
        assert_eq!(keys(&world.run().unwrap()), [""; 0], "known by now");
        world.request = None;
        assert_eq!(
            keys(&world.run().unwrap()),
            ["a/0.csv", "a/1.csv", "a/2.csv", "a/3.csv", "a/6.csv", "a/7.csv", "a/8.csv", "a/9.csv"]
        );
    }
}

#[test]
fn what_is_read_once_more_is_read_once_under_one_request() {
    for order in [Order::Utf8, Order::Scattered] {
        let mut world = world(order);
        world.run().unwrap();
        world.request = request("one", "a/3.csv", "a/8.csv", true);
        let first = world.epoch().unwrap().expect("two of five");
        assert_eq!((first.tables[0].objects, first.listed_to.as_deref()), (2, Some("a/4.csv")));
        // An ordinary run comes between, and reads what is new.
        let asked = world.request.take();
        world.put("a/35.csv", b"new");
        assert_eq!(keys(&world.run().unwrap()), ["a/35.csv"]);
        world.request = asked;
        assert_eq!(keys(&world.run().unwrap()), ["a/5.csv", "a/6.csv", "a/7.csv"]);
        assert_eq!(keys(&world.run().unwrap()), [""; 0]);
        world.request = request("two", "a/3.csv", "a/5.csv", true);
        assert_eq!(keys(&world.run().unwrap()), ["a/3.csv", "a/35.csv", "a/4.csv"], "another request is due again");
    }
}

/// The source that is in force may lie outside of the window: it is there, and the next run would read it.
#[test]
fn two_sources_of_one_table_are_an_error_whatever_the_window() {
    for reread in [false, true] {
        let mut world = World::new(|_| {});
        world.put("a-b/1.csv", b"x");
        world.run().unwrap();
        world.put("a_b/1.csv", b"x");
        let without = world.run().map(drop).unwrap_err();
        assert!(without.message.contains("\"a-b/\" and \"a_b/\" are both named table \"a_b\""), "{without}");
        world.request = request("one", "a_b/", "a_b0", reread);
        let within = world.run().map(drop).unwrap_err();
        assert_eq!((within.kind, within.message), (without.kind, without.message));
    }
}

#[test]
fn overwrites_follow_the_rule_in_a_request_too() {
    for (rule, expected) in [(OnOverwrite::Reprocess, &["a/1.csv", "a/2.csv"][..]), (OnOverwrite::Ignore, &["a/2.csv"])]
    {
        let mut world = world(Order::Utf8);
        world.settings.incremental.on_overwrite = rule;
        world.run().unwrap();
        world.put("a/1.csv", b"y");
        world.request = request("one", "a/1.csv", "a/3.csv", true);
        assert_eq!(keys(&world.run().unwrap()), expected, "{rule:?}");
        // A version that was taken unread is not read again: it was not read.
        world.request = request("two", "a/1.csv", "a/3.csv", true);
        assert_eq!(keys(&world.run().unwrap()), expected, "{rule:?}");
    }
}

/// So that what cannot be read once more is known to be published: of Append, and of the version that is.
#[test]
fn what_is_read_once_more_is_noted() {
    for mode in [WriteMode::Append, WriteMode::Replace] {
        let mut world = World::new(|settings| settings.destination.write_mode = mode);
        for key in ["a/1.csv", "a/2.csv"] {
            world.put(key, b"x");
        }
        world.run().unwrap();
        world.put("a/2.csv", b"y");
        world.put("a/3.csv", b"new");
        world.request = Some(Request { id: "one".into(), asked: Asked { reread: true, ..Asked::default() } });
        assert_eq!(keys(&world.run().unwrap()), ["a/1.csv", "a/2.csv", "a/3.csv"]);
        let again: Vec<bool> = world.entries().iter().map(|entry| entry.again).collect();
        assert_eq!(again, [mode == WriteMode::Append, false, false], "{mode:?}");
    }
}

#[test]
fn a_dry_run_shows_what_a_request_would_read() {
    let mut world = world(Order::Utf8);
    world.run().unwrap();
    world.put("a/45.csv", b"new");
    world.request = request("one", "a/4.csv", "a/6.csv", true);
    let expected = |key: &str, why| (key.to_owned(), "a".to_owned(), why);
    let again = [expected("a/4.csv", Why::Again), expected("a/45.csv", Why::New), expected("a/5.csv", Why::Again)];
    assert_eq!(world.shown().unwrap(), again);
    world.epoch().unwrap().expect("two of three");
    assert_eq!(world.shown().unwrap().len(), 1, "what is left");
}

#[test]
fn a_window_of_replace_is_refused_and_its_rereading_is_everything() {
    let mut world = world(Order::Utf8);
    world.settings.destination.write_mode = WriteMode::Replace;
    world.run().unwrap();
    world.request = request("one", "a/4.csv", "a/6.csv", true);
    let refused = [world.run().map(drop).unwrap_err(), world.preview().map(drop).unwrap_err()];
    for error in refused {
        assert_eq!(error.kind, RunErrorKind::InvalidSpec);
        assert!(
            error.message.starts_with("data/orders: destination.writeMode Replace keeps what one run reads"),
            "{error}"
        );
    }
    world.request = Some(Request { id: "two".into(), asked: Asked { reread: true, ..Asked::default() } });
    assert_eq!(keys(&world.run().unwrap()).len(), 10);
    assert_eq!(keys(&world.run().unwrap()).len(), 0, "once");
}
