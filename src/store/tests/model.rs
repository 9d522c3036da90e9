//! The engine against a model of it that is too simple to be wrong.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use tempfile::TempDir;

use super::{
    Backend, Disk, Entry, Put, Range, Refusal, Snapshot, Stamp, Store, Write, WriteError, entry,
    everything, with_store, write_at_once,
};
use crate::store::Memory;

const SEQUENCES: u32 = 10_000;
const SEQUENCES_ON_DISK: u32 = 300;

#[test]
fn the_store_in_memory_does_what_the_model_does() {
    check(SEQUENCES, vec(step(), 0..25), |steps| {
        let mut model = Model::default();
        in_step(Memory::new(), &mut model, steps)
    });
}

#[test]
fn the_store_on_disk_does_what_the_model_does_over_restarts() {
    let between_restarts = vec(vec(step(), 0..12), 1..4);
    check(SEQUENCES_ON_DISK, between_restarts, |runs| {
        let directory = TempDir::new().unwrap();
        let mut model = Model::default();
        for steps in runs {
            in_step(Disk::open(directory.path()).unwrap(), &mut model, steps)?;
        }
        Ok(())
    });
}

/// Keys, prefixes and starts; few, so that they meet.
const TEXTS: [&str; 9] = ["", "a", "a b", "ab", "b", "!t/1", "!t/2", "!t/", "é"];

#[derive(Clone, Debug)]
enum Step {
    /// Writes that are sent at once.
    Write(Vec<Planned>),
    Get(&'static str),
    List(Range),
}

/// A write whose numbers are not known yet.
#[derive(Clone, Debug)]
enum Planned {
    Puts {
        puts: Vec<(&'static str, String, Number)>,
        epoch: Option<Number>,
    },
    Reset,
}

/// A version or an epoch: the current one, or any.
#[derive(Clone, Copy, Debug)]
enum Number {
    Current,
    Any(u64),
}

/// What the store must be like: one write after the other, each on the whole state.
#[derive(Debug, Default)]
struct Model {
    epoch: u64,
    revision: u64,
    rows: BTreeMap<String, (String, u64)>,
}

impl Model {
    fn version(&self, key: &str) -> u64 {
        self.rows.get(key).map_or(0, |(_, version)| *version)
    }

    fn plan(&self, planned: Planned) -> Write {
        let Planned::Puts { puts, epoch } = planned else {
            return Write::Reset { epoch: None };
        };
        let puts = puts
            .into_iter()
            .map(|(key, value, version)| Put::new(key, value, version.or(self.version(key))));
        Write::Puts {
            puts: puts.collect(),
            epoch: epoch.map(|epoch| epoch.or(self.epoch)),
        }
    }

    fn write(&mut self, write: &Write) -> Result<Stamp, Refusal> {
        let Write::Puts { puts, epoch } = write else {
            self.rows.clear();
            self.epoch += 1;
            self.revision += 1;
            return Ok(self.stamp());
        };
        for put in puts {
            if put.key.is_empty() {
                return Err(Refusal::EmptyKey);
            }
            if put.version == u64::MAX {
                return Err(Refusal::LastVersion(put.key.clone()));
            }
        }
        let twice = |put: &&Put| puts.iter().filter(|other| other.key == put.key).count() > 1;
        if let Some(key) = puts.iter().filter(twice).map(|put| &put.key).min() {
            return Err(Refusal::SameKey(key.clone()));
        }
        if epoch.is_some_and(|epoch| epoch != self.epoch) {
            let current = self.epoch;
            return Err(Refusal::Epoch { current });
        }
        let moved = puts
            .iter()
            .filter(|put| put.version != self.version(&put.key));
        let mut moved: Vec<_> = moved
            .map(|put| {
                let held = self.rows.get(&*put.key).cloned().unwrap_or_default();
                entry(&put.key, &held.0, held.1)
            })
            .collect();
        moved.sort_by(|one, other| one.key.cmp(&other.key));
        if !moved.is_empty() {
            return Err(Refusal::Version(moved));
        }
        for put in puts {
            let row = (put.value.to_string(), put.version + 1);
            self.rows.insert(put.key.to_string(), row);
        }
        self.revision += u64::from(!puts.is_empty());
        Ok(self.stamp())
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.epoch,
            revision: self.revision,
        }
    }

