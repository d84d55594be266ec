//! [`FeedPictures`]: draws the pictures of one feed, and knows what the newest shows.

use bytes::Bytes;
use headcount_drawing::{Figure, Format, Look, Shows};
use headcount_engine::Frame;
use headcount_presence::Reading;
use headcount_wire::Part;
use headcount_wire::html::{self, Liveness};

use crate::draw_cost::DrawCost;
use crate::draw_queue::{DrawQueue, DrawQueueFull};
use crate::feed::FeedKey;
use crate::look_limits::LookOwner;
use crate::past::Past;

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

/// How pictures become frames.
enum Wrapping {
    /// Each is a part of a multipart stream, in this format.
    Parts(Format),
    /// Each is an update of a document. Here is the number of the newest.
    Updates(u64),
}

/// What a feed's pictures are of.
pub(crate) struct Subject {
    look: Look,
    wrapping: Wrapping,
    /// Below this count, pictures say "fewer than".
    small: u64,
    /// Whose turn it is when a picture is drawn.
    owner: LookOwner,
    /// What the look shows of the past, if it does.
    past: Option<Past>,
}

/// The pictures of one feed.
pub(crate) struct FeedPictures {
    subject: Subject,
    cost: DrawCost,
    /// What the newest picture shows. `None` if a former program has drawn it.
    shown: Option<Figure>,
    /// The picture that a former program has drawn, until this one has drawn its own.
    former: Option<Bytes>,
}

impl Subject {
    /// What a feed's pictures are of. `None` if it has none.
    pub(crate) fn of(key: &FeedKey, small: u64, owner: LookOwner, past: Option<Past>) -> Option<Self> {
        let wrapping = match key.format.pictures() {
            Some(format) => Wrapping::Parts(format),
            None if key.is_drawn_document() => Wrapping::Updates(0),
            None => return None,
        };
        Some(Self { look: key.look.clone(), wrapping, small, owner, past })
    }

    fn format(&self) -> Format {
        match self.wrapping {
            Wrapping::Parts(format) => format,
            Wrapping::Updates(_) => Format::Svg,
        }
    }

    fn figure(&self, reading: &Reading) -> Figure {
        figure(&self.look, reading, self.small)
    }

    /// The frame of a picture. Without anything better, streams end with the same picture.
    fn frame(&mut self, picture: &[u8], figure: &Figure) -> Frame {
        if let Wrapping::Updates(number) = &mut self.wrapping {
            *number += 1;
            let liveness = if figure.stale { Liveness::Stale } else { Liveness::Live };
            return Frame::new(self.update(0, picture, figure, liveness))
                .with_keepalive(html::KEEPALIVE)
                .with_ending(self.update(1, picture, figure, Liveness::Stale));
        }
        let part = Part::new(picture, self.format().content_type());
        Frame::new(part.bytes().clone()).with_ending(part.ending())
    }

    /// What streams end with.
    fn ending(&self, picture: &[u8], figure: &Figure) -> Bytes {
        match self.wrapping {
            Wrapping::Parts(_) => headcount_wire::ending(picture),
            Wrapping::Updates(_) => self.update(1, picture, figure, Liveness::Stale).into(),
        }
    }

    /// The newest update of a document, or one `after` it.
    fn update(&self, after: u64, picture: &[u8], figure: &Figure, liveness: Liveness) -> String {
        let Wrapping::Updates(number) = self.wrapping else { return String::new() };
        let chart = self.past.as_ref().and_then(|past| past.chart(self.small));
        let words = self.look.chart_alternative(&Figure { stale: false, ..*figure }, chart);
        html::drawn_update(number + after, &words, &String::from_utf8_lossy(picture), liveness)
    }
}

impl FeedPictures {
    /// Draws a feed's first picture. Returns its frame, too.
    ///
    /// # Errors
    /// Fails if it cannot be drawn soon.
    pub(crate) async fn begin(
        queue: &DrawQueue,
        mut subject: Subject,
        reading: &Reading,
    ) -> Result<(Self, Frame), DrawQueueFull> {
        let shown = subject.figure(reading);
        if let Some(past) = &mut subject.past {
            past.add(reading);
        }
        let chart = subject.past.as_ref().and_then(|past| past.chart(subject.small));
        let (picture, cost) = queue.draw_first(&subject.look, &shown, chart, subject.format(), subject.owner).await?;
        let frame = subject.frame(&picture, &shown);
        Ok((Self { subject, cost, shown: Some(shown), former: None }, frame))
    }

