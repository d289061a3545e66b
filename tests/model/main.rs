//! The run protocol against a simple reference: random histories of a source that changes, of processes that crash at any call, of several
//! workers and of two leaders at once; and in some of a forger who can write the bucket. After every step, and at the end, the invariants are asserted.
//!
//! A history follows from its seed alone. A failure prints the seed; `S3SYNC_MODEL_SEED=<seed> cargo test --test model` runs it again.

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

fn run(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| History::new(seed).run());
        if let Err(panic) = outcome {
            eprintln!("history {seed} broke: S3SYNC_MODEL_SEED={seed} cargo test --test model runs it again");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn random_histories_keep_the_invariants() {
    match std::env::var("S3SYNC_MODEL_SEED") {
        Ok(seed) => run(std::iter::once(seed.parse().expect("the seed is a number"))),
        Err(_) => run(0..HISTORIES),
    }
}
