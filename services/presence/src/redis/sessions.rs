//! A node's sessions at one counter: what Redis may know of the node's viewers, as far as this node can tell.
//!
//! Everything that is sent is noted here first. Whoever has this, a new process as well, can repeat what has no answer
//! under its number, and so goes on without a gap and without counting anything twice.

use serde::{Deserialize, Serialize};

use super::scripts::{KnownClock, MAX_RECORDS, Phase, Report, Upkeep};
use crate::local_viewers::Changes;
use crate::viewer_id::ViewerId;
use crate::visitor::Visitor;

/// The sessions of one counter: usually one, or none if the node has no viewers of it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Sessions {
    /// The session that counts.
    pub(super) current: Option<Session>,
    /// The session that replaces it when it is complete.
    pub(super) incoming: Option<Incoming>,
    /// The session that is being ended. Redis may have ended it already.
    pub(super) ending: Option<Session>,
}

/// A session of this node at the counter.
#[derive(Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    /// Number of the last report that was answered.
    seq: u64,
    /// Viewers that are registered with it.
    pub(super) registered: usize,
    pub(super) unanswered: Option<Unanswered>,
}

/// A report that has no answer. Redis may have applied it or not, and may still receive it, so it is repeated under its
/// number until it is answered.
#[derive(Serialize, Deserialize)]
pub(super) struct Unanswered {
    pub(super) changes: Changes,
    upkeep: Upkeep,
    /// An attempt without an answer may have been applied.
    pub(super) may_be_applied: bool,
}

/// A session in which all viewers are being registered.
#[derive(Serialize, Deserialize)]
pub(super) struct Incoming {
    pub(super) session: Session,
    /// Viewers that are still to be registered.
    rest: Vec<(ViewerId, Visitor)>,
}

/// Which of the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Current,
    Incoming,
    Ending,
}

/// Whether a session is complete once its report is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    Last,
    Other,
}

impl Session {
    fn new(id: String) -> Session {
        Session { id, seq: 0, registered: 0, unanswered: None }
    }

    /// Notes a report that is about to be sent, unless there is one already.
    pub(super) fn begin(&mut self, report: impl FnOnce() -> (Changes, Upkeep)) {
        if self.unanswered.is_none() {
            let (changes, upkeep) = report();
            self.unanswered = Some(Unanswered { changes, upkeep, may_be_applied: false });
        }
    }

    fn report<'a>(&'a self, phase: Phase<'a>, last_reply: KnownClock) -> Option<Report<'a>> {
        let Unanswered { changes: Changes { joins, leaves }, upkeep, .. } = self.unanswered.as_ref()?;
        let (seq, expected) = self.after(phase)?;
        Some(Report { session: &self.id, seq, last_reply, expected, phase, joins, leaves, upkeep: *upkeep })
    }

    /// The number of the report that has no answer, and of the viewers that are registered after it.
    fn after(&self, phase: Phase<'_>) -> Option<(u64, usize)> {
        let Changes { joins, leaves } = &self.unanswered.as_ref()?.changes;
        let has_content = !joins.is_empty() || !leaves.is_empty() || phase != Phase::Same;
        Some((self.seq + u64::from(has_content), (self.registered + joins.len()).saturating_sub(leaves.len())))
    }
}

impl Incoming {
    pub(super) fn new(session: String, viewers: Vec<(ViewerId, Visitor)>) -> Incoming {
        Incoming { session: Session::new(session), rest: viewers }
    }

    /// Notes the report of the next viewers, unless there is one already. Returns whether it is the last.
    pub(super) fn begin_chunk(&mut self) -> Chunk {
        let rest = &mut self.rest;
        self.session.begin(|| {
            let joins = rest.split_off(rest.len().saturating_sub(MAX_RECORDS));
            (Changes { joins, leaves: Vec::new() }, Upkeep::None)
        });
        if self.rest.is_empty() { Chunk::Last } else { Chunk::Other }
    }
}

