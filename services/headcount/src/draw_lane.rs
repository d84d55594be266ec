//! [`DrawLane`]: hands out turns to draw, in a fair order: one turn to each client address that waits, then the next to
//! each. It bounds how many draw at a time, how much of a processor they use, and how many wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::look_limits::LookOwner;

/// Too many first pictures wait to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many pictures are waiting to be drawn")]
pub(crate) struct DrawQueueFull;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drawing {
    /// A snapshot, or the first picture of a feed. A request waits for it.
    First,
    /// A feed's picture after a change. At most one of each feed waits.
    Change,
}

/// Hands out turns.
#[derive(Debug)]
pub(crate) struct DrawLane {
    /// Rest after a turn, in multiples of the CPU time that it took.
    rest: u32,
    /// Most [`Drawing::First`] that wait.
    max_first: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free_turns: usize,
    /// Nothing is drawn before this.
    rest_until: Instant,
    /// The clients that wait, in the order of their turns. None has an empty queue.
    clients: VecDeque<ClientQueue>,
}

/// What waits for one client, in the order of its arrival.
#[derive(Debug)]
struct ClientQueue {
    client: LookOwner,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    drawing: Drawing,
    turn: oneshot::Sender<Turn>,
}

/// A turn to draw, until dropped. Then the next begins.
#[derive(Debug)]
pub(crate) struct Turn {
    lane: Arc<DrawLane>,
}

impl DrawLane {
    /// Creates a lane with so many turns at a time.
    pub(crate) fn new(turns: usize, rest: u32, max_first: usize) -> Arc<Self> {
        let state = State { free_turns: turns, rest_until: Instant::now(), clients: VecDeque::new() };
        Arc::new(Self { rest, max_first, state: Mutex::new(state) })
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// Fails for a [`Drawing::First`] if too many of them wait, and this client has no fewer of them than any other. If it
    /// has fewer, the newest of the client that has most fails instead, even though it waits already.
    pub(crate) async fn acquire(self: &Arc<Self>, client: LookOwner, drawing: Drawing) -> Result<Turn, DrawQueueFull> {
        let turn = match self.enter(client, drawing)? {
            Ok(turn) => turn,
            Err(waiting) => waiting.await.map_err(|_| DrawQueueFull)?,
        };
        let rest_until = self.state.lock().rest_until;
        if rest_until > Instant::now() {
            sleep_until(rest_until).await;
        }
        Ok(turn)
    }

    /// Takes a free turn, or begins to wait.
    fn enter(
        self: &Arc<Self>,
        client: LookOwner,
        drawing: Drawing,
    ) -> Result<Result<Turn, oneshot::Receiver<Turn>>, DrawQueueFull> {
        let mut state = self.state.lock();
        if state.free_turns > 0 {
            state.free_turns -= 1;
            return Ok(Ok(Turn { lane: Arc::clone(self) }));
        }
        if drawing == Drawing::First && state.first_waiting() >= self.max_first {
            state.make_room(client)?;
        }
        let (turn, receiver) = oneshot::channel();
        state.push(client, Waiting { drawing, turn });
        Ok(Err(receiver))
    }

    /// Called when a turn ends.
    fn pass_on(self: &Arc<Self>) {
        let next = loop {
            let mut state = self.state.lock();
            match state.next() {
                // Its client has gone.
                Some(next) if next.turn.is_closed() => {}
                Some(next) => break next,
                None => {
                    state.free_turns += 1;
                    return;
                }
            }
        };
        // Not under the lock: if the client has gone meanwhile, this drops the turn, which passes it on.
        let _ = next.turn.send(Turn { lane: Arc::clone(self) });
    }
}

impl State {
    fn first_waiting(&self) -> usize {
        self.clients.iter().map(ClientQueue::first_waiting).sum()
    }

    fn push(&mut self, client: LookOwner, waiting: Waiting) {
        match self.clients.iter_mut().find(|queue| queue.client == client) {
            Some(queue) => queue.waiting.push_back(waiting),
            None => self.clients.push_back(ClientQueue { client, waiting: VecDeque::from([waiting]) }),
        }
    }

    /// Takes the first of the client whose turn it is, and moves that client to the end.
    fn next(&mut self) -> Option<Waiting> {
        let mut queue = self.clients.pop_front()?;
        let next = queue.waiting.pop_front();
        if !queue.waiting.is_empty() {
            self.clients.push_back(queue);
        }
        next
    }

