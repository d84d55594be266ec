//! [`Feed`]: a stream of frames that viewers share, and [`ViewerAttachment`], what the engine keeps with each of them.

use std::num::{NonZeroU8, NonZeroU16};
use std::sync::Arc;
use std::time::Duration;

use headcount_drawing::Look;
use headcount_engine::{Attachment, FeedHandle, FeedSettings, TurnOver};
use headcount_presence::{Counter, CounterName, Registration, RegistrationState};
use tokio::sync::Notify;

use crate::look_limits::LookOwner;
use crate::returning_viewers::{Absence, ExpectedViewer, ReturningViewers};
use crate::stream_format::StreamFormat;
use crate::watching_viewers::WatchingViewers;

/// Most updates of a document in a second, its first one aside: each is an element more.
const HTML_FRAME_RATE: f64 = 2.0;

/// Whether a viewer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// It does, as everybody.
    Counted,
    /// It does after this time: until then it may count at another node, which it has left.
    CountedAfter(Duration),
    /// It looks only, as an owner's dashboard does.
    Watching,
}

/// What the engine keeps with a viewer: its registration and its feed.
pub(crate) struct ViewerAttachment {
    /// `None` once it is taken.
    registration: Option<Registration>,
    /// Keeps the feed's driver running.
    feed: Arc<Feed>,
    counting: Counting,
}

impl Attachment for ViewerAttachment {
    fn first_frame_sent(&mut self) {
        let Some(registration) = &mut self.registration else { return };
        match self.counting {
            Counting::Counted => registration.start_counting(),
            Counting::CountedAfter(time) => registration.start_counting_after(time),
            Counting::Watching => {}
        }
    }

    fn turned_over(mut self) {
        self.expect_back(Absence::Ended);
    }
}

impl ViewerAttachment {
    /// Takes the viewer's registration out of this process. Returns it with the viewer's feed.
    pub(crate) fn detach(mut self) -> (RegistrationState, Counting, Arc<Feed>) {
        let registration = self.registration.take().expect("it is taken once");
        (registration.detach(), self.counting, Arc::clone(&self.feed))
    }

    /// Keeps the registration for a viewer who will be back, if its format makes it so.
    fn expect_back(&mut self, cause: Absence) {
        if self.feed.key.format == StreamFormat::Html
            && self.counting != Counting::Watching
            && let Some(registration) = self.registration.take()
        {
            let counter = self.feed.key.counter.clone();
            self.feed.returning.expect(ExpectedViewer { counter, registration, cause, within: cause.most() });
        }
    }
}

impl Drop for ViewerAttachment {
    fn drop(&mut self) {
        self.expect_back(Absence::Left);
        if self.counting == Counting::Watching {
            self.feed.watching.left(&self.feed.key.counter);
        }
    }
}

/// Identifies a feed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FeedKey {
    /// The counter.
    pub(crate) counter: CounterName,
    /// The look of its pictures, or how its numbers are written.
    pub(crate) look: Look,
    /// What its streams consist of.
    pub(crate) format: StreamFormat,
}

impl FeedKey {
    /// The key of the feed for a requested look. Documents that write the number alike share a feed, and events show all
    /// numbers.
    pub(crate) fn new(counter: CounterName, look: &Look, format: StreamFormat) -> Self {
        let look = match format {
            StreamFormat::Png | StreamFormat::Jpeg => look.clone(),
            StreamFormat::Html => look.of_number(),
            StreamFormat::Events => Look::default(),
        };
        Self { counter, look, format }
    }

    /// Whether it is the one that every counter has, which no limit of looks applies to.
    pub(crate) fn is_default(&self) -> bool {
        self.look.is_default()
    }

    /// How the engine sends its frames. A document ends after this number of updates.
    pub(crate) fn engine_settings(&self, document_updates: NonZeroU16) -> FeedSettings {
        match self.format {
            StreamFormat::Html => {
                let turn_over = Some(TurnOver::after(document_updates));
                FeedSettings { max_frame_rate: HTML_FRAME_RATE, burst: NonZeroU8::MIN, turn_over }
            }
            StreamFormat::Png | StreamFormat::Jpeg | StreamFormat::Events => FeedSettings::default(),
        }
    }
}

/// A stream of frames that viewers share.
pub(crate) struct Feed {
    /// What it shows, and how.
    pub(crate) key: FeedKey,
    /// Who began the look.
    pub(crate) owner: LookOwner,
    counter: Counter,
    handle: FeedHandle<ViewerAttachment>,
    turn_over: Option<TurnOver>,
    returning: Arc<ReturningViewers>,
    watching: Arc<WatchingViewers>,
    /// Notified when the feed has been removed from the table to make room for another.
    pub(crate) evicted: Notify,
}

impl Feed {
    /// Creates a feed, whose look `owner` has begun.
    pub(crate) fn new(
        key: FeedKey,
        owner: LookOwner,
        counter: Counter,
        (handle, turn_over): (FeedHandle<ViewerAttachment>, Option<TurnOver>),
        returning: Arc<ReturningViewers>,
        watching: Arc<WatchingViewers>,
    ) -> Self {
        Self { key, owner, counter, handle, turn_over, returning, watching, evicted: Notify::new() }
    }

    /// The feed's counter.
    pub(crate) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// The feed in the engine.
    pub(crate) fn handle(&self) -> &FeedHandle<ViewerAttachment> {
        &self.handle
    }

    /// After how many frames its streams end by themselves.
    pub(crate) fn turn_over(&self) -> Option<TurnOver> {
        self.turn_over
    }

    /// Returns what the engine keeps with an admitted viewer.
    pub(crate) fn attachment(self: &Arc<Self>, registration: Registration, counting: Counting) -> ViewerAttachment {
        if counting == Counting::Watching {
            self.watching.joined(&self.key.counter);
        }
        ViewerAttachment { registration: Some(registration), feed: Arc::clone(self), counting }
    }
}