    /// Goes on from a former program's newest picture, of about this reading. Another is drawn soon; if it is the same, it is
    /// no change. Returns the frame of the former one, too.
    pub(crate) fn resume(queue: &DrawQueue, mut subject: Subject, reading: &Reading, former: Bytes) -> (Self, Frame) {
        let estimate = queue.artist().estimate(&subject.look, &subject.figure(reading), subject.format());
        let cost = DrawCost::of_estimate(estimate);
        let frame = match &mut subject.wrapping {
            Wrapping::Parts(format) => {
                let part = Part::new(&former, format.content_type());
                Frame::new(part.bytes().clone()).with_ending(part.ending())
            }
            Wrapping::Updates(number) => {
                *number = html::update_number(&former).unwrap_or(0);
                Frame::new(former.clone()).with_keepalive(html::KEEPALIVE).with_ending(former.clone())
            }
        };
        (Self { subject, cost, shown: None, former: Some(former) }, frame)
    }

    /// Whether the newest picture shows something else than a picture of this reading would.
    pub(crate) fn are_outdated_by(&self, reading: &Reading) -> bool {
        let is_past_due = self.subject.past.as_ref().is_some_and(Past::is_due);
        is_past_due || differs(&self.subject.look, self.shown.as_ref(), &self.subject.figure(reading))
    }

    /// Waits until the newest picture is outdated, whatever the readings are: for ever, unless it shows the past.
    pub(crate) async fn until_outdated(&self) {
        match &self.subject.past {
            Some(past) => past.until_due().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for a turn, and draws the picture of what is the newest reading then. Returns its frame, or `None` if its picture
    /// would be the same.
    pub(crate) async fn draw_change(&mut self, queue: &DrawQueue, newest: impl FnOnce() -> Reading) -> Option<Frame> {
        let is_past_due = self.subject.past.as_ref().is_some_and(Past::is_due);
        if let Some(past) = self.subject.past.as_mut().filter(|_| is_past_due) {
            past.read().await;
        }
        let (mut cost, shown, format) = (self.cost, self.shown, self.subject.format());
        let Subject { look, small, owner, past, .. } = &mut self.subject;
        let (look, small) = (&*look, *small);
        let next = || {
            let reading = newest();
            let figure = figure(look, &reading, small);
            if !is_past_due && !differs(look, shown.as_ref(), &figure) {
                return None;
            }
            let past = past.as_mut().map(|past| {
                past.add(&reading);
                &*past
            });
            Some((figure, past.and_then(|past| past.chart(small))))
        };
        let (shown, picture) = queue.draw_change(look, &mut cost, next, format, *owner).await?;
        (self.shown, self.cost) = (Some(shown), cost);
        let is_new = self.former.take().is_none_or(|former| former[..] != picture[..]);
        is_new.then(|| self.subject.frame(&picture, &shown))
    }

    /// Waits for a turn, and draws what streams end with. Returns their last bytes, with the picture of what is the newest reading then, marked as not live.
    /// `None` if that is the newest picture, because nothing has confirmed the number for a while.
    pub(crate) async fn draw_last(&mut self, queue: &DrawQueue, newest: impl FnOnce() -> Reading) -> Option<Bytes> {
        let mut cost = self.cost;
        let subject = &self.subject;
        let chart = subject.past.as_ref().and_then(|past| past.chart(subject.small));
        let last = || Some(Figure { stale: true, ..subject.figure(&newest()) });
        let last = || last().filter(|last| differs(&subject.look, self.shown.as_ref(), last)).map(|last| (last, chart));
        let (shown, picture) =
            queue.draw_change(&subject.look, &mut cost, last, subject.format(), subject.owner).await?;
        self.cost = cost;
        Some(self.subject.ending(&picture, &shown))
    }
}

fn differs(look: &Look, shown: Option<&Figure>, figure: &Figure) -> bool {
    shown.is_none_or(|shown| figure.stale != shown.stale || look.text(figure) != look.text(shown))
}
