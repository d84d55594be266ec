//! [`Histories`]: the past of all counters of a process that counts by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use headcount_wire::history::{History, Span};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::file::{Content, HistoryFile};
use super::recorder::Recorder;
use super::{HistoryRule, HistorySettings};
use crate::CounterName;

/// Time between two writes of the file: what a killed process loses at most.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// By how much the system's clock may run ahead of the monotonic one between two looks. More is a step of the clock, or a machine
/// that slept: of such a time nothing is known.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// The past of all counters of this process.
pub(crate) struct Histories {
    rule: HistoryRule,
    file: Option<HistoryFile>,
    counters: Mutex<HashMap<CounterName, Arc<CounterHistory>>>,
    /// Held while the file is written: why it last failed.
    saving: tokio::sync::Mutex<Option<String>>,
}

/// The past of one counter.
pub(crate) struct CounterHistory(Mutex<ClockedRecorder>);

/// A recorder that is told the time.
struct ClockedRecorder {
    recorder: Recorder,
    /// The last look at the clocks.
    looked: Clocks,
}

/// The system's clock in milliseconds since 1970, and the monotonic one.
#[derive(Clone, Copy)]
struct Clocks {
    system: u64,
    monotonic: Instant,
}

impl Clocks {
    fn now() -> Clocks {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clocks { system: since_1970.as_millis() as u64, monotonic: Instant::now() }
    }
}

impl CounterHistory {
    fn new(recorder: Recorder, now: Clocks) -> Arc<CounterHistory> {
        Arc::new(CounterHistory(Mutex::new(ClockedRecorder { recorder, looked: now })))
    }

    /// The count is this from now on.
    pub(crate) fn record(&self, count: u64) {
        let mut clocked = self.0.lock();
        let now = Clocks::now();
        clocked.advance(now);
        clocked.recorder.record(now.system, Some(count));
    }

    fn history(&self, name: &CounterName, span: Span, count: u64) -> History {
        let mut clocked = self.0.lock();
        clocked.advance(Clocks::now());
        clocked.recorder.history(name.as_str(), span, count)
    }

    fn changed(&self) -> u64 {
        self.0.lock().recorder.changed()
    }

    fn snapshot(&self, now: Clocks) -> Recorder {
        let mut clocked = self.0.lock();
        clocked.advance(now);
        clocked.recorder.clone()
    }
}

impl ClockedRecorder {
    fn advance(&mut self, now: Clocks) {
        let before = std::mem::replace(&mut self.looked, now);
        let passed = now.monotonic.saturating_duration_since(before.monotonic).as_millis() as u64;
        let known = before.system + passed;
        if now.system > known + CLOCK_SLACK.as_millis() as u64 {
            self.recorder.known_until(known, now.system);
        } else {
            self.recorder.advance(now.system);
        }
    }
}

impl Histories {
    /// Goes on with what a former process has handed over, and with what is in the file of other counters. Writes the file every
    /// minute until the token is cancelled. Must be called within a tokio runtime.
    pub(crate) fn start(
        settings: HistorySettings,
        former: Vec<(String, Recorder)>,
        end: CancellationToken,
    ) -> Arc<Histories> {
        let HistorySettings { rule, file } = settings;
        let now = Clocks::now();
        let mut counters = HashMap::new();
        if rule != HistoryRule::Off {
            let stored = file.as_ref().map(|file| file.content().clone()).unwrap_or_default();
            for (name, mut recorder) in stored.counters {
                let Ok(name) = CounterName::parse(&name) else { continue };
                recorder.known_until(stored.saved_at, now.system);
                // Nobody else counts: as long as nobody is here, it is zero.
                recorder.record(now.system, Some(0));
                counters.insert(name, CounterHistory::new(recorder, now));
            }
            for (name, recorder) in former {
                let Ok(name) = CounterName::parse(&name) else { continue };
                counters.insert(name, CounterHistory::new(recorder, now));
            }
        }
        let histories =
            Arc::new(Histories { rule, file, counters: Mutex::new(counters), saving: tokio::sync::Mutex::default() });
        let saved = Arc::clone(&histories);
        tokio::spawn(async move { end.run_until_cancelled(saved.run()).await });
        histories
    }

