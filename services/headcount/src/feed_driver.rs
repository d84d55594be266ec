//! [`FeedDriver`]: follows a feed's counter, makes the frame when what it shows has changed, and publishes it. Before streams
//! end on purpose, it gives the feed what they end with: the number marked as not live.

use headcount_engine::{FeedHandle, Frame};
use headcount_presence::Reading;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::draw_pace::DrawPace;
use crate::draw_queue::DrawQueue;
use crate::feed_frames::FeedFrames;

/// Drives one feed.
pub(crate) struct FeedDriver<A> {
    handle: FeedHandle<A>,
    frames: FeedFrames,
    readings: watch::Receiver<Reading>,
    /// Until streams that end now would end with a marked picture.
    unmarked: Option<TaskTrackerToken>,
}

impl<A> FeedDriver<A> {
    /// Creates the driver of a feed whose first frame is the newest of `frames`.
    pub(crate) fn new(
        handle: FeedHandle<A>,
        frames: FeedFrames,
        readings: watch::Receiver<Reading>,
        unmarked: TaskTrackerToken,
    ) -> Self {
        Self { handle, frames, readings, unmarked: Some(unmarked) }
    }

    /// Publishes a frame whenever what it shows has changed, as often as `pace` allows. Once
    /// `ending` is cancelled, each newest frame brings what streams end with.
    pub(crate) async fn run(mut self, queue: &DrawQueue, mut pace: DrawPace, ending: &CancellationToken) {
        loop {
            tokio::select! {
                changed = self.changed(&pace) => {
                    if changed.is_err() {
                        return;
                    }
                    let Some(frame) = self.frames.next(queue, || *self.readings.borrow()).await else { continue };
                    pace.drawn();
                    let frame = if ending.is_cancelled() { self.marked(queue, frame).await } else { frame };
                    self.handle.publish(frame);
                }
                () = ending.cancelled(), if self.unmarked.is_some() => self.mark(queue).await,
            }
        }
    }

    /// Waits until there is something else to show and it may be drawn. Can be cancelled.
    ///
    /// # Errors
    /// Fails if the counter has ended.
    async fn changed(&mut self, pace: &DrawPace) -> Result<(), watch::error::RecvError> {
        while !self.frames.are_outdated_by(&self.readings.borrow_and_update()) {
            tokio::select! {
                changed = self.readings.changed() => changed?,
                () = self.frames.until_outdated() => break,
            }
        }
        // The engine would not send it earlier.
        let due = pace.due().max(self.handle.next_frame_due().into());
        if due > Instant::now() {
            sleep_until(due).await;
        }
        Ok(())
    }

    /// Gives a new frame what streams end with.
    async fn marked(&mut self, queue: &DrawQueue, frame: Frame) -> Frame {
        let last = self.frames.last(queue, || *self.readings.borrow()).await;
        self.unmarked = None;
        match last {
            Some(ending) => frame.with_ending(ending),
            None => frame,
        }
    }

    /// Gives the newest frame what streams end with.
    async fn mark(&mut self, queue: &DrawQueue) {
        if self.handle.viewers() > 0
            && let Some(ending) = self.frames.last(queue, || *self.readings.borrow()).await
        {
            self.handle.set_ending(ending);
        }
        self.unmarked = None;
    }
}
