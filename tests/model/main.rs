//! The run protocol against a simple reference: random histories of a source that changes, of processes that crash at
//! any call, of several workers and of two leaders at once; and in some of a forger who can write the bucket. After
//! every step, and at the end, the invariants are asserted.
//!
//! A history follows from its seed alone. A failure prints the seed; `S3SYNC_MODEL_SEED=<seed> cargo test --test model`
//! runs it again.

mod asked;
mod endings;
mod forger;
mod history;
mod reference;
mod servers;
mod upgrade;
mod world;

use history::History;

/// Histories of one run of the suite: some seconds of a core each thousand.
const HISTORIES: u64 = 2000;

/// Runs histories; gives how many requests were completed in them.
fn run(seeds: impl Iterator<Item = u64>) -> u64 {
    let mut completed = 0;
    for seed in seeds {
        match std::panic::catch_unwind(|| History::new(seed).run()) {
            Ok(requests) => completed += requests,
            Err(panic) => {
                eprintln!("history {seed} broke: S3SYNC_MODEL_SEED={seed} cargo test --test model runs it again");
                std::panic::resume_unwind(panic);
            }
        }
    }
    completed
}

#[test]
fn random_histories_keep_the_invariants() {
    match std::env::var("S3SYNC_MODEL_SEED") {
        Ok(seed) => drop(run(std::iter::once(seed.parse().expect("the seed is a number")))),
        Err(_) => assert!(run(0..HISTORIES) > HISTORIES / 4, "few requests were completed"),
    }
}
