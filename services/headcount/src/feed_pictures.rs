//! [`FeedPictures`]: draws the pictures of one feed, and knows what the newest shows.

use bytes::Bytes;
use headcount_drawing::{Figure, Format, Look, Shows};
use headcount_engine::Frame;
use headcount_presence::Reading;
use headcount_wire::Part;

use crate::draw_cost::DrawCost;
use crate::draw_queue::{DrawQueue, DrawQueueFull};
use crate::look_limits::LookOwner;

/// Returns what a picture in this look shows of a reading. Below `small`, or below the look's own bound, it says "fewer than".
pub(crate) fn figure(look: &Look, reading: &Reading, small: u64) -> Figure {
    let number = match look.shows() {
        Shows::Count => reading.count,
        Shows::Visitors => reading.visitors,
    };
    let min = small.max(look.small());
    let is_shown = number >= min;
    Figure {
        number,
        epoch: reading.epoch,
        // It would tell of each change.
        version: if is_shown { reading.version } else { 0 },
        stale: reading.stale,
        fewer_than: (!is_shown).then_some(min),
    }
}

/// The pictures of one feed.
pub(crate) struct FeedPictures {
    look: Look,
    format: Format,
    /// Below this count, pictures say "fewer than".
    small: u64,
    /// Whose turn it is when a picture is drawn.
    owner: LookOwner,
    cost: DrawCost,
    /// What the newest picture shows. `None` if a former program has drawn it.
    shown: Option<Figure>,
    /// The picture that a former program has drawn, until this one has drawn its own.
    former: Option<Bytes>,
}

impl FeedPictures {
    /// Draws a feed's first picture. Returns its frame, too.
    ///
    /// # Errors
    /// Fails if it cannot be drawn soon.
    pub(crate) async fn begin(
        queue: &DrawQueue,
        look: Look,
        format: Format,
        small: u64,
        reading: &Reading,
        owner: LookOwner,
    ) -> Result<(Self, Frame), DrawQueueFull> {
        let shown = figure(&look, reading, small);
        let (picture, cost) = queue.draw_first(&look, &shown, format, owner).await?;
        let frame = frame(&picture, format);
        Ok((Self { look, format, small, owner, cost, shown: Some(shown), former: None }, frame))
    }

    /// Goes on from a former program's newest picture, of about this reading. Another is drawn soon; if it is the same, it is
    /// no change. Returns the frame of the former one, too.
    pub(crate) fn resume(
        queue: &DrawQueue,
        look: Look,
        format: Format,
        small: u64,
        reading: &Reading,
        owner: LookOwner,
        former: Bytes,
    ) -> (Self, Frame) {
        let estimate = queue.artist().estimate(&look, &figure(&look, reading, small), format);
        let cost = DrawCost::of_estimate(estimate);
        let frame = frame(&former, format);
        (Self { look, format, small, owner, cost, shown: None, former: Some(former) }, frame)
    }

    /// Whether the newest picture shows something else than a picture of this reading would.
    pub(crate) fn are_outdated_by(&self, reading: &Reading) -> bool {
        self.differs(&self.figure(reading))
    }

    /// Waits for a turn, and draws the picture of what is the newest reading then. Returns its frame, or `None` if its picture
    /// would be the same.
    pub(crate) async fn draw_change(&mut self, queue: &DrawQueue, newest: impl FnOnce() -> Reading) -> Option<Frame> {
        let mut cost = self.cost;
        let newest = || Some(self.figure(&newest())).filter(|newest| self.differs(newest));
        let (shown, picture) = queue.draw_change(&self.look, &mut cost, newest, self.format, self.owner).await?;
        (self.shown, self.cost) = (Some(shown), cost);
        let is_new = self.former.take().is_none_or(|former| former[..] != picture[..]);
        is_new.then(|| frame(&picture, self.format))
    }

    /// Waits for a turn, and draws what streams end with. Returns their last bytes, with the picture of what is the newest reading then, marked as not live.
    /// `None` if that is the newest picture, because nothing has confirmed the number for a while.
    pub(crate) async fn draw_last(&mut self, queue: &DrawQueue, newest: impl FnOnce() -> Reading) -> Option<Bytes> {
        let mut cost = self.cost;
        let last = || Some(Figure { stale: true, ..self.figure(&newest()) }).filter(|last| self.differs(last));
        let (_, picture) = queue.draw_change(&self.look, &mut cost, last, self.format, self.owner).await?;
        self.cost = cost;
        Some(headcount_wire::ending(&picture))
    }

    fn figure(&self, reading: &Reading) -> Figure {
        figure(&self.look, reading, self.small)
    }

    fn differs(&self, figure: &Figure) -> bool {
        self.shown.is_none_or(|shown| figure.stale != shown.stale || self.look.text(figure) != self.look.text(&shown))
    }
}

/// The frame of a picture. Without anything better, streams end with the same picture.
fn frame(picture: &[u8], format: Format) -> Frame {
    let part = Part::new(picture, format.content_type());
    Frame::new(part.bytes().clone()).with_ending(part.ending())
}