impl Sessions {
    /// The current session, the number of its last report and of its viewers, if there is no report without an answer and
    /// no other session.
    pub(super) fn quiet(&self) -> Option<(&str, u64, usize)> {
        let Sessions { current: Some(session), incoming: None, ending: None } = self else { return None };
        session.unanswered.is_none().then_some((&session.id, session.seq, session.registered))
    }

    /// The report of a session that has no answer.
    pub(super) fn report(&self, role: Role, last_reply: KnownClock) -> Option<Report<'_>> {
        self.get(role)?.report(self.phase(role), last_reply)
    }

    /// Called when that report is answered.
    pub(super) fn answered(&mut self, role: Role) {
        let after = self.get(role).and_then(|session| session.after(self.phase(role)));
        if let Some((session, (seq, registered))) = self.get_mut(role).zip(after) {
            (session.seq, session.registered) = (seq, registered);
            session.unanswered = None;
        }
    }

    /// The report of a session that has no answer, to note what became of an attempt.
    pub(super) fn unanswered(&mut self, role: Role) -> Option<&mut Unanswered> {
        self.get_mut(role)?.unanswered.as_mut()
    }

    /// The incoming session is live, and Redis has ended the current one. Returns that one.
    pub(super) fn complete(&mut self) -> Option<Session> {
        let incoming = self.incoming.take()?;
        self.current.replace(incoming.session)
    }

    /// Makes the next session the ending one, unless there is one already: when the counter is no longer live here.
    pub(super) fn end_next(&mut self) -> Option<&mut Session> {
        if self.ending.is_none() {
            let incoming = self.incoming.take().map(|incoming| incoming.session);
            let next = incoming.or_else(|| self.current.take());
            self.end(next);
        }
        self.ending.as_mut()
    }

    /// Makes this the ending session.
    pub(super) fn end(&mut self, session: Option<Session>) {
        // What is unanswered ends with the session.
        self.ending = session.map(|session| Session { unanswered: None, ..session });
    }

    /// Whether Redis knows none of them.
    pub(super) fn are_none(&self) -> bool {
        self.current.is_none() && self.incoming.is_none() && self.ending.is_none()
    }

    /// What a new process goes on with: calls that are in flight will not be answered.
    pub(super) fn handed_over(mut self) -> Sessions {
        for role in [Role::Current, Role::Incoming, Role::Ending] {
            if let Some(unanswered) = self.unanswered(role) {
                unanswered.may_be_applied = true;
            }
        }
        self
    }

    /// Makes the reports expect what Redis should have, where `sent` viewers were sent or noted as counting. If a viewer
    /// of the former process is missing, Redis then answers that it differs, and all viewers are registered again.
    pub(super) fn expect(&mut self, sent: usize) {
        let (session, rest) = match (&mut self.incoming, &mut self.current) {
            (Some(incoming), _) => (&mut incoming.session, incoming.rest.len()),
            (None, Some(session)) => (session, 0),
            (None, None) => return,
        };
        let (joins, leaves) =
            session.unanswered.as_ref().map_or((0, 0), |it| (it.changes.joins.len(), it.changes.leaves.len()));
        session.registered = (sent + leaves).saturating_sub(joins + rest);
    }

    /// What a report of the session does to it.
    fn phase(&self, role: Role) -> Phase<'_> {
        let is_complete = self.incoming.as_ref().is_some_and(|incoming| incoming.rest.is_empty());
        match role {
            Role::Current => Phase::Same,
            Role::Incoming if is_complete => {
                Phase::Live { old: self.current.as_ref().map_or("", |session| session.id.as_str()) }
            }
            Role::Incoming => Phase::Same,
            Role::Ending => Phase::Ended,
        }
    }

    fn get(&self, role: Role) -> Option<&Session> {
        match role {
            Role::Current => self.current.as_ref(),
            Role::Incoming => self.incoming.as_ref().map(|incoming| &incoming.session),
            Role::Ending => self.ending.as_ref(),
        }
    }

    fn get_mut(&mut self, role: Role) -> Option<&mut Session> {
        match role {
            Role::Current => self.current.as_mut(),
            Role::Incoming => self.incoming.as_mut().map(|incoming| &mut incoming.session),
            Role::Ending => self.ending.as_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewers(number: u64) -> Vec<(ViewerId, Visitor)> {
        (0..number).map(|number| (ViewerId(number), Visitor(number / 2))).collect()
    }

    /// What is sent next: the number, the joins, the leaves, the viewers after it and the phase.
    fn next(sessions: &Sessions, role: Role) -> (u64, usize, usize, usize, Phase<'_>) {
        let report = sessions.report(role, KnownClock::default()).unwrap();
        (report.seq, report.joins.len(), report.leaves.len(), report.expected, report.phase)
    }

    fn current(registered: usize) -> Sessions {
        let session = Session { seq: 7, registered, ..Session::new("old".to_owned()) };
        Sessions { current: Some(session), ..Sessions::default() }
    }

    fn next_process(sessions: Sessions) -> Sessions {
        rmp_serde::from_slice(&rmp_serde::to_vec(&sessions.handed_over()).unwrap()).unwrap()
    }

    #[test]
    fn a_registration_is_repeated_from_where_it_stopped() {
        let mut sessions = Sessions { incoming: Some(Incoming::new("new".to_owned(), viewers(2_500))), ..current(9) };
        let mut registered = Vec::new();
        let chunks = [
            (1, 1_000, 0, 1_000, Phase::Same),
            (2, 1_000, 0, 2_000, Phase::Same),
            (3, 500, 0, 2_500, Phase::Live { old: "old" }),
        ];
        for chunk in chunks {
            sessions.incoming.as_mut().unwrap().begin_chunk();
            assert_eq!(next(&sessions, Role::Incoming), chunk);
            // Whether the new process learns of the answer or not.
            sessions = next_process(sessions);
            let last = sessions.incoming.as_mut().unwrap().begin_chunk();
            assert_eq!((next(&sessions, Role::Incoming), last == Chunk::Last), (chunk, chunk.0 == 3));
            assert!(sessions.unanswered(Role::Incoming).unwrap().may_be_applied);
            registered.extend(sessions.unanswered(Role::Incoming).unwrap().changes.joins.clone());
            sessions.answered(Role::Incoming);
            sessions = next_process(sessions);
        }
        assert_eq!(sessions.complete().unwrap().id, "old");
        assert_eq!(sessions.current.as_ref().unwrap().id, "new");
        registered.sort_by_key(|(viewer, _)| viewer.0);
        assert_eq!(registered, viewers(2_500));
    }

    #[test]
    fn a_missing_viewer_makes_the_report_differ() {
        let changes = Changes { joins: viewers(5), leaves: vec![ViewerId(9)] };
        let mut sessions = current(100);
        sessions.current.as_mut().unwrap().begin(|| (changes, Upkeep::None));
        // All are here: Redis has 104 after the report, and two joins are not in it.
        let mut resumed = next_process(sessions);
        resumed.expect(106 - 2);
        assert_eq!(next(&resumed, Role::Current), (8, 5, 1, 104, Phase::Same));
        resumed.expect(105 - 2);
        assert_eq!(next(&resumed, Role::Current), (8, 5, 1, 103, Phase::Same));
        resumed.expect(0);
        assert_ne!(next(&resumed, Role::Current).3, 104);
    }

    #[test]
    fn all_sessions_of_a_closed_counter_end() {
        let mut sessions = Sessions { incoming: Some(Incoming::new("new".to_owned(), viewers(3))), ..current(9) };
        sessions.incoming.as_mut().unwrap().begin_chunk();
        let mut ended = Vec::new();
        while let Some(session) = sessions.end_next() {
            assert!(session.unanswered.is_none());
            session.begin(|| (Changes::default(), Upkeep::None));
            let id = session.id.clone();
            // Even if the new process learns of no answer.
            sessions = next_process(sessions);
            assert_eq!(next(&sessions, Role::Ending).4, Phase::Ended);
            ended.push(id);
            sessions.ending = None;
        }
        assert_eq!(ended, ["new", "old"]);
        assert!(sessions.are_none());
    }
}
