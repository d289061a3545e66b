//! Listing, GET and HEAD.

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{Case, collect, kind};
use crate::model::object::Etag;
use crate::store::{Condition, ErrorKind};

pub(super) async fn lists_in_order(case: &Case) {
    // UTF-8 order is not the order of UTF-16 (U+FF5E, U+1D11E), nor that of directory entries (`a.b` and `a-b` come
    // before `a/`).
    let names = ["a-b", "a.b", "a/b", "a/c/d", "a/c0", "a0", "b", "Ä", "ä", "\u{ff5e}", "\u{1d11e}"];
    for name in names.iter().rev() {
        case.put(name, "x").await;
    }
    assert_eq!(case.names("", None).await, names, "a listing is in UTF-8 order of keys");
    assert_eq!(
        case.names("a", None).await,
        ["a-b", "a.b", "a/b", "a/c/d", "a/c0", "a0"],
        "a prefix may end inside a name"
    );
    assert_eq!(case.names("a/", None).await, ["a/b", "a/c/d", "a/c0"]);
    assert_eq!(case.names("a/c/d", None).await, ["a/c/d"], "a prefix may be a whole key");
    for nothing in ["zzz", "a/x/", "a.b/", "b/"] {
        assert!(case.names(nothing, None).await.is_empty(), "nothing lies under {nothing}");
    }
}

pub(super) async fn lists_pages(case: &Case) {
    let names: Vec<String> = (0..2_005).map(|number| format!("{number:05}")).collect();
    let puts = stream::iter(names.iter().map(|name| case.put(name, "x"))).buffer_unordered(16);
    puts.for_each(async |_| {}).await;
    let pages = case.pages("", None).await;
    assert!(pages.iter().all(|page| !page.is_empty() && page.len() <= 1_000), "pages hold 1 to 1,000 objects");
    let listed: Vec<String> = pages.into_iter().flatten().map(|object| object.key).collect();
    assert_eq!(listed, names.iter().map(|name| case.key(name)).collect::<Vec<_>>());
}

pub(super) async fn lists_odd_keys(case: &Case) {
    let mut names = ["a b", "a+b", "a%20b", "a%b", "a&b<c>\"d'", "a=b;c,d", "new\tline", "x/ü ß/ö", "~!@#$^*()[]{}|:?"];
    names.sort_unstable();
    for name in names {
        case.put(name, "odd").await;
    }
    assert_eq!(case.names("", None).await, names, "keys come back as they were written");
    for name in names {
        assert_eq!(case.read(name).await, "odd", "{name}");
        assert_eq!(case.names(name, None).await, [name], "{name} as a prefix");
    }
    assert_eq!(case.names("", Some(names[3])).await, names[4..], "after an odd key");
}

pub(super) async fn lists_after_a_key(case: &Case) {
    let names = ["a", "b/1", "b/2", "b0", "c"];
    for name in names {
        case.put(name, "x").await;
    }
    for (after, first) in
        [("a", 1), ("b", 1), ("b/", 1), ("b/1", 2), ("b/15", 2), ("b/2", 3), ("b/3", 3), ("b0", 4), ("c", 5), ("zz", 5)]
    {
        assert_eq!(case.names("", Some(after)).await, names[first..], "after {after}");
    }
    assert_eq!(case.names("b/", Some("a")).await, ["b/1", "b/2"], "after a key before the prefix");
    assert!(case.names("b/", Some("c")).await.is_empty(), "after a key behind the prefix");
}

pub(super) async fn gets_ranges(case: &Case) {
    let etag = case.put("digits", "0123456789").await;
    let whole = case.store.get(&case.key("digits"), None, None).await.expect("get");
    assert_eq!((&whole.etag, whole.size), (&etag, 10));
    assert_eq!(collect(whole).await, "0123456789");
    for (range, bytes) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (3..7, "3456"),
        (9..10, "9"),
        (7..99, "789"),
        (10..11, ""),
        (99..100, ""),
        (4..4, ""),
    ] {
        let body = case.store.get(&case.key("digits"), Some(range.clone()), Some(&etag)).await;
        let body = body.unwrap_or_else(|error| panic!("get {range:?}: {error}"));
        assert_eq!((&body.etag, body.size), (&etag, 10), "{range:?} says what the whole object is");
        assert_eq!(collect(body).await, bytes, "{range:?}");
    }
    case.put("empty", "").await;
    assert_eq!(case.read("empty").await, "");
    let cut = case.store.get(&case.key("empty"), Some(0..10), None).await.expect("get a range of nothing");
    assert_eq!(cut.size, 0);
    assert_eq!(collect(cut).await, "");

    let large: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    case.store.put(&case.key("large"), large.clone(), Condition::Any).await.expect("put");
    assert!(case.read("large").await == large, "a body of several chunks is whole");
    let middle = case.store.get(&case.key("large"), Some(1_000_001..2_500_003), None).await.expect("get");
    assert!(collect(middle).await == large[1_000_001..2_500_003], "a range of several chunks is whole");
}

pub(super) async fn gets_pinned_versions(case: &Case) {
    let first = case.put("key", "first").await;
    let body = case.store.get(&case.key("key"), None, Some(&first)).await.expect("the pinned version is there");
    assert_eq!(collect(body).await, "first");
    let second = case.put("key", "second").await;
    assert_ne!(first, second, "another version has another etag");
    assert_eq!(kind(case.store.get(&case.key("key"), None, Some(&first)).await), Err(ErrorKind::Changed));
    assert_eq!(kind(case.store.get(&case.key("key"), Some(0..2), Some(&first)).await), Err(ErrorKind::Changed));
    assert_eq!(case.pages("", None).await.concat()[0].etag, second, "the listing shows the version that stands there");
}

pub(super) async fn misses_what_is_not_there(case: &Case) {
    case.put("there/x", "x").await;
    for name in ["not", "there", "there/x/y", "not/there/at/all"] {
        let key = case.key(name);
        assert_eq!(kind(case.store.get(&key, None, None).await), Err(ErrorKind::NotFound), "get {name}");
        assert_eq!(
            kind(case.store.get(&key, Some(0..1), Some(&Etag::new("x"))).await),
            Err(ErrorKind::NotFound),
            "get pinned {name}"
        );
        assert_eq!(kind(case.store.head(&key).await), Err(ErrorKind::NotFound), "head {name}");
        assert_eq!(kind(case.store.delete(&key, None).await), Ok(()), "delete {name}");
    }
    let error = case.store.head(&case.key("not")).await.expect_err("nothing there").to_string();
    assert!(
        error.contains(&case.key("not")) && error.contains(case.store.place()),
        "an error names place and key: {error}"
    );
}