    /// The history of a counter that has become live. `None` if it has none.
    pub(crate) fn open(&self, name: &CounterName) -> Option<Arc<CounterHistory>> {
        let mut counters = self.counters.lock();
        if let Some(history) = counters.get(name) {
            return Some(Arc::clone(history));
        }
        let has_room = |others: usize| counters.keys().filter(|name| !self.rule.is_listed(name)).count() < others;
        if !self.rule.keeps(name, has_room) {
            return None;
        }
        let now = Clocks::now();
        let mut recorder = Recorder::new(now.system);
        recorder.record(now.system, Some(0));
        let history = CounterHistory::new(recorder, now);
        counters.insert(name.clone(), Arc::clone(&history));
        Some(history)
    }

    /// Called when all viewers of a former process are restored: those of counters that are not live here have left.
    pub(crate) fn restored(&self) {
        for history in self.counters.lock().values().filter(|history| Arc::strong_count(history) == 1) {
            history.record(0);
        }
    }

    /// The past of a counter whose count is this.
    pub(crate) fn history(&self, name: &CounterName, span: Span, count: u64) -> History {
        let history = self.counters.lock().get(name).cloned();
        match history {
            Some(history) => history.history(name, span, count),
            None => Recorder::new(Clocks::now().system).history(name.as_str(), span, count),
        }
    }

    /// What a new process goes on with.
    pub(crate) fn snapshot(&self) -> Vec<(String, Recorder)> {
        let now = Clocks::now();
        let counters = self.counters.lock();
        counters.iter().map(|(name, history)| (name.to_string(), history.snapshot(now))).collect()
    }

    async fn run(&self) {
        let mut ticks = tokio::time::interval(SAVE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.forget();
            self.save().await;
        }
    }

    /// Forgets counters that are not live and whose life is over.
    fn forget(&self) {
        let now = Clocks::now();
        self.counters.lock().retain(|name, history| {
            let unchanged = now.system.saturating_sub(history.changed());
            Arc::strong_count(history) > 1 || unchanged <= self.rule.life(name).as_millis() as u64
        });
    }

    /// Writes the file, if there is one. A failure is logged when its reason is new.
    pub(crate) async fn save(&self) {
        let Some(file) = self.file.clone().filter(|_| self.rule != HistoryRule::Off) else { return };
        let mut failure = self.saving.lock().await;
        let content = Content { saved_at: Clocks::now().system, counters: self.snapshot() };
        // Fails if the runtime ends.
        let Ok(saved) = tokio::task::spawn_blocking(move || file.save(&content)).await else { return };
        let before = std::mem::replace(&mut *failure, saved.err().map(|error| error.to_string()));
        match &*failure {
            Some(why) if before.as_ref() != Some(why) => tracing::error!("the history is not saved: {why}"),
            None if before.is_some() => tracing::info!("the history is saved again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn what_the_clock_leaps_over_is_unknown() {
        let begin = Clocks { system: 1_700_000_040_000, monotonic: Instant::now() };
        let mut recorder = Recorder::new(begin.system);
        recorder.record(begin.system, Some(3));
        let mut clocked = ClockedRecorder { recorder, looked: begin };
        let later = |minutes: u64, leapt: u64| Clocks {
            system: begin.system + (minutes + leapt) * MINUTE,
            monotonic: begin.monotonic + Duration::from_millis(minutes * MINUTE),
        };
        clocked.advance(later(2, 0));
        clocked.advance(later(4, 3));
        clocked.advance(later(5, 3));
        let points = clocked.recorder.history("online", Span::Hour, 3).points;
        let known: Vec<_> = points[60 - 10..].iter().map(Option::is_some).collect();
        assert_eq!(known, [false, true, true, true, true, false, false, false, true, false]);
    }
}
