//! The CPU pool: decoding and encoding run here, so that the threads of the async runtime are free to move bytes. What
//! takes less time than the way to it, as the rows of an object of some kilobytes do, stays where it is.

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};

/// Threads for computing, one for each core. Cheap to clone; clones share the threads.
#[derive(Clone, Debug)]
pub struct CpuPool {
    threads: Arc<ThreadPool>,
    jobs: Arc<Semaphore>,
}

impl CpuPool {
    /// Jobs that [`CpuPool::run`] admits for each thread: one that runs and one that waits, so that no thread idles
    /// between two jobs, and what waiting jobs hold in memory stays small.
    const JOBS_PER_THREAD: usize = 2;

    /// A pool of so many threads, at least one.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = threads.max(1);
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("cpu-{n}")).build()?;
        Ok(Self { threads: Arc::new(pool), jobs: Arc::new(Semaphore::new(threads * Self::JOBS_PER_THREAD)) })
    }

    /// A pool of a thread for each core that this process may use (`sched_getaffinity`, the cgroup's quota).
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn of_cores() -> Result<Self, ThreadPoolBuildError> {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Runs a job on the pool. Waits, without blocking, while the pool has all the jobs it admits. A job that has begun
    /// runs to its end even when the caller goes away.
    ///
    /// # Panics
    /// When the job does, with its payload.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let admitted = Arc::clone(&self.jobs).acquire_owned().await;
        let begun = self.begin(move || {
            let _admitted = admitted;
            job()
        });
        value_of(begun.outcome.await)
    }

    /// Begins a job on the pool, for threads of their own: [`Begun::wait`] blocks.
    pub fn begin<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
        let (done, outcome) = oneshot::channel();
        self.threads.spawn(move || {
            // Nobody waits any more: the outcome is dropped here.
            let _ = done.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)));
        });
        Begun { outcome }
    }

    /// Runs a job on the pool and blocks this thread until it is done: for threads of their own, never for those of the
    /// async runtime.
    pub fn install<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        self.threads.install(job)
    }
}

/// A job that was begun.
pub struct Begun<T> {
    outcome: oneshot::Receiver<std::thread::Result<T>>,
}

impl<T> Begun<T> {
    /// Its value. Blocks: never on a thread of the async runtime.
    ///
    /// # Panics
    /// When the job does, with its payload.
    pub fn wait(self) -> T {
        value_of(self.outcome.blocking_recv())
    }
}

fn value_of<T>(outcome: Result<std::thread::Result<T>, oneshot::error::RecvError>) -> T {
    match outcome {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => unreachable!("a job sends its outcome whatever happens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_give_their_values_and_their_panics() {
        let pool = CpuPool::new(2).unwrap();
        let sums = futures::future::join_all((0..64u64).map(|n| {
            let pool = pool.clone();
            async move { pool.run(move || (0..=n).sum::<u64>()).await }
        }))
        .await;
        assert_eq!(sums[10], 55);
        let panics = pool.clone();
        let outcome = tokio::spawn(async move { panics.run(|| panic!("in the job")).await }).await;
        assert!(outcome.unwrap_err().is_panic());
        assert_eq!(pool.run(|| 7).await, 7);
        let blocking = pool.clone();
        let waits = move || {
            assert_eq!(blocking.begin(|| 8).wait(), 8);
            let begun = blocking.begin(|| panic!("in the begun job"));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| begun.wait())).is_err());
        };
        tokio::task::spawn_blocking(waits).await.unwrap();
        assert_eq!(pool.jobs.available_permits(), 4);
    }
}
