//! One random history.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use s3sync::model::request::{Asked, Request, Window};
use s3sync::model::server::Lack;
use s3sync::pipeline::error::RunErrorKind;
use s3sync::pipeline::run::{RunSummary, follow, lead};
use s3sync::store::ErrorKind;
use s3sync::store::faulty::{Call, Fault, Faults};
use s3sync::store::memory::{Behaviour, Conditions, MemoryStore};
use tokio_util::sync::CancellationToken;

use crate::forger::Forger;
use crate::reference::{check_always, check_end, visible_rows};
use crate::world::{World, settings};

/// Steps of a history before its end.
const STEPS: u64 = 6;

/// Numbers that follow from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish() % sides.max(1)
    }

    /// One of so many places.
    pub fn pick(&mut self, count: usize) -> usize {
        self.roll(count as u64) as usize
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// The source's people: they write, overwrite and remove objects, also while a run reads. Shared with the fault plans
/// of processes.
struct Source {
    store: MemoryStore,
    versions: u64,
    rows: BTreeMap<String, Vec<String>>,
    /// The key of every row that ever was.
    ever: BTreeMap<String, String>,
    /// Keys that changed since this was last emptied.
    touched: BTreeSet<String>,
}

impl Source {
    /// Changes one object.
    fn change(&mut self, dice: &mut Dice) {
        let key = format!("in/t{}/o{}.csv", dice.roll(2), dice.roll(5));
        self.touched.insert(key.clone());
        if dice.one_in(4) {
            self.store.remove(&key);
            self.rows.remove(&key);
            return;
        }
        self.versions += 1;
        let rows: Vec<String> = (0..dice.roll(4)).map(|row| format!("v{}r{row}", self.versions)).collect();
        // Sometimes a number, sometimes a float: the sample of one object does not fit the next.
        let value = |row: usize| if (self.versions + row as u64).is_multiple_of(5) { "1.5" } else { "7" };
        let lines: String = rows.iter().enumerate().map(|(at, id)| format!("{id},{}\n", value(at))).collect();
        let text = format!("id,n\n{lines}");
        if dice.one_in(3) {
            // An upload in parts that began long ago and ends now.
            let began = self.store.clock().now() - SignedDuration::from_hours(dice.roll(48) as i64);
            self.store.insert_dated(&key, text, began);
        } else {
            self.store.insert(&key, text);
        }
        self.ever.extend(rows.iter().map(|row| (row.clone(), key.clone())));
        self.rows.insert(key, rows);
    }

    fn current(&self) -> BTreeSet<String> {
        self.rows.values().flatten().cloned().collect()
    }
}

pub struct History {
    dice: Dice,
    world: World,
    source: Arc<Mutex<Source>>,
    forger: Option<Arc<Mutex<Forger>>>,
    last_epoch: u64,
    /// What was asked to be read once more.
    asked: Vec<Window>,
    completed: u64,
}

impl History {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(1 << 20));
        let mut settings = settings();
        settings.limits.objects_per_commit = [100_000, 1, 2, 3][dice.roll(4) as usize];
        settings.destination.file_rows_max = NonZeroU64::new([0, 1, 2][dice.roll(3) as usize]);
        settings.worker.replicas = 1 + dice.roll(3) as u32;
        let behaviour = Behaviour {
            conditions: [Conditions::Honoured, Conditions::Honoured, Conditions::Ignored, Conditions::Refused]
                [dice.roll(4) as usize],
            keeps_metadata: !dice.one_in(4),
            staged_etags: true,
            lacks: Lack::ALL.into_iter().filter(|lack| dice.one_in(8) && *lack != Lack::Metadata).collect(),
            ..Behaviour::default()
        };
        let world = World::new(seed, settings, behaviour);
        let source = Source {
            store: world.source.clone(),
            versions: 0,
            rows: BTreeMap::new(),
            ever: BTreeMap::new(),
            touched: BTreeSet::new(),
        };
        let forger =
            dice.one_in(2).then(|| Arc::new(Mutex::new(Forger::new(&world.destination, &world.settings.state_prefix))));
        Self {
            dice,
            world,
            source: Arc::new(Mutex::new(source)),
            forger,
            last_epoch: 0,
            asked: Vec::new(),
            completed: 0,
        }
    }

    /// How many requests of this history were completed and looked at.
    pub fn run(mut self) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..STEPS {
                self.step().await;
                self.put_back();
                self.check_always().await;
            }
            self.end().await;
        });
        self.completed
    }

    /// Somebody mends what was forged.
    fn put_back(&self) {
        if let Some(forger) = &self.forger {
            let mut forger = forger.lock().expect("whole");
            forger.check_victim();
            forger.put_back();
        }
    }

    async fn check_always(&mut self) {
        let (source, asked) = (Arc::clone(&self.source), self.asked.clone());
        check_always(&self.world, &mut self.last_epoch, &|row| allowed(&source, &asked, row)).await;
    }

    async fn step(&mut self) {
        for _ in 0..self.dice.roll(4) {
            self.source.lock().expect("whole").change(&mut self.dice);
        }
        self.world.clock.advance(SignedDuration::from_mins(self.dice.roll(300) as i64));
        if let Some(forger) = &self.forger {
            for _ in 0..self.dice.roll(3) {
                forger.lock().expect("whole").act(&mut self.dice);
            }
        }
        match self.dice.roll(10) {
            8 | 9 => self.request().await,
            0 => {
                // A lifecycle rule takes old uploads, also ones that are decided on.
                let age = SignedDuration::from_hours(self.dice.roll(30) as i64);
                let expired = self.world.destination.expire_uploads(self.world.clock.now() - age);
                if let Some(forger) = &self.forger {
                    forger.lock().expect("whole").expired(&expired);
                }
            }
            1 | 2 => {
                let (left, right) = (self.faults(), self.faults());
                let (left, right) = (self.process(&left), self.process(&right));
                tokio::join!(left, right);
            }
            _ => {
                let faults = self.faults();
                self.process(&faults).await;
            }
        }
    }

    /// A run is asked for, and asked for again until it is complete; others run between. What it is about and nobody
    /// changed meanwhile is there once more than before, everything else as often as before.
    async fn request(&mut self) {
        let key = |dice: &mut Dice| format!("in/t{}/o{}.csv", dice.roll(2), dice.roll(5));
        let window = Window {
            from_key: self.dice.one_in(2).then(|| key(&mut self.dice)),
            to_key: self.dice.one_in(3).then(|| key(&mut self.dice)),
            modified_from: self
                .dice
                .one_in(6)
                .then(|| self.world.clock.now() - SignedDuration::from_mins(self.dice.roll(600) as i64)),
            modified_to: None,
        };
        let asked = Asked { window, reread: !self.dice.one_in(4) };
        if asked.check(&self.world.settings).is_err() {
            return;
        }
        // Nothing is under way that would count as read before it is visible.
        self.put_back();
        if self.process(&never()).await.is_some() {
            return;
        }
        let request = Request { id: format!("{:032x}", self.dice.roll(u64::MAX)), asked: asked.clone() };
        let before = visible_rows(&self.world);
        let objects = self.world.source.objects();
        self.source.lock().expect("whole").touched.clear();
        if asked.reread {
            self.asked.push(asked.window.clone());
        }
        let (mut done, mut others) = (false, false);
        for _ in 0..self.dice.roll(5) {
            if self.dice.one_in(3) {
                others = true;
                self.world.request = None;
                let faults = self.faults();
                self.process(&faults).await;
            }
            self.world.request = Some(request.clone());
            let (left, right) = (self.faults(), self.faults());
            let ended = match self.dice.one_in(4) {
                true => {
                    let (left, right) = tokio::join!(self.process(&left), self.process(&right));
                    left.is_none() || right.is_none()
                }
                false => self.process(&left).await.is_none(),
            };
            self.put_back();
            done |= ended;
            self.check_always().await;
        }
        self.world.request = Some(request);
        for _ in 0..5 {
            match self.process(&never()).await {
                None => done = true,
                Some(RunErrorKind::DecisionUnpublishable) => break,
                Some(kind) => assert_eq!(kind, RunErrorKind::Superseded, "a run without faults failed"),
            }
        }
        self.world.request = None;
        if !done {
            return;
        }
        let (source, after) = (self.source.lock().expect("whole"), visible_rows(&self.world));
        for object in objects.iter().filter(|object| !source.touched.contains(&object.key)) {
            for row in source.rows.get(&object.key).into_iter().flatten() {
                let count = |rows: &BTreeMap<String, u32>| rows.get(row).copied().unwrap_or(0);
                let (before, after) = (count(&before), count(&after));
                let right = match asked.window.holds(object) {
                    true if asked.reread => after == before + 1,
                    true => after == before.max(1),
                    false if others => after == before || after == before.max(1),
                    false => after == before,
                };
                assert!(
                    right,
                    "I1: row {row} of {} was there {before} times, and is {after} times after {asked:?}",
                    object.key
                );
            }
        }
        drop(source);
        self.completed += 1;
    }

    /// What happens to one process: a crash, a lost answer, a change of the source, at calls that the dice choose.
    fn faults(&mut self) -> Arc<Faults> {
        let crash = self.dice.roll(120);
        let after = self.dice.one_in(2);
        let crashes = !self.dice.one_in(4);
        let flaky = if self.dice.one_in(3) { 5 + self.dice.roll(40) } else { 0 };
        let change = if self.dice.one_in(2) { self.dice.roll(60) } else { u64::MAX };
        let source = Arc::clone(&self.source);
        // More often than the source changes: what a run has just written is what is worth forging.
        let forger = self.forger.clone().filter(|_| !self.dice.one_in(3));
        let forges = 5 + self.dice.roll(30);
        let dice = Mutex::new(Dice(self.dice.roll(u64::MAX)));
        Faults::new(move |call: &Call<'_>| {
            let mut dice = dice.lock().expect("whole");
            if call.number == change {
                source.lock().expect("whole").change(&mut dice);
            }
            if let Some(forger) = &forger
                && dice.one_in(forges)
            {
                forger.lock().expect("whole").act(&mut dice);
            }
            if crashes && call.number == crash {
                return if after { Fault::CrashAfter } else { Fault::CrashBefore };
            }
            if flaky > 0 && dice.one_in(flaky) {
                return match dice.roll(3) {
                    0 => Fault::Before(ErrorKind::Unavailable),
                    1 => Fault::After(ErrorKind::Unavailable),
                    _ => Fault::Break { after: 3, kind: ErrorKind::Unavailable },
                };
            }
            Fault::None
        })
    }

    /// Runs one process, all its workers, until it ends or crashes.
    async fn process(&self, faults: &Arc<Faults>) -> Option<RunErrorKind> {
        let cancel = CancellationToken::new();
        let workers = self.world.settings.worker.replicas;
        let followers: Vec<_> = (1..workers)
            .map(|index| {
                let context = self.world.worker(faults, index, workers, &cancel);
                tokio::spawn(async move { follow(&context).await })
            })
            .collect();
        let ended = lead(&self.world.worker(faults, 0, workers, &cancel), &mut RunSummary::default()).await;
        cancel.cancel();
        for follower in followers {
            // A follower of a crashed process fails as it likes.
            let _ = follower.await.expect("followers do not panic");
        }
        ended.err().map(|error| {
            let expected = matches!(
                error.kind,
                RunErrorKind::Failed
                    | RunErrorKind::CursorInvalid
                    | RunErrorKind::Superseded
                    | RunErrorKind::DecisionUnpublishable
                    | RunErrorKind::NotFound
                    | RunErrorKind::Claimed
            );
            // What the first run finds out about the server is read from objects that somebody may change meanwhile.
            let misled = self.forger.is_some()
                && error.kind == RunErrorKind::InvalidSpec
                && error.message.contains("the server of memory://lake");
            assert!(expected || misled, "an unexpected end: {error:?}");
            let names =
                error.kind != RunErrorKind::CursorInvalid || error.message.contains(&self.world.settings.state_prefix);
            assert!(names, "a run stops with the object named: {error:?}");
            if std::env::var_os("S3SYNC_MODEL_SEED").is_some() {
                eprintln!("a process ended: {error:?}");
            }
            error.kind
        })
    }

    /// Nothing goes wrong any more: runs end well.
    async fn end(&mut self) {
        // The first run may go on where a crashed one stopped, behind what has changed since; the second sees the whole
        // listing.
        let mut succeeded = 0;
        for _ in 0..5 {
            match self.process(&never()).await {
                None if succeeded == 1 => break,
                None => succeeded += 1,
                // The sources of a decided file are gone together with its upload: the protocol stops loudly, and
                // rightly.
                Some(RunErrorKind::DecisionUnpublishable) => return,
                Some(kind) => assert_eq!(kind, RunErrorKind::Superseded, "a run without faults failed"),
            }
        }
        self.check_always().await;
        let asked = self.asked.clone();
        let shared = Arc::clone(&self.source);
        let (current, ever) = {
            let source = self.source.lock().expect("whole");
            (source.current(), source.ever.keys().cloned().collect())
        };
        check_end(&self.world, &current, &ever, self.forger.is_some(), &|row| allowed(&shared, &asked, row));
    }
}

fn never() -> Arc<Faults> {
    Faults::new(|_: &Call<'_>| Fault::None)
}

/// How often a row may be visible: once, and once more for each request that may be about its object, of whatever
/// version.
fn allowed(source: &Mutex<Source>, asked: &[Window], row: &str) -> u32 {
    let source = source.lock().expect("whole");
    let Some(key) = source.ever.get(row) else { return 1 };
    let about = |window: &Window| window.from_key.as_ref().is_none_or(|from| key >= from) && !window.ends_before(key);
    1 + asked.iter().filter(|window| about(window)).count() as u32
}