    fn list(&self, range: &Range) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self
            .rows
            .iter()
            .map(|(key, (value, version))| super::entry(key, value, *version))
            .filter(|entry| entry.key.starts_with(&*range.prefix) && entry.key >= range.start)
            .collect();
        entries.truncate(range.limit.unwrap_or(entries.len()));
        entries
    }
}

impl Number {
    fn or(self, current: u64) -> u64 {
        match self {
            Self::Current => current,
            Self::Any(number) => number,
        }
    }
}

fn check<S: Strategy>(sequences: u32, strategy: S, property: impl Fn(S::Value) -> TestCaseResult) {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(sequences)
    };
    if let Err(failure) = TestRunner::new(config).run(&strategy, property) {
        panic!("{failure}");
    }
}

/// Does `steps` in the store and in the model, and compares.
fn in_step<B: Backend>(backend: B, model: &mut Model, steps: Vec<Step>) -> TestCaseResult {
    let work = async |store: Store<B>| {
        let mut kept = Vec::new();
        for step in steps {
            match step {
                Step::Write(planned) => {
                    let mut expected = Vec::new();
                    let mut writes = Vec::new();
                    for planned in planned {
                        writes.push(model.plan(planned));
                        expected.push(model.write(&writes[writes.len() - 1]));
                    }
                    let answers = write_at_once(&store, writes).await;
                    for (answer, expected) in answers.into_iter().zip(expected) {
                        let answer = match answer {
                            Ok(stamp) => Ok(stamp),
                            Err(WriteError::Refused(refusal)) => Err(refusal),
                            Err(other) => return Err(TestCaseError::fail(other.to_string())),
                        };
                        prop_assert_eq!(answer, expected);
                    }
                }
                Step::Get(key) => {
                    let (read, stamp) = store.get(key).unwrap();
                    let expected = model.rows.get(key).cloned().unwrap_or_default();
                    prop_assert_eq!((read.value.to_string(), read.version), expected);
                    prop_assert_eq!(stamp, model.stamp());
                }
                Step::List(range) => {
                    let snapshot = store.snapshot();
                    prop_assert_eq!(snapshot.list(&range).unwrap(), model.list(&range));
                    prop_assert_eq!(snapshot.stamp(), model.stamp());
                    kept.push((snapshot, model.list(&Range::default())));
                }
            }
        }
        prop_assert_eq!(everything(&store.snapshot()), model.list(&Range::default()));
        prop_assert_eq!(store.snapshot().stamp(), model.stamp());
        for (snapshot, before) in kept {
            prop_assert_eq!(everything(&snapshot), before, "a snapshot has changed");
        }
        Ok(())
    };
    let (result, ended) = with_store(backend, work);
    ended.unwrap();
    result
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(planned(), 1..4).prop_map(Step::Write),
        2 => text().prop_map(Step::Get),
        2 => range().prop_map(Step::List),
    ]
}

fn planned() -> impl Strategy<Value = Planned> {
    let put = (text(), "[a ]{0,2}", number());
    let epoch = proptest::option::of(number());
    prop_oneof![
        12 => (vec(put, 0..4), epoch).prop_map(|(puts, epoch)| Planned::Puts { puts, epoch }),
        1 => Just(Planned::Reset),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        12 => Just(Number::Current),
        2 => (0_u64..4).prop_map(Number::Any),
        1 => Just(Number::Any(u64::MAX)),
    ]
}

fn range() -> impl Strategy<Value = Range> {
    let limit = proptest::option::of(0_usize..4);
    (text(), text(), limit).prop_map(|(prefix, start, limit)| Range {
        prefix: prefix.into(),
        start: start.into(),
        limit,
    })
}

fn text() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&TEXTS[..])
}
