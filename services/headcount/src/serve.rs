//! `headcount serve`: runs a [`Node`] until SIGTERM, and on SIGHUP replaces the program under it.
//!
//! The shutdown order is: not ready; (after `--drain-delay`) stop accepting; draw the streams' last pictures; end the streams
//! with them, spread over `--drain`; wait for other connections; stop the feeds; release the leases; exit.

use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use headcount_engine::Engine;
use headcount_presence::Health;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::feeds::ViewerAttachment;
use crate::node::{Former, Node, Resumed};
use crate::options::{OptionDigests, ServeOptions};
use crate::reload::{self, Activity, Handover, Inherited, Outcome, Program, ReloadStatus, StatusSocket};
use crate::{descriptors, logging, systemd};

/// Load balancers have this time, or the drain delay if that is shorter, to notice that a node is not ready: until then it
/// serves newcomers even if it has no viewer left. Those in deploy/ take 2 to 6 s.
const NOTICED: Duration = Duration::from_secs(10);
/// Interval at which a node that is not ready looks whether its last viewer has left.
const EMPTY_POLL: Duration = Duration::from_millis(100);
/// Longer than a lease and its suspicion: what Redis has not heard of for so long has ended, whatever a reload does.
const LEASES_ENDED: Duration = Duration::from_secs(10);
/// Interval at which a reload looks whether Redis answers again.
const REDIS_POLL: Duration = Duration::from_millis(50);

/// Runs a stream node until SIGTERM or SIGINT. `warnings` about its options are logged.
///
/// # Errors
/// Fails if the node cannot start, as when an address is in use or the font is unreadable.
pub(crate) fn run(options: ServeOptions, warnings: &[String]) -> anyhow::Result<()> {
    // Before any thread starts: see `signal_mask`.
    reload::hold_signals().context("cannot hold signals")?;
    let program = Program::of_this_process().context("cannot find this program's path")?;
    logging::start(&options.log, options.log_format)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = descriptors::raise() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build()?;
    let ended = runtime.block_on(async {
        let former = match reload::inherited() {
            Ok(None) => Former::default(),
            Ok(Some(Inherited::State(handover))) => (*handover).into(),
            Ok(Some(Inherited::Unknown { format, ports, streams })) => {
                let viewers = streams.len();
                tracing::error!(format, viewers, "the former program's state is unknown: its streams end");
                tokio::spawn(reload::end_all(streams));
                Former { ports, state: None }
            }
            Err(error) => {
                tracing::error!("{error}: this node begins anew");
                Former::default()
            }
        };
        serve(&options, &program, former).await
    });
    // Without waiting for a name that is still being looked up: a silent name server would delay the exit.
    runtime.shutdown_background();
    ended
}

async fn serve(options: &ServeOptions, program: &Program, mut former: Former) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut status: Option<StatusSocket> = None;
    loop {
        let former_options = former.state.as_ref().map(|state| state.options.clone());
        // While signals are held, so that the shards' threads never receive one.
        let node = Node::start(options, std::mem::take(&mut former)).await?;
        reload::release_signals().context("cannot receive signals")?;
        let status = status.get_or_insert_with(|| {
            let newest = node.resumed().map(|resumed| reloaded(&node, resumed, options, former_options));
            StatusSocket::open(ReloadStatus::new(node.reloads().totals().ended(), newest))
        });
        systemd::ready();
        let engine = node.engine().clone();
        let alive = engine.clone();
        let report = systemd::report(move || alive.live_shards() > 0, move || engine.viewers(), node.phase());
        let watched = tokio::spawn(report);
        match until_signal(&node, &mut signals, program, status).await {
            Next::Stop => {
                status.set(Activity::Stopping);
                systemd::stopping();
                stop(node, options, &mut signals).await;
                watched.abort();
                tracing::info!("stopped");
                return Ok(());
            }
            Next::Reload => {
                watched.abort();
                former = replace(node, &options.digests, &mut signals, program, status).await?.into();
            }
        }
    }
}

/// Counts and logs that this program has taken a node over. Returns that in words, `Err` if streams had to end.
fn reloaded(
    node: &Node,
    Resumed { viewers, ended, pause }: Resumed,
    options: &ServeOptions,
    former_options: Option<OptionDigests>,
) -> Result<String, String> {
    node.reloads().done(viewers, pause);
    let pause_ms = pause.as_millis() as u64;
    let changed = match options.digests.changed_from(&former_options.unwrap_or_default())[..] {
        [] => "no option".to_owned(),
        ref names => names.join(", "),
    };
    if ended > 0 {
        tracing::error!(viewers, ended, pause_ms, changed, "reloaded, but some streams had to end");
        return Err(format!("{ended} streams had to end, {viewers} viewers stay; changed: {changed}"));
    }
    tracing::info!(viewers, pause_ms, changed, "reloaded: all viewers taken over");
    Ok(format!("reloaded, {viewers} viewers taken over; changed: {changed}"))
}

