//! Places under the caps on runs at once: whose turn it is. PURE.
//!
//! A place goes to the namespace that has fewest runs, and of those to the one whose last start is longest ago: a
//! hundred due resources of one namespace do not keep another's from running. Within a namespace, whoever looks first.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Runs at once; 0: no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// In all namespaces together.
    pub total: usize,
    /// In each.
    pub per_namespace: usize,
}

impl Caps {
    /// Whether there is none.
    pub fn none(self) -> bool {
        self == Caps::default()
    }
}

/// A namespace, as far as places go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Its unfinished runs.
    pub runs: usize,
    /// Whether one of its resources waits for a place.
    pub waits: bool,
    /// When it last got a place.
    pub started: Option<Instant>,
}

/// Whether a resource of this namespace may take a place now.
pub fn is_free(namespace: &str, shares: &BTreeMap<&str, Share>, caps: Caps) -> bool {
    let own = shares.get(namespace).copied().unwrap_or_default();
    let full = |share: &Share| caps.per_namespace != 0 && share.runs >= caps.per_namespace;
    if full(&own) {
        return false;
    }
    if caps.total == 0 {
        return true;
    }
    if shares.values().map(|share| share.runs).sum::<usize>() >= caps.total {
        return false;
    }
    let turn = |share: &Share| (share.runs, share.started);
    !shares.iter().any(|(name, other)| *name != namespace && other.waits && !full(other) && turn(other) < turn(&own))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_place_goes_to_whose_turn_it_is() {
        let now = Instant::now();
        let share = |runs, waits, ago: Option<u64>| Share {
            runs,
            waits,
            started: ago.map(|ago| now - Duration::from_secs(ago)),
        };
        let caps = |total, per_namespace| Caps { total, per_namespace };
        for (own, other, caps, free, what) in [
            (share(9, true, None), share(9, true, None), caps(0, 0), true, "no cap"),
            (share(2, true, None), share(0, true, None), caps(0, 2), false, "its own cap is reached"),
            (share(1, true, None), share(0, true, None), caps(0, 2), true, "its own cap is nobody else's business"),
            (share(1, true, None), share(1, false, None), caps(2, 0), false, "all places are taken"),
            (share(1, true, None), share(0, false, None), caps(2, 0), true, "nobody else waits"),
            (share(1, true, None), share(0, true, None), caps(2, 0), false, "the other has fewer"),
            (share(0, true, Some(1)), share(0, true, Some(9)), caps(1, 0), false, "the other has waited longer"),
            (share(0, true, Some(9)), share(0, true, Some(1)), caps(1, 0), true, "this one has waited longer"),
            (share(0, true, None), share(0, true, Some(99)), caps(1, 0), true, "this one never had any"),
            (share(1, true, None), share(0, true, None), caps(3, 1), false, "its own cap, with one for all"),
            (share(0, true, Some(1)), share(1, true, Some(9)), caps(3, 1), true, "the other waits for its own cap"),
        ] {
            let shares = BTreeMap::from([("own", own), ("other", other)]);
            assert_eq!(is_free("own", &shares, caps), free, "{what}");
        }
        assert!(is_free("new", &BTreeMap::new(), caps(1, 1)), "a namespace that nothing is known of");
    }
}
