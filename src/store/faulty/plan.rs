//! Plans that tests compose.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Call, Fault, FaultPlan};

/// Nothing goes wrong.
pub fn never() -> impl FaultPlan {
    |_: &Call<'_>| Fault::None
}

/// `fault` at call `number`, counted from 0.
pub fn at(number: u64, fault: Fault) -> impl FaultPlan {
    move |call: &Call<'_>| if call.number == number { fault.clone() } else { Fault::None }
}

/// `fault` at every call of method `op`.
pub fn on(op: &'static str, fault: Fault) -> impl FaultPlan {
    move |call: &Call<'_>| if call.op == op { fault.clone() } else { Fault::None }
}

/// One of `faults` at one of `one_in` calls, by chance that follows from `seed` and the call's number alone: the same
/// seed gives the same faults. No faults, or `one_in` 0: nothing goes wrong.
pub fn random(seed: u64, one_in: u64, faults: Vec<Fault>) -> impl FaultPlan {
    move |call: &Call<'_>| {
        if one_in == 0 || faults.is_empty() {
            return Fault::None;
        }
        let mut hasher = DefaultHasher::new();
        (seed, call.number).hash(&mut hasher);
        let dice = hasher.finish();
        if dice.is_multiple_of(one_in) {
            let which = (dice / one_in) % faults.len() as u64;
            faults[which as usize].clone()
        } else {
            Fault::None
        }
    }
}
