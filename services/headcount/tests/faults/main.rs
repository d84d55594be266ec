//! What the shared count promises when something breaks: real nodes, real Redis, real viewers, and a measured time for
//! each promise, printed as one line beside its bound.
//!
//! Nearly all of the time is waiting for leases to run out, so many tests run at a time, each with a Redis and nodes of
//! its own; those that need the whole machine run alone. `cargo test -p headcount --test faults -- NAME` runs some.
#![expect(clippy::unwrap_used, reason = "this crate is nothing but tests")]

mod addresses;
mod cluster;
mod crowds;
mod damping;
mod dashboard;
mod eviction;
mod failover;
mod fleet;
mod flood;
mod key_lives;
mod limits;
mod loss;
mod network;
mod nodes;
mod operating;
mod outside;
mod privacy;
mod reload;
mod reports;
mod stalls;
mod status;
mod stopping;
mod store;
mod visitors;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use parking_lot::RwLock;

/// Tests that wait at the same time, unless the command line says otherwise. More of them would compete for the
/// processors whenever they start their processes.
const AT_ONCE: usize = 12;

/// Tests that run together share it; one that runs alone has it for itself.
static MACHINE: RwLock<()> = RwLock::new(());

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    // The longest first, so that the rest fits beside them; those that run alone last.
    let trials = vec![
        together("redis_is_away_for_a_minute", loss::redis_is_away_for_a_minute),
        together("redis_stalls", stalls::redis_stalls),
        together("redis_clock_steps", stalls::redis_clock_steps),
        together("keys_are_evicted", eviction::keys_are_evicted),
        together("a_long_outage", key_lives::a_long_outage),
        together("only_leaves", key_lives::only_leaves),
        together("a_viewers_machine_vanishes", crowds::a_viewers_machine_vanishes),
        together("a_cluster_with_fifty_counters", cluster::a_cluster_with_fifty_counters),
        together("redis_forgets_everything", loss::redis_forgets_everything),
        together("redis_restarts_empty", loss::redis_restarts_empty),
        together("redis_comes_back_with_an_old_state", loss::redis_comes_back_with_an_old_state),
        together("redis_freezes", loss::redis_freezes),
        together("redis_is_full", loss::redis_is_full),
        together("all_nodes_are_cut_off", loss::all_nodes_are_cut_off),
        together("a_failover_loses_the_last_writes", failover::a_failover_loses_the_last_writes),
        together("a_frozen_master_is_replaced", failover::a_frozen_master_is_replaced),
        together("reports_are_disturbed_on_the_way", reports::reports_are_disturbed_on_the_way),
        together("the_last_report_of_a_killed_node_is_late", reports::the_last_report_of_a_killed_node_is_late),
        together("a_node_is_killed", nodes::a_node_is_killed),
        together("a_node_is_stopped", nodes::a_node_is_stopped),
        together("a_node_stops_while_it_registers", stopping::a_node_stops_while_it_registers),
        together("a_node_stops_while_it_registers_again", stopping::a_node_stops_while_it_registers_again),
        together("a_node_is_frozen", nodes::a_node_is_frozen),
        together("a_node_may_not_report", nodes::a_node_may_not_report),
        together("a_nodes_clock_is_hours_off", nodes::a_nodes_clock_is_hours_off),
        together("the_last_node_is_killed", nodes::the_last_node_is_killed),
        together("a_nodes_connections_are_cut", network::a_nodes_connections_are_cut),
        together("a_nodes_packets_are_lost", network::a_nodes_packets_are_lost),
        together("the_answers_to_a_node_are_lost", network::the_answers_to_a_node_are_lost),
        together("the_way_to_redis_is_long", network::the_way_to_redis_is_long),
        together("a_subscription_delivers_nothing", network::a_subscription_delivers_nothing),
        together("visitors_are_people_not_connections", visitors::visitors_are_people_not_connections),
        together("visitors_survive_faults", visitors::visitors_survive_faults),
        together("a_loss_changes_no_visitor", visitors::a_loss_changes_no_visitor),
        together("an_eviction_changes_no_visitor", visitors::an_eviction_changes_no_visitor),
        together("nodes_are_reloaded", reload::nodes_are_reloaded),
        together("a_node_is_reloaded_without_redis", reload::a_node_is_reloaded_without_redis),
        together("a_frozen_redis_delays_a_reload", reload::a_frozen_redis_delays_a_reload),
        together("a_node_is_killed_in_the_middle_of_a_reload", reload::a_node_is_killed_in_the_middle_of_a_reload),
        together("newcomers_see_everybody_at_once", nodes::newcomers_see_everybody_at_once),
        together("a_flapping_address_is_damped", damping::a_flapping_address_is_damped),
        together("a_dead_nodes_streams_free_their_address", limits::a_dead_nodes_streams_free_their_address),
        together("one_address_has_no_more_than_its_limit", limits::one_address_has_no_more_than_its_limit),
        together("a_cluster_keeps_the_limits", limits::a_cluster_keeps_the_limits),
        together("without_redis_each_nodes_own_limits_hold", limits::without_redis_each_nodes_own_limits_hold),
        together("an_address_opens_streams_at_its_pace", limits::an_address_opens_streams_at_its_pace),
        together("an_ipv6_network_is_one_address", limits::an_ipv6_network_is_one_address),
        together("exempt_addresses_have_no_limits", limits::exempt_addresses_have_no_limits_and_cost_redis_nothing),
        together("no_address_is_in_redis_or_in_a_log", privacy::no_address_is_in_redis_or_in_a_log),
        together("nodes_start_before_redis", operating::nodes_start_before_redis),
        together("status_tells_what_redis_holds", operating::status_tells_what_redis_holds),
        together("every_query_of_the_dashboard_has_data", dashboard::every_query_of_the_dashboard_has_data),
        together("status_lists_every_node", operating::status_lists_every_node),
        together("status_of_a_node_without_redis", operating::status_of_a_node_without_redis),
        together("a_redis_with_users", addresses::a_redis_with_users),
        together("a_redis_with_a_password", addresses::a_redis_with_a_password),
        together("a_redis_behind_a_unix_socket", addresses::a_redis_behind_a_unix_socket),
        together("a_redis_that_speaks_tls", addresses::a_redis_that_speaks_tls),
        together("the_public_port_tells_nothing_else", outside::the_public_port_tells_nothing_else),
        alone("a_hundred_thousand_names_are_invented", flood::a_hundred_thousand_names_are_invented),
        alone("half_open_heads_delay_nobody", flood::half_open_heads_delay_nobody),
        alone("everybody_sees_a_change_at_once", crowds::everybody_sees_a_change_at_once),
        alone("fifteen_thousand_die_and_as_many_come", crowds::fifteen_thousand_die_and_as_many_come),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test that mostly waits.
fn together(name: &str, test: fn() -> anyhow::Result<()>) -> Trial {
    Trial::test(name, move || {
        let _shared = MACHINE.read();
        test().map_err(|error| format!("{error:#}").into())
    })
}

/// A test that needs all processors.
fn alone(name: &str, test: fn() -> anyhow::Result<()>) -> Trial {
    Trial::test(name, move || {
        let _mine = MACHINE.write();
        test().map_err(|error| format!("{error:#}").into())
    })
}