/// What a signal asks for.
enum Next {
    Stop,
    Reload,
}

/// Waits for a signal that ends this run of the node. A SIGHUP whose program or configuration is bad is none.
async fn until_signal(node: &Node, signals: &mut Signals, program: &Program, status: &StatusSocket) -> Next {
    loop {
        match signals.next().await {
            Next::Stop => return Next::Stop,
            Next::Reload => {}
        }
        tracing::info!(program = %program.path().display(), viewers = node.engine().viewers(), "SIGHUP: reloading");
        status.set(Activity::Reloading);
        systemd::reloading();
        let ready = async {
            redis_answers(node).await;
            // Last: what it has checked may change again.
            program.check().await
        };
        tokio::select! {
            () = signals.stop() => return Next::Stop,
            ready = ready => match ready {
                Ok(()) => return Next::Reload,
                Err(error) => {
                    tracing::error!("not reloaded, this node goes on as before: {error}");
                    node.reloads().count(Outcome::Rejected);
                    status.not_reloaded(&error);
                    systemd::ready();
                }
            }
        }
    }
}

/// Waits until Redis answers, or the leases have ended anyway. A lease that still runs could end during the reload.
async fn redis_answers(node: &Node) {
    let silent = Instant::now();
    while matches!(*node.health().borrow(), Health::Degraded { .. }) && silent.elapsed() < LEASES_ENDED {
        tokio::time::sleep(REDIS_POLL).await;
    }
}

/// Replaces this program by the one at its path. Returns what the node has handed over if that is not possible.
async fn replace(
    node: Node,
    options: &OptionDigests,
    signals: &mut Signals,
    program: &Program,
    status: &StatusSocket,
) -> anyhow::Result<Handover> {
    let reloads = node.reloads().clone();
    // What comes from now on waits in the kernel. What came before has reached its stream when the node has handed over.
    reload::hold_signals().context("cannot hold signals")?;
    let mut handover = node.hand_over(options.clone()).await;
    signals.pass_on()?;
    let error = program.replace(&handover);
    tracing::error!("not reloaded, this node goes on as before: {error}");
    reloads.count(Outcome::Failed);
    status.not_reloaded(&error);
    handover.node.totals = reloads.totals();
    Ok(handover)
}

/// Waits until the last viewer has left, but at least for `least`.
async fn empty(engine: Engine<ViewerAttachment>, least: Duration) {
    tokio::time::sleep(least).await;
    while engine.viewers() > 0 {
        tokio::time::sleep(EMPTY_POLL).await;
    }
}

/// Serves on for the drain delay, or until the last viewer has left; then drains.
async fn stop(node: Node, options: &ServeOptions, signals: &mut Signals) {
    tracing::info!(viewers = node.engine().viewers(), "stopping: no longer ready");
    node.set_unready();
    let delay = options.shutdown.drain_delay;
    let at_once = tokio::select! {
        () = tokio::time::sleep(delay) => false,
        () = empty(node.engine().clone(), delay.min(NOTICED)) => false,
        () = signals.stop() => true,
    };
    let spread = if at_once { Duration::ZERO } else { options.shutdown.drain };
    node.drain(spread, signals.stop()).await;
}

/// The signals that a node handles.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    async fn next(&mut self) -> Next {
        tokio::select! {
            _ = self.terminate.recv() => Next::Stop,
            _ = self.interrupt.recv() => Next::Stop,
            _ = self.reload.recv() => Next::Reload,
        }
    }

    /// Sends this process the signals again that have come and that nobody has waited for, so that they wait for the new
    /// program's handlers. Signals must be held.
    ///
    /// # Errors
    /// Fails if the system refuses.
    fn pass_on(&mut self) -> anyhow::Result<()> {
        let mut context = Context::from_waker(Waker::noop());
        let received = [
            (&mut self.terminate, nix::sys::signal::SIGTERM),
            (&mut self.interrupt, nix::sys::signal::SIGINT),
            (&mut self.reload, nix::sys::signal::SIGHUP),
        ];
        for (stream, signal) in received {
            if stream.poll_recv(&mut context).is_ready() {
                nix::sys::signal::kill(nix::unistd::Pid::this(), signal)?;
            }
        }
        Ok(())
    }

    /// Waits for the next SIGTERM or SIGINT.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