    /// Makes room for one more first picture of `client`.
    fn make_room(&mut self, client: LookOwner) -> Result<(), DrawQueueFull> {
        let before = self.first_waiting();
        for queue in &mut self.clients {
            queue.waiting.retain(|waiting| !waiting.turn.is_closed());
        }
        self.clients.retain(|queue| !queue.waiting.is_empty());
        if self.first_waiting() < before {
            return Ok(());
        }
        let own = self.clients.iter().find(|queue| queue.client == client).map_or(0, ClientQueue::first_waiting);
        let longest = self.clients.iter_mut().max_by_key(|queue| queue.first_waiting()).ok_or(DrawQueueFull)?;
        if longest.first_waiting() <= own + 1 {
            return Err(DrawQueueFull);
        }
        let newest = longest.waiting.iter().rposition(|waiting| waiting.drawing == Drawing::First);
        // Dropping it tells it.
        newest.and_then(|index| longest.waiting.remove(index)).map(drop).ok_or(DrawQueueFull)
    }
}

impl ClientQueue {
    fn first_waiting(&self) -> usize {
        self.waiting.iter().filter(|waiting| waiting.drawing == Drawing::First).count()
    }
}

impl Turn {
    /// Called when the drawing has taken this CPU time.
    pub(crate) fn drawn(&self, cpu_time: Duration) {
        let mut state = self.lane.state.lock();
        state.rest_until = state.rest_until.max(Instant::now() + cpu_time * self.lane.rest);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lane.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use super::*;

    const A: LookOwner = LookOwner::of_number(1);
    const B: LookOwner = LookOwner::of_number(2);
    const C: LookOwner = LookOwner::of_number(3);

    type Acquiring = Pin<Box<dyn Future<Output = Result<Turn, DrawQueueFull>>>>;

    /// Begins to wait for a turn.
    async fn wait(lane: &Arc<DrawLane>, client: LookOwner, drawing: Drawing) -> Acquiring {
        let lane = Arc::clone(lane);
        let mut acquiring: Acquiring = Box::pin(async move { lane.acquire(client, drawing).await });
        tokio::select! {
            biased;
            _ = &mut acquiring => panic!("no turn is free"),
            () = std::future::ready(()) => acquiring,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_take_turns() {
        let lane = DrawLane::new(1, 0, 8);
        let first = lane.acquire(A, Drawing::First).await.expect("it is free");
        let mut waiting = Vec::new();
        for client in [A, A, A, B, B, C] {
            waiting.push((client, wait(&lane, client, Drawing::Change).await));
        }
        drop(first);
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks = waiting.into_iter().map(|(client, acquiring)| {
            let order = Arc::clone(&order);
            async move {
                let turn = acquiring.await.expect("changes are never refused");
                order.lock().push(client);
                tokio::task::yield_now().await;
                drop(turn);
            }
        });
        futures(tasks).await;
        assert_eq!(*order.lock(), [A, B, C, A, B, A]);
        assert_eq!(lane.state.lock().free_turns, 1);
    }

    /// Runs all futures until each has ended.
    async fn futures(all: impl Iterator<Item = impl Future<Output = ()> + 'static>) {
        let local = tokio::task::LocalSet::new();
        all.for_each(|one| drop(local.spawn_local(one)));
        local.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_follows_each_turn() {
        let lane = DrawLane::new(1, 3, 8);
        let start = Instant::now();
        for expected in [0, 300, 600] {
            let turn = lane.acquire(A, Drawing::Change).await.expect("nobody else waits");
            assert!(start.elapsed().as_millis().abs_diff(expected) <= 3, "{:?}", start.elapsed());
            turn.drawn(Duration::from_millis(100));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_refuses_the_client_with_most() {
        let lane = DrawLane::new(1, 0, 3);
        let first = lane.acquire(A, Drawing::First).await.expect("it is free");
        let mut greedy = Vec::new();
        for _ in 0..3 {
            greedy.push(wait(&lane, A, Drawing::First).await);
        }
        assert_eq!(lane.acquire(A, Drawing::First).await.err(), Some(DrawQueueFull));
        let change = wait(&lane, A, Drawing::Change).await;
        let modest = wait(&lane, B, Drawing::First).await;
        assert_eq!(greedy.pop().expect("three wait").await.err(), Some(DrawQueueFull), "the newest makes room");
        // Who has gone makes room as well.
        drop(greedy.pop());
        let another = wait(&lane, A, Drawing::First).await;
        drop(first);
        for waiting in [greedy.remove(0), modest, change, another] {
            drop(waiting.await.expect("a turn"));
        }
        assert_eq!(lane.state.lock().free_turns, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_nobody_takes_is_passed_on() {
        let lane = DrawLane::new(1, 0, 3);
        let first = lane.acquire(A, Drawing::First).await.expect("it is free");
        let (gone, next) = (wait(&lane, A, Drawing::First).await, wait(&lane, B, Drawing::First).await);
        drop(first);
        drop(gone);
        drop(next.await.expect("a turn"));
        assert_eq!(lane.state.lock().free_turns, 1);
    }
}
