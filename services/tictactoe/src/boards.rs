//! [`Boards`]: the boards that somebody looks at on this node. Each has a task that pushes it, as a picture and as HTML.

use std::{collections::HashMap, num::NonZeroU16, sync::Arc, time::Duration};

use headcount_drawing::Artist;
use headcount_engine::{Attachment, Engine, FeedHandle, FeedSettings, Frame, TurnOver};
use headcount_presence::{CounterName, Registration};
use headcount_wire::Part;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::game::{Board, Freshness};
use crate::refusal::{self, Refusal};
use crate::store::Store;
use crate::{document, picture};

/// A board is read again after this time, though no message says that it has changed: one may be lost, or Redis be away.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// Live documents end after so many frames, because they grow: at the default keep-alive after half an hour at the latest.
const TURN_OVER: TurnOver = TurnOver::after(NonZeroU16::new(60).unwrap());
/// The content type of pictures.
pub(crate) const PICTURE_TYPE: &str = "image/png";

/// What the engine keeps with each viewer.
pub(crate) struct Viewer {
    /// One of the streams that its address may have.
    pub(crate) _registration: Registration,
    pub(crate) board: Arc<OpenBoard>,
}

impl Attachment for Viewer {}

/// A board that somebody looks at. It stays while somebody does, or while this is held.
pub(crate) struct OpenBoard {
    pub(crate) name: CounterName,
    pub(crate) html: FeedHandle<Viewer>,
    pub(crate) pictures: FeedHandle<Viewer>,
    /// Signalled when it may have changed.
    changed: Notify,
}

/// The boards of a node.
pub(crate) struct Boards {
    pub(crate) engine: Engine<Viewer>,
    pub(crate) store: Store,
    max_boards: usize,
    artist: Artist,
    open: Mutex<HashMap<CounterName, Arc<OpenBoard>>>,
}

impl Boards {
    /// None at first. At most `max_boards` will be open.
    pub(crate) fn new(engine: Engine<Viewer>, store: Store, max_boards: usize) -> Arc<Self> {
        let boards = Arc::new(Self { engine, store, max_boards, artist: Artist::new(), open: Mutex::default() });
        let (listening, store) = (Arc::clone(&boards), Arc::clone(&boards));
        let changed = move |name: Option<&str>| {
            let open = listening.open.lock();
            let boards = open.iter().filter(|(open, _)| name.is_none_or(|name| open.as_str() == name));
            boards.for_each(|(_, board)| board.changed.notify_one());
        };
        tokio::spawn(async move { store.store.run(changed).await });
        boards
    }

    /// Returns a board, and begins to push it if nobody looks at it yet.
    pub(crate) async fn open(self: &Arc<Self>, name: &CounterName) -> Result<Arc<OpenBoard>, Refusal> {
        if let Some(board) = self.open.lock().get(name) {
            return Ok(Arc::clone(board));
        }
        let board = self.store.read(name).await?.board;
        // Drawn before the lock, which all requests take.
        let (update, picture) = (document::frame(&board, Freshness::Fresh), self.picture(&board, Freshness::Fresh));
        let mut open = self.open.lock();
        if open.contains_key(name) || open.len() >= self.max_boards {
            return open.get(name).map(Arc::clone).ok_or(refusal::FULL);
        }
        let turning_over = FeedSettings { turn_over: Some(TURN_OVER), ..FeedSettings::default() };
        let html = self.engine.open(name.as_str().into(), turning_over, update);
        let pictures = self.engine.open(name.as_str().into(), FeedSettings::default(), picture);
        let opened = Arc::new(OpenBoard { name: name.clone(), html, pictures, changed: Notify::new() });
        open.insert(name.clone(), Arc::clone(&opened));
        tokio::spawn(Arc::clone(self).push(Arc::clone(&opened), board));
        Ok(opened)
    }

    /// Pushes a board until nobody looks any more.
    async fn push(self: Arc<Self>, open: Arc<OpenBoard>, board: Board) {
        let mut shown = (board, Freshness::Fresh);
        while !self.close(&open) {
            let (next, pause) = match self.store.read(&open.name).await {
                // Just after the time at which it changes by itself.
                Ok(read) => {
                    ((read.board, Freshness::Fresh), read.changes_in.min(READ_AGAIN) + Duration::from_millis(1))
                }
                Err(_) => ((shown.0.clone(), Freshness::Stale), READ_AGAIN),
            };
            if next != shown {
                open.html.publish(document::frame(&next.0, next.1));
                open.pictures.publish(self.picture(&next.0, next.1));
                shown = next;
            }
            let _ = tokio::time::timeout(pause, open.changed.notified()).await;
        }
    }

    /// Closes a board if nobody looks at it. Returns whether it did.
    fn close(&self, board: &Arc<OpenBoard>) -> bool {
        let mut open = self.open.lock();
        // Held here and by its task, and by every viewer.
        Arc::strong_count(board) == 2 && open.remove(&board.name).is_some()
    }

    fn picture(&self, board: &Board, freshness: Freshness) -> Frame {
        let part = |freshness| Part::new(&picture::draw(&self.artist, board, freshness), PICTURE_TYPE);
        Frame::new(part(freshness).bytes().clone()).with_ending(part(Freshness::Stale).ending())
    }
}
